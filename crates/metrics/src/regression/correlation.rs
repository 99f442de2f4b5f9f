//! Pearson's correlation.

use burn::tensor::Tensor;
use stormfire_derive::Merge;
use stormfire_values::ConfigError;

use super::{errors::pair, moments::Moments};
use crate::metric::Metric;

/// Pearson's correlation coefficient, from -1 to 1. See [`pearson`].
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct Pearson(Moments);

/// Pearson's correlation coefficient of predictions and targets. NaN for less than two items, or if one of both is
/// constant.
///
/// # Errors
/// The shapes differ.
pub fn pearson<const D: usize>(predictions: &Tensor<D>, targets: &Tensor<D>) -> Result<Pearson, ConfigError> {
    let (predictions, targets) = pair("pearson", predictions, targets)?;
    Ok(Pearson(Moments::of(predictions, targets)))
}

impl Metric for Pearson {
    type Value = f64;

    fn compute(&self) -> f64 {
        let [x, y, xy] = self.0.deviations();
        if x == 0.0 || y == 0.0 { f64::NAN } else { (xy / (x.sqrt() * y.sqrt())).clamp(-1.0, 1.0) }
    }
}
