//! BLEU.

use std::collections::HashMap;

use stormfire_derive::Merge;
use stormfire_values::{ConfigError, read::Array};

use super::{
    same_count,
    tokenize::{Tokenizer, Words, grams},
};
use crate::metric::Metric;

/// Options of [`Bleu`].
///
/// ```
/// use stormfire_metrics::{Metric, text::{BleuOptions, Tokenizer}};
///
/// let options = BleuOptions::new().max_order(2)?.tokenizer(Tokenizer::Mteval13a);
/// let bleu = options.bleu(&["the cat sat."], &[["the cat sat!"]])?;
/// assert!((bleu.read()? - (0.75_f64 * 2.0 / 3.0).sqrt()).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BleuOptions {
    max_order: usize,
    smooth: bool,
    lowercase: bool,
    tokenizer: Tokenizer,
}

impl Default for BleuOptions {
    fn default() -> Self {
        Self { max_order: 4, smooth: false, lowercase: false, tokenizer: Tokenizer::Whitespace }
    }
}

impl BleuOptions {
    /// Sequences of 1 to 4 words at white space, without smoothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The longest sequences of words. Default 4.
    ///
    /// # Errors
    /// It is 0.
    pub fn max_order(mut self, order: usize) -> Result<Self, ConfigError> {
        if order == 0 {
            return Err(ConfigError::new("BleuOptions::max_order", "0", "use at least 1; 4 is usual"));
        }
        self.max_order = order;
        Ok(self)
    }

    /// Adds 1 to the counts of sequences of two words and more. Default `false`.
    pub fn smooth(mut self, on: bool) -> Self {
        self.smooth = on;
        self
    }

    /// Compares without case. Default `false`.
    pub fn lowercase(mut self, on: bool) -> Self {
        self.lowercase = on;
        self
    }

    /// How a text becomes words. Default [`Tokenizer::Whitespace`].
    pub fn tokenizer(mut self, tokenizer: Tokenizer) -> Self {
        self.tokenizer = tokenizer;
        self
    }

    fn words(self, text: &str, words: &mut Words) -> Vec<u32> {
        let lowered;
        let text = if self.lowercase {
            lowered = text.to_lowercase();
            &lowered
        } else {
            text
        };
        words.numbers(self.tokenizer.tokens(text))
    }

    /// BLEU of some predictions, each with one or more references.
    ///
    /// # Errors
    /// The numbers of predictions and references differ, or a prediction has no reference.
    pub fn bleu<R: AsRef<[S]>, S: AsRef<str>>(self, predictions: &[impl AsRef<str>], references: &[R]) -> Result<Bleu, ConfigError> {
        same_count("bleu", predictions.len(), references.len())?;
        let (mut hits, mut totals) = (vec![0.0; self.max_order], vec![0.0; self.max_order]);
        let (mut length, mut reference_length) = (0.0, 0.0);
        for (index, (prediction, references)) in predictions.iter().zip(references).enumerate() {
            let mut words = Words::default();
            let prediction = self.words(prediction.as_ref(), &mut words);
            let references: Vec<Vec<u32>> = references.as_ref().iter().map(|text| self.words(text.as_ref(), &mut words)).collect();
            // If two lengths are equally close, the shorter one wins, as in `mteval` and sacreBLEU.
            let closest = references.iter().map(Vec::len).min_by_key(|length| (length.abs_diff(prediction.len()), *length));
            let Some(closest) = closest else {
                let reason = format!("prediction {index} has no reference");
                return Err(ConfigError::new("bleu", reason, "give one or more references for each prediction"));
            };
            length += prediction.len() as f64;
            reference_length += closest as f64;
            for order in 1..=self.max_order {
                let mut right: HashMap<&[u32], usize> = HashMap::new();
                for (gram, count) in references.iter().flat_map(|reference| grams(reference, order)) {
                    let most = right.entry(gram).or_insert(0);
                    *most = (*most).max(count);
                }
                for (gram, count) in grams(&prediction, order) {
                    totals[order - 1] += count as f64;
                    hits[order - 1] += count.min(right.get(gram).copied().unwrap_or(0)) as f64;
                }
            }
        }
        Ok(Bleu { hits: Array::row(hits), totals: Array::row(totals), length, reference_length, options: self })
    }
}

/// BLEU of a corpus, in `0..=1`: the geometric mean of the shares of right word sequences, times a penalty for short
/// texts.
///
/// `exp(min(0, 1 - r/c))·(Π p_n)^(1/N)`, with `c` words in predictions and `r` in the closest references. It is 0 if no
/// sequence of a length is right. Counts of all batches are added first.
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct Bleu {
    #[merge(sum)]
    hits: Array,
    #[merge(sum)]
    totals: Array,
    #[merge(sum)]
    length: f64,
    #[merge(sum)]
    reference_length: f64,
    #[merge(same)]
    options: BleuOptions,
}

/// BLEU with words at white space. See [`BleuOptions`] for others.
///
/// # Errors
/// The numbers of predictions and references differ, or a prediction has no reference.
pub fn bleu<R: AsRef<[S]>, S: AsRef<str>>(predictions: &[impl AsRef<str>], references: &[R]) -> Result<Bleu, ConfigError> {
    BleuOptions::new().bleu(predictions, references)
}

/// BLEU with the words of sacreBLEU's tokenizer `13a`. sacreBLEU has percent.
///
/// # Errors
/// The numbers of predictions and references differ, or a prediction has no reference.
pub fn sacre_bleu<R: AsRef<[S]>, S: AsRef<str>>(predictions: &[impl AsRef<str>], references: &[R]) -> Result<Bleu, ConfigError> {
    BleuOptions::new().tokenizer(Tokenizer::Mteval13a).bleu(predictions, references)
}

impl Metric for Bleu {
    type Value = f64;

    fn compute(&self) -> f64 {
        let (hits, totals) = (self.hits.to_vec(), self.totals.to_vec());
        if hits.contains(&0.0) {
            return 0.0;
        }
        let log_share = |(order, (hits, total)): (usize, (&f64, &f64))| {
            let more = if self.options.smooth && order > 0 { 1.0 } else { 0.0 };
            ((hits + more) / (total + more)).ln()
        };
        let mean = hits.iter().zip(&totals).enumerate().map(log_share).sum::<f64>() / hits.len() as f64;
        let penalty = if self.length > self.reference_length { 0.0 } else { 1.0 - self.reference_length / self.length };
        (penalty + mean).exp()
    }
}
