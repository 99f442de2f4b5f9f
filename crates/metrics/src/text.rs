//! Text: what a language model, a translation, a summary or a transcription is worth.
//!
//! Texts are on the host. Only [`perplexity`] takes tensors.

mod bleu;
mod edits;
mod perplexity;
mod rouge;
mod tokenize;

pub use bleu::{Bleu, BleuOptions, bleu, sacre_bleu};
pub use edits::{character_error_rate, edit_distance, word_error_rate};
pub use perplexity::{Perplexity, perplexity};
pub use rouge::{Rouge, rouge};
pub use tokenize::Tokenizer;

use stormfire_values::ConfigError;

/// Refuses texts that do not belong together.
fn same_count(what: &str, predictions: usize, references: usize) -> Result<(), ConfigError> {
    if predictions == references {
        return Ok(());
    }
    Err(ConfigError::new(
        what,
        format!("{predictions} predictions, but references for {references}"),
        "give references for each prediction",
    ))
}
