//! Peak signal-to-noise ratio.

use burn::tensor::Tensor;
use stormfire_derive::Merge;
use stormfire_values::ConfigError;

use crate::{aggregation::Mean, metric::Metric, regression::mse};

/// The peak signal-to-noise ratio in decibels, see [`psnr`].
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct Psnr {
    error: Mean,
    #[merge(same)]
    range: f64,
}

/// The peak signal-to-noise ratio, `10·log₁₀(range² / mse)` in decibels, of all images together. Equal images have an
/// infinite one. `range` is the largest value of an image minus the smallest one: 1 or 255.
///
/// # Errors
/// The shapes differ, or the range is not positive.
pub fn psnr<const D: usize>(predictions: &Tensor<D>, targets: &Tensor<D>, range: f64) -> Result<Psnr, ConfigError> {
    check_range("psnr", range)?;
    Ok(Psnr { error: mse(predictions, targets)?, range })
}

pub(super) fn check_range(what: &str, range: f64) -> Result<(), ConfigError> {
    if range > 0.0 && range.is_finite() {
        return Ok(());
    }
    Err(ConfigError::new(what, format!("a range of {range}"), "give the largest value of an image minus the smallest one: 1 or 255"))
}

impl Metric for Psnr {
    type Value = f64;

    fn compute(&self) -> f64 {
        10.0 * (self.range * self.range / self.error.compute()).log10()
    }
}
