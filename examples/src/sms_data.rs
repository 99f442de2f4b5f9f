//! The SMS Spam Collection of T. A. Almeida and J. M. Gómez Hidalgo: short messages, some of which are spam.

use std::{io::Read, path::PathBuf};

use burn::{data::dataset::InMemDataset, prelude::*};
use flate2::read::GzDecoder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stormfire::{
    data::{LengthSampler, Pad, Result, Subset, random_split},
    prelude::{CastBatch, DataError, DataModule, Loader, Loaders, SplitBatch},
};

use crate::{WordPieces, minilm::Tokens};

/// The longest message in tokens. Longer ones are cut.
const LONGEST: usize = 48;

/// A batch of messages.
#[derive(Clone, Debug, CastBatch, SplitBatch)]
pub struct SmsBatch {
    /// The tokens.
    pub texts: Tokens,
    /// 1 for spam, `[messages]`.
    pub targets: Tensor<1, Int>,
}

/// A message.
#[derive(Clone, Debug)]
struct Sms {
    tokens: Vec<u32>,
    is_spam: bool,
}

/// The options of [`SmsData`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SmsConfig {
    /// The file with the messages.
    pub file: PathBuf,
    /// The word pieces of the encoder.
    pub vocabulary: PathBuf,
    /// Number of messages for training, validation and test together. `null` takes all 5,160.
    pub messages: Option<usize>,
    /// Messages in a batch.
    #[schemars(range(min = 1))]
    pub batch_size: usize,
}

impl Default for SmsConfig {
    fn default() -> Self {
        let (file, vocabulary) = ("data/sms-spam/messages.tsv.gz".into(), "data/minilm/vocab.txt".into());
        Self { file, vocabulary, messages: Some(640), batch_size: 16 }
    }
}

/// Training, validation and test messages: random parts of the same seed.
#[derive(Clone, Debug)]
pub struct SmsData {
    /// The word pieces of the encoder.
    pub pieces: WordPieces,
    train: Loader<SmsBatch>,
    val: Loader<SmsBatch>,
    test: Loader<SmsBatch>,
}

impl SmsData {
    /// Reads the messages.
    ///
    /// # Errors
    /// For files that cannot be read, and for fewer messages than requested.
    pub fn new(config: &SmsConfig) -> Result<Self> {
        let pieces = WordPieces::read(&config.vocabulary)?;
        let [train, val, test] = loaders(config, &pieces)?;
        Ok(Self { pieces, train, val, test })
    }
}

impl DataModule for SmsData {
    type Batch = SmsBatch;

    fn train_dataloader(&mut self) -> Result<Loader<SmsBatch>> {
        Ok(self.train.clone())
    }

    fn val_dataloader(&mut self) -> Result<Loaders<SmsBatch>> {
        Ok(self.val.clone().into())
    }

    fn test_dataloader(&mut self) -> Result<Loaders<SmsBatch>> {
        Ok(self.test.clone().into())
    }
}

fn loaders(config: &SmsConfig, pieces: &WordPieces) -> Result<[Loader<SmsBatch>; 3]> {
    let file = config.file.as_path();
    let refused = |reason: &dyn std::fmt::Display| DataError::other(format!("`{}`: {reason}", file.display()));
    let mut lines = String::new();
    let reader = GzDecoder::new(fs_err::File::open(file).map_err(|error| DataError::other(error.to_string()))?);
    reader.take(16 << 20).read_to_string(&mut lines).map_err(|error| refused(&error))?;
    let mut all = Vec::new();
    for (number, line) in lines.lines().enumerate() {
        let (label, text) = line
            .split_once('\t')
            .filter(|(label, _)| ["ham", "spam"].contains(label))
            .ok_or_else(|| refused(&format!("line {} is neither `ham` nor `spam` with a message after a tab", number + 1)))?;
        all.push(Sms { tokens: pieces.tokens(text, LONGEST), is_spam: label == "spam" });
    }
    let messages = config.messages.unwrap_or(all.len());
    let Some(others) = all.len().checked_sub(messages) else {
        return Err(refused(&format!("it has {} messages, and {messages} are requested", all.len())));
    };
    let (train, val) = (messages / 2, messages / 8);
    let parts = [train, val, messages - train - val, others];
    let [train, val, test, _] = random_split(InMemDataset::new(all), parts, 1)?;
    let loader = |part: Subset<Sms>| -> Result<Loader<SmsBatch>> {
        // Messages of similar lengths are in one batch, which avoids most of the padding.
        let sampler = LengthSampler::of(&part, |sms| sms.tokens.len())?.batch_size(config.batch_size).multiple_of(12);
        Ok(Loader::collate(part, collate).batch_sampler(sampler))
    };
    Ok([loader(train)?, loader(val)?, loader(test)?])
}

fn collate(messages: Vec<Sms>, device: &Device) -> SmsBatch {
    let (tokens, labels): (Vec<_>, Vec<_>) = messages.into_iter().map(|sms| (sms.tokens, i32::from(sms.is_spam))).unzip();
    let count = labels.len();
    SmsBatch { texts: Pad::right().ints(&tokens, 0, device), targets: Tensor::from_data(TensorData::new(labels, [count]), device) }
}
