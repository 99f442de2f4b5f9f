//! R² and explained variance.

use burn::tensor::Tensor;
use stormfire_derive::Merge;
use stormfire_values::{ConfigError, Scalar};

use super::{
    errors::{pair, sum},
    moments::Moments,
};
use crate::metric::Metric;

/// The share of the variance that is explained, see [`r2`].
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct R2 {
    #[merge(sum)]
    residuals: Scalar,
    targets: Moments,
    #[merge(same)]
    regressors: usize,
}

/// The coefficient of determination, `1 - Σ(p - t)² / Σ(t - t̄)²`. Constant targets give 1 if all predictions are
/// right, otherwise 0. NaN for less than two items.
///
/// # Errors
/// The shapes differ.
pub fn r2<const D: usize>(predictions: &Tensor<D>, targets: &Tensor<D>) -> Result<R2, ConfigError> {
    let (predictions, targets) = pair("r2", predictions, targets)?;
    let residuals = sum((predictions - targets.clone()).square());
    Ok(R2 { residuals, targets: Moments::of(targets.clone(), targets), regressors: 0 })
}

impl R2 {
    /// The adjusted coefficient of a model with `k` regressors, `1 - (1 - R²)(n - 1) / (n - k - 1)`. NaN if there
    /// are not enough items.
    pub fn adjusted(mut self, regressors: usize) -> Self {
        self.regressors = regressors;
        self
    }
}

impl Metric for R2 {
    type Value = f64;

    fn compute(&self) -> f64 {
        let ([deviation, ..], residuals) = (self.targets.deviations(), self.residuals.value());
        let count = self.targets.count();
        if count < 2.0 {
            return f64::NAN;
        }
        let share = share_explained(residuals, deviation);
        if self.regressors == 0 {
            return share;
        }
        let left = count - self.regressors as f64 - 1.0;
        if left > 0.0 { 1.0 - (1.0 - share) * (count - 1.0) / left } else { f64::NAN }
    }
}

/// `1 - unexplained / all`.
fn share_explained(unexplained: f64, all: f64) -> f64 {
    if all == 0.0 {
        return f64::from(u8::from(unexplained == 0.0));
    }
    1.0 - unexplained / all
}

/// The share of the variance that is explained, see [`explained_variance`].
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct ExplainedVariance(Moments);

/// The explained variance, `1 - Var(t - p) / Var(t)`. Unlike [`r2`], a constant error does not count. Constant targets
/// give 1 if the error is constant, otherwise 0. NaN without items.
///
/// # Errors
/// The shapes differ.
pub fn explained_variance<const D: usize>(predictions: &Tensor<D>, targets: &Tensor<D>) -> Result<ExplainedVariance, ConfigError> {
    let (predictions, targets) = pair("explained_variance", predictions, targets)?;
    Ok(ExplainedVariance(Moments::of(targets.clone() - predictions, targets)))
}

impl Metric for ExplainedVariance {
    type Value = f64;

    fn compute(&self) -> f64 {
        let [error, target, _] = self.0.deviations();
        if self.0.count() == 0.0 { f64::NAN } else { share_explained(error, target) }
    }
}
