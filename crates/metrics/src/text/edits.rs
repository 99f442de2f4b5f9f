//! Error rates of transcriptions.

use stormfire_values::ConfigError;

use super::{
    same_count,
    tokenize::{Tokenizer, Words},
};
use crate::aggregation::Mean;

/// The least number of insertions, deletions and replacements that make one sequence the other.
pub fn edit_distance<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (index, item) in a.iter().enumerate() {
        let mut diagonal = index;
        row[0] = index + 1;
        for (column, other) in b.iter().enumerate() {
            let above = row[column + 1];
            row[column + 1] = if item == other { diagonal } else { 1 + diagonal.min(above).min(row[column]) };
            diagonal = above;
        }
    }
    row.last().copied().unwrap_or(0)
}

fn error_rate(
    what: &str,
    predictions: &[impl AsRef<str>],
    references: &[impl AsRef<str>],
    tokenizer: Tokenizer,
) -> Result<Mean, ConfigError> {
    same_count(what, predictions.len(), references.len())?;
    let (mut edits, mut all) = (0, 0);
    for (prediction, reference) in predictions.iter().zip(references) {
        let mut words = Words::default();
        let [prediction, reference] = [prediction.as_ref(), reference.as_ref()].map(|text| words.numbers(tokenizer.tokens(text)));
        edits += edit_distance(&prediction, &reference);
        all += reference.len();
    }
    Ok(Mean::from_sum(edits, all))
}

/// The word error rate (WER): edits of words per word of the references, of all texts together. It may be above 1.
/// Without a word in the references it is infinite or NaN.
///
/// ```
/// use stormfire_metrics::{Metric, text::word_error_rate};
///
/// let rate = word_error_rate(&["the cat sat", "hello"], &["the cat sat down", "hello"])?;
/// assert_eq!(rate.read()?, 0.2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The numbers of predictions and references differ.
pub fn word_error_rate(predictions: &[impl AsRef<str>], references: &[impl AsRef<str>]) -> Result<Mean, ConfigError> {
    error_rate("word_error_rate", predictions, references, Tokenizer::Whitespace)
}

/// The character error rate (CER): edits of characters per character of the references, spaces included, of all texts
/// together.
///
/// # Errors
/// The numbers of predictions and references differ.
pub fn character_error_rate(predictions: &[impl AsRef<str>], references: &[impl AsRef<str>]) -> Result<Mean, ConfigError> {
    error_rate("character_error_rate", predictions, references, Tokenizer::Characters)
}
