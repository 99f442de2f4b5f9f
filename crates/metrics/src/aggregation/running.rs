//! The newest values only.

use std::collections::VecDeque;

use stormfire_values::read::Part;

use crate::{
    computed::Outline,
    merge::{Merge, MergeError},
    metric::Metric,
};

/// Another metric over the newest `window` values only, such as batches.
///
/// The order of merging says which ones are newest. Merged over ranks, it has the newest values of the last rank.
///
/// ```
/// use stormfire_metrics::{Merge, Metric, aggregation::{Mean, Running}};
///
/// let mut mean = Running::new(Mean::new(9.0, 1.0), 2);
/// for value in [1.0, 2.0] {
///     mean.merge(&Running::new(Mean::new(value, 1.0), 2))?;
/// }
/// assert_eq!(mean.read()?, 1.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Running<M> {
    window: usize,
    values: VecDeque<M>,
}

impl<M: Metric> Running<M> {
    /// One value. A window of 0 counts as 1.
    pub fn new(value: M, window: usize) -> Self {
        Self { window: window.max(1), values: [value].into() }
    }

    fn merged(&self) -> Option<M> {
        let mut values = self.values.iter();
        let mut all = values.next()?.clone();
        for value in values {
            if let Err(error) = all.merge(value) {
                // `merge` has tried all of them.
                tracing::error!("a running metric is lost: {error}");
                return None;
            }
        }
        Some(all)
    }
}

impl<M: Metric> Merge for Running<M> {
    fn merge(&mut self, other: &Self) -> Result<(), MergeError> {
        if self.window != other.window {
            return Err(MergeError::differs("window", &self.window, &other.window));
        }
        if let (Some(ours), Some(theirs)) = (self.values.front(), other.values.front()) {
            ours.clone().merge(theirs)?;
        }
        self.values.extend(other.values.iter().cloned());
        let too_old = self.values.len().saturating_sub(self.window);
        self.values.drain(..too_old);
        Ok(())
    }

    fn save(&self, parts: &mut Vec<Part>) {
        parts.push(Part::Number(self.values.len().into()));
        self.values.iter().for_each(|value| value.save(parts));
    }

    fn load(&self, parts: &mut dyn Iterator<Item = Part>) -> Option<Self> {
        let like = self.values.front()?;
        let count = parts.next()?.number();
        let values = (0..count as usize).map(|_| like.load(parts)).collect::<Option<VecDeque<M>>>()?;
        (!values.is_empty()).then_some(Self { window: self.window, values })
    }
}

impl<M: Metric<Value = f64>> Metric for Running<M> {
    type Value = f64;

    fn compute(&self) -> f64 {
        self.merged().map_or(f64::NAN, |all| all.compute())
    }

    fn outline(&self) -> Outline {
        Outline::One
    }
}
