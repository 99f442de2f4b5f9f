//! A text as a sequence of characters.

use std::{path::PathBuf, sync::Arc};

use burn::{
    data::dataset::{Dataset, DatasetError},
    prelude::*,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stormfire::{
    data::Result,
    prelude::{CastBatch, DataError, DataModule, Loader, Loaders, SplitBatch},
};

/// Pieces of text, and the same pieces one character later. Both have shape `[batch, time]`.
#[derive(Clone, Debug, CastBatch, SplitBatch)]
pub struct TextBatch {
    /// The input of the model.
    pub tokens: Tensor<2, Int>,
    /// The character after each of them.
    pub targets: Tensor<2, Int>,
}

/// The characters of a text, each with a number.
#[derive(Debug)]
pub struct Alphabet {
    symbols: Vec<char>,
}

impl Alphabet {
    fn of(text: &str) -> Self {
        let mut symbols: Vec<char> = text.chars().collect();
        symbols.sort_unstable();
        symbols.dedup();
        Self { symbols }
    }

    /// The number of characters.
    pub fn size(&self) -> usize {
        self.symbols.len()
    }

    /// The tokens of a text. Unknown characters are left out.
    pub fn tokens(&self, text: &str) -> Vec<i32> {
        text.chars().filter_map(|symbol| i32::try_from(self.symbols.binary_search(&symbol).ok()?).ok()).collect()
    }

    /// The text of tokens.
    pub fn text(&self, tokens: &[i32]) -> String {
        tokens.iter().filter_map(|&token| self.symbols.get(usize::try_from(token).ok()?)).collect()
    }
}

/// A part of a text, in pieces of `context + 1` characters.
struct Pieces {
    tokens: Arc<[i32]>,
    first: usize,
    count: usize,
    context: usize,
}

impl Dataset<Vec<i32>> for Pieces {
    fn get(&self, index: usize) -> Result<Vec<i32>, DatasetError> {
        let start = (self.first + index) * self.context;
        let piece = self.tokens.get(start..=start + self.context);
        piece.map(<[i32]>::to_vec).ok_or_else(|| DatasetError::new(std::io::Error::other("the text is shorter")))
    }

    fn len(&self) -> usize {
        self.count
    }
}

fn collate(pieces: &[Vec<i32>], device: &Device) -> TextBatch {
    let [count, length] = [pieces.len(), pieces.first().map_or(0, Vec::len)];
    let all = Tensor::<2, Int>::from_data(TensorData::new(pieces.concat(), [count, length]), device);
    TextBatch { tokens: all.clone().narrow(1, 0, length - 1), targets: all.narrow(1, 1, length - 1) }
}

/// The options of [`TextData`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TextConfig {
    /// The text to learn.
    pub file: PathBuf,
    /// Number of characters that the model sees.
    #[schemars(range(min = 1))]
    pub context: usize,
    /// Number of pieces of text in a batch.
    #[schemars(range(min = 1))]
    pub batch_size: usize,
}

impl Default for TextConfig {
    fn default() -> Self {
        Self { file: "data/shakespeare/shakespeare.txt".into(), context: 64, batch_size: 32 }
    }
}

/// Pieces of a text. Its last tenth is for validation.
pub struct TextData {
    /// The characters of the text.
    pub alphabet: Alphabet,
    /// The options.
    pub config: TextConfig,
    tokens: Arc<[i32]>,
}

impl TextData {
    /// Reads the text.
    ///
    /// # Errors
    /// For a file that cannot be read.
    pub fn new(config: TextConfig) -> Result<Self> {
        let text = fs_err::read_to_string(&config.file).map_err(|error| DataError::other(error.to_string()))?;
        let alphabet = Alphabet::of(&text);
        Ok(Self { tokens: alphabet.tokens(&text).into(), alphabet, config })
    }

    fn loader(&self, first: usize, count: usize) -> Loader<TextBatch> {
        let pieces = Pieces { tokens: Arc::clone(&self.tokens), first, count, context: self.config.context };
        Loader::collate(pieces, |pieces: Vec<Vec<i32>>, device: &Device| collate(&pieces, device)).batch_size(self.config.batch_size)
    }

    fn pieces(&self) -> usize {
        self.tokens.len().saturating_sub(1) / self.config.context
    }

    fn train_pieces(&self) -> usize {
        self.pieces() * 9 / 10
    }
}

impl DataModule for TextData {
    type Batch = TextBatch;

    fn train_dataloader(&mut self) -> Result<Loader<TextBatch>> {
        Ok(self.loader(0, self.train_pieces()).shuffle(true))
    }

    fn val_dataloader(&mut self) -> Result<Loaders<TextBatch>> {
        Ok(self.loader(self.train_pieces(), self.pieces() - self.train_pieces()).into())
    }
}
