//! The values that a logger receives: plain data without tensors.

mod artifact;
mod audio;
mod figure;
mod graph;
mod histogram;
mod hyperparams;
mod image;
pub mod json;
pub(crate) mod login;
pub(crate) mod number;
mod precision_recall;
pub(crate) mod reduce;
mod secret;
mod table;
mod text;

pub use artifact::Artifact;
pub use audio::Audio;
pub use figure::{Figure, FigureFormat};
pub use graph::{Graph, Node};
pub use histogram::{Histogram, HistogramStats};
pub use hyperparams::{Hyperparams, Scalar};
pub use image::Image;
pub use login::{AddressParts, split_login};
pub use precision_recall::PrCurve;
pub use reduce::Reduce;
pub use secret::Secret;
pub use table::Table;
pub use text::Text;

use std::sync::Arc;

use indexmap::IndexMap;

/// Named numbers in insertion order.
///
/// A name is an `Arc<str>`. A caller that logs the same names at every step allocates them only once.
///
/// ```
/// use stormfire_loggers::Metrics;
/// let mut metrics = Metrics::from([("loss", 0.5), ("accuracy", 0.9)]);
/// metrics.insert("epoch", 3.0);
/// assert_eq!(metrics.get("epoch"), Some(3.0));
/// assert_eq!(metrics.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["loss", "accuracy", "epoch"]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    entries: IndexMap<Arc<str>, f64>,
}

/// Compares names, values and their order.
impl PartialEq for Metrics {
    fn eq(&self, other: &Self) -> bool {
        self.entries.iter().eq(other.entries.iter())
    }
}

impl Metrics {
    /// Creates an empty collection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates an empty collection with capacity for `capacity` metrics.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { entries: IndexMap::with_capacity(capacity) }
    }

    /// Adds a metric at the end. An existing name keeps its position and gets the new value. Returns the old value.
    pub fn insert(&mut self, name: impl Into<Arc<str>>, value: f64) -> Option<f64> {
        self.entries.insert(name.into(), value)
    }

    /// The value of a metric.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.entries.get(name).copied()
    }

    /// Whether the metric exists.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Removes a metric and keeps the order of the others.
    pub fn remove(&mut self, name: &str) -> Option<f64> {
        self.entries.shift_remove(name)
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, f64)> {
        self.entries.iter().map(|(name, value)| (&**name, *value))
    }

    /// As [`Metrics::iter`], with names that can be cloned without allocation.
    pub(crate) fn shared(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, f64)> {
        self.entries.iter().map(|(name, value)| (name, *value))
    }

    /// The value of the metric `step` as a step number. `None` if it is negative, fractional or missing.
    pub fn step(&self) -> Option<u64> {
        self.get("step").filter(|step| *step >= 0.0 && step.fract() == 0.0).map(|step| step as u64)
    }

    /// Number of metrics.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the collection is empty.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<N: Into<Arc<str>>> Extend<(N, f64)> for Metrics {
    fn extend<I: IntoIterator<Item = (N, f64)>>(&mut self, iter: I) {
        for (name, value) in iter {
            self.insert(name, value);
        }
    }
}

impl<N: Into<Arc<str>>> FromIterator<(N, f64)> for Metrics {
    fn from_iter<I: IntoIterator<Item = (N, f64)>>(iter: I) -> Self {
        let iter = iter.into_iter();
        let mut metrics = Self::with_capacity(iter.size_hint().0);
        metrics.extend(iter);
        metrics
    }
}

impl<N: Into<Arc<str>>, const COUNT: usize> From<[(N, f64); COUNT]> for Metrics {
    fn from(entries: [(N, f64); COUNT]) -> Self {
        entries.into_iter().collect()
    }
}

impl IntoIterator for Metrics {
    type Item = (Arc<str>, f64);
    type IntoIter = indexmap::map::IntoIter<Arc<str>, f64>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_name_keeps_its_place_and_takes_the_new_value() {
        let mut metrics = Metrics::from([("a", 1.0), ("b", 2.0), ("a", 3.0)]);
        assert_eq!(metrics.iter().collect::<Vec<_>>(), [("a", 3.0), ("b", 2.0)]);
        assert_eq!(metrics.insert("b", 4.0), Some(2.0));
        assert_eq!(metrics.remove("a"), Some(3.0));
        assert_eq!(metrics.remove("a"), None);
        assert_eq!(metrics, [("b", 4.0)].into());
    }
}
