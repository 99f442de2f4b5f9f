//! ROUGE.

use stormfire_derive::Merge;
use stormfire_values::{ConfigError, read::Array};

use super::{
    same_count,
    tokenize::{Words, grams},
};
use crate::{
    computed::{Named, Outline},
    metric::Metric,
};

/// ROUGE-1, ROUGE-2 and ROUGE-L of summaries: precision, recall and F1 of each, as means over the texts.
///
/// ROUGE-N compares sequences of N words. ROUGE-L compares the longest common subsequence. The names are
/// `rouge1_precision`, `rouge1_recall`, `rouge1_f`, and the same with `rouge2` and `rougeL`.
///
/// Words are lower-case letters and digits of ASCII, without stemming, as in the package `rouge-score`. If an item has
/// several references, the one with the best F1 counts, for each kind of score.
///
/// ```
/// use stormfire_metrics::{Metric, text::rouge};
///
/// let scores = rouge(&["The cat sat."], &[["the cat sat down"]])?.read()?;
/// assert_eq!(scores.get("rouge1_precision"), Some(1.0));
/// assert_eq!(scores.get("rougeL_recall"), Some(0.75));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct Rouge {
    /// In the order of [`NAMES`].
    #[merge(sum)]
    sums: Array,
    #[merge(sum)]
    texts: f64,
}

const NAMES: [&str; 9] = [
    "rouge1_precision",
    "rouge1_recall",
    "rouge1_f",
    "rouge2_precision",
    "rouge2_recall",
    "rouge2_f",
    "rougeL_precision",
    "rougeL_recall",
    "rougeL_f",
];

/// ROUGE of some summaries, each with one or more references. See [`Rouge`].
///
/// # Errors
/// The numbers of predictions and references differ, or a prediction has no reference.
pub fn rouge<R: AsRef<[S]>, S: AsRef<str>>(predictions: &[impl AsRef<str>], references: &[R]) -> Result<Rouge, ConfigError> {
    same_count("rouge", predictions.len(), references.len())?;
    let mut sums = vec![0.0; NAMES.len()];
    for (index, (prediction, references)) in predictions.iter().zip(references).enumerate() {
        let mut words = Words::default();
        let prediction = words.numbers(tokens(prediction.as_ref()));
        let references: Vec<Vec<u32>> = references.as_ref().iter().map(|text| words.numbers(tokens(text.as_ref()))).collect();
        if references.is_empty() {
            let reason = format!("prediction {index} has no reference");
            return Err(ConfigError::new("rouge", reason, "give one or more references for each prediction"));
        }
        let kinds = [|a: &[u32], b: &[u32]| of_grams(a, b, 1), |a: &[u32], b: &[u32]| of_grams(a, b, 2), of_subsequence];
        for (kind, sums) in kinds.iter().zip(sums.chunks_mut(3)) {
            // The first of equally good ones.
            let best = references.iter().map(|reference| kind(&prediction, reference)).reduce(|a, b| if b[2] > a[2] { b } else { a });
            sums.iter_mut().zip(best.unwrap_or_default()).for_each(|(sum, score)| *sum += score);
        }
    }
    Ok(Rouge { sums: Array::row(sums), texts: predictions.len() as f64 })
}

fn tokens(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    text.split(|char: char| !char.is_ascii_lowercase() && !char.is_ascii_digit())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Precision, recall and F1.
fn scores(hits: usize, predicted: usize, right: usize) -> [f64; 3] {
    if hits == 0 {
        return [0.0; 3];
    }
    let (precision, recall) = (hits as f64 / predicted as f64, hits as f64 / right as f64);
    [precision, recall, 2.0 * precision * recall / (precision + recall)]
}

fn of_grams(prediction: &[u32], reference: &[u32], n: usize) -> [f64; 3] {
    let (predicted, right) = (grams(prediction, n), grams(reference, n));
    let hits = predicted.iter().map(|(gram, count)| *count.min(right.get(gram).unwrap_or(&0))).sum();
    scores(hits, predicted.values().sum(), right.values().sum())
}

fn of_subsequence(prediction: &[u32], reference: &[u32]) -> [f64; 3] {
    let mut row = vec![0; reference.len() + 1];
    for word in prediction {
        let mut before = 0;
        for (column, other) in reference.iter().enumerate() {
            let above = row[column + 1];
            row[column + 1] = if word == other { before + 1 } else { above.max(row[column]) };
            before = above;
        }
    }
    scores(row.last().copied().unwrap_or(0), prediction.len(), reference.len())
}

impl Metric for Rouge {
    type Value = Named;

    fn compute(&self) -> Named {
        let means = self.sums.to_vec().into_iter().map(|sum| sum / self.texts);
        Named(NAMES.into_iter().map(str::to_owned).zip(means).collect())
    }

    fn outline(&self) -> Outline {
        Outline::Named(NAMES.map(str::to_owned).to_vec())
    }
}
