//! All values.

use stormfire_derive::Merge;
use stormfire_values::read::Array;

use crate::{computed::Outline, metric::Metric, picture::Samples, rows::Rows};

/// All values, in order. A logger gets them as a histogram.
///
/// ```
/// use stormfire_metrics::{Merge, Metric, aggregation::Cat};
/// use stormfire_values::read::Array;
///
/// let mut all = Cat::new(Array::row(vec![3.0, 1.0]));
/// all.merge(&Cat::new(Array::row(vec![2.0])))?;
/// assert_eq!(all.read()?.0, [3.0, 1.0, 2.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct Cat(#[merge(cat)] Rows);

impl Cat {
    /// The values of one batch.
    pub fn new(values: impl Into<Array>) -> Self {
        Self(Rows::new(values))
    }
}

impl Metric for Cat {
    type Value = Samples;

    fn compute(&self) -> Samples {
        Samples(self.0.to_vec())
    }

    fn outline(&self) -> Outline {
        Outline::Picture
    }
}
