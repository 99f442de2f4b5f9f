//! Spearman's rank correlation.

use burn::tensor::Tensor;
use stormfire_derive::Merge;
use stormfire_values::ConfigError;

use super::errors::pair;
use crate::{metric::Metric, rows::Rows};

/// Spearman's rank correlation, see [`spearman`].
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct Spearman {
    #[merge(cat)]
    predictions: Rows,
    #[merge(cat)]
    targets: Rows,
}

/// Spearman's rank correlation of predictions and targets: Pearson's correlation of their ranks. Equal numbers have the
/// mean of their ranks. All numbers are kept. NaN for less than two items, or if one of both is constant.
///
/// # Errors
/// The shapes differ.
pub fn spearman<const D: usize>(predictions: &Tensor<D>, targets: &Tensor<D>) -> Result<Spearman, ConfigError> {
    let (predictions, targets) = pair("spearman", predictions, targets)?;
    Ok(Spearman { predictions: Rows::new(predictions), targets: Rows::new(targets) })
}

/// Twice the ranks of numbers, from 0, which are integers. Equal ones have the mean of their ranks.
fn doubled_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while let Some(&first) = order.get(start) {
        let end = order[start..].iter().position(|index| values[*index] > values[first]).map_or(order.len(), |length| start + length);
        order[start..end].iter().for_each(|index| ranks[*index] = (start + end - 1) as f64);
        start = end;
    }
    ranks
}

impl Metric for Spearman {
    type Value = f64;

    fn compute(&self) -> f64 {
        let [x, y] = [&self.predictions, &self.targets].map(Rows::to_vec);
        if x.iter().chain(&y).any(|value| value.is_nan()) {
            return f64::NAN;
        }
        let (x, y) = (doubled_ranks(&x), doubled_ranks(&y));
        // The mean of all ranks is known.
        let mean = x.len().saturating_sub(1) as f64;
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
        product(&x, &y) / (product(&x, &x).sqrt() * product(&y, &y).sqrt())
    }
}
