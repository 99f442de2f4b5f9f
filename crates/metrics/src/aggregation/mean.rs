//! Weighted means.

use stormfire_derive::Merge;
use stormfire_values::Scalar;

use crate::metric::Metric;

/// A weighted mean: `Σ value·weight / Σ weight`. NaN if a value is NaN, or all weights are 0.
///
/// ```
/// use stormfire_metrics::{Merge, Metric, aggregation::Mean};
///
/// let mut mean = Mean::new(1.0, 3.0);
/// mean.merge(&Mean::new(5.0, 1.0))?;
/// assert_eq!(mean.read()?, 2.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct Mean {
    #[merge(sum)]
    sum: Scalar,
    #[merge(sum)]
    weight: Scalar,
}

impl Mean {
    /// The mean of one part: its `value`, and the number of items that it represents.
    pub fn new(value: impl Into<Scalar>, weight: impl Into<Scalar>) -> Self {
        let weight = weight.into();
        Self { sum: value.into().times(weight.clone()), weight }
    }

    /// A mean from a sum over `weight` items.
    pub fn from_sum(sum: impl Into<Scalar>, weight: impl Into<Scalar>) -> Self {
        Self { sum: sum.into(), weight: weight.into() }
    }
}

impl Metric for Mean {
    type Value = f64;

    fn compute(&self) -> f64 {
        self.sum.value() / self.weight.value()
    }
}
