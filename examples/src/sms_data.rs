//! The SMS Spam Collection of T. A. Almeida and J. M. Gómez Hidalgo: short messages, some of which are spam.

use std::{io::Read, path::Path};

use burn::{data::dataset::InMemDataset, prelude::*};
use flate2::read::GzDecoder;
use stormfire::{
    data::{LengthSampler, Pad, Result, Subset, random_split},
    prelude::{CastBatch, DataError, Loader, SplitBatch},
};

use crate::{WordPieces, minilm::Tokens};

/// The longest message in tokens. Longer ones are cut.
const LONGEST: usize = 48;
/// Messages in a batch.
const BATCH: usize = 16;

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

/// Loaders of training, validation and test messages: random parts of the same seed.
///
/// # Errors
/// For files that cannot be read, and for fewer than `messages` messages.
pub fn sms_loaders(file: impl AsRef<Path>, pieces: &WordPieces, messages: Option<usize>) -> Result<[Loader<SmsBatch>; 3]> {
    let file = file.as_ref();
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
    let messages = messages.unwrap_or(all.len());
    let Some(others) = all.len().checked_sub(messages) else {
        return Err(refused(&format!("it has {} messages, and {messages} are requested", all.len())));
    };
    let (train, val) = (messages / 2, messages / 8);
    let parts = [train, val, messages - train - val, others];
    let [train, val, test, _] = random_split(InMemDataset::new(all), parts, 1)?;
    let loader = |part: Subset<Sms>| -> Result<Loader<SmsBatch>> {
        // Messages of similar lengths are in one batch: most of the padding is gone.
        let sampler = LengthSampler::of(&part, |sms| sms.tokens.len())?.batch_size(BATCH).multiple_of(12);
        Ok(Loader::collate(part, collate).batch_sampler(sampler))
    };
    Ok([loader(train)?, loader(val)?, loader(test)?])
}

fn collate(messages: Vec<Sms>, device: &Device) -> SmsBatch {
    let (tokens, labels): (Vec<_>, Vec<_>) = messages.into_iter().map(|sms| (sms.tokens, i32::from(sms.is_spam))).unzip();
    let count = labels.len();
    SmsBatch { texts: Pad::right().ints(&tokens, 0, device), targets: Tensor::from_data(TensorData::new(labels, [count]), device) }
}
