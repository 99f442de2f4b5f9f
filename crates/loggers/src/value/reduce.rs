//! Reductions of several values of one name in one step.

use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::Metrics;

/// How several values of one name in one step are reduced to one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Reduce {
    /// The mean.
    #[default]
    Mean,
    /// The sum.
    Sum,
    /// The minimum. NaN if one of them is NaN.
    Min,
    /// The maximum. NaN if one of them is NaN.
    Max,
    /// The last value.
    Last,
}

/// The state of a reduction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reduced {
    /// The sum, for a mean.
    #[serde(with = "exact")]
    value: f64,
    count: u64,
}

impl Reduced {
    pub(crate) const fn new(value: f64) -> Self {
        Self { value, count: 1 }
    }

    pub(crate) fn add(&mut self, value: f64, reduce: Reduce) {
        self.count += 1;
        let is_nan = self.value.is_nan() || value.is_nan();
        self.value = match reduce {
            Reduce::Mean | Reduce::Sum => self.value + value,
            Reduce::Min | Reduce::Max if is_nan => f64::NAN,
            Reduce::Min => self.value.min(value),
            Reduce::Max => self.value.max(value),
            Reduce::Last => value,
        };
    }

    pub(crate) fn value(self, reduce: Reduce) -> f64 {
        if reduce == Reduce::Mean { self.value / self.count as f64 } else { self.value }
    }
}

/// JSON has no NaN, and a partial sum must not be rounded.
mod exact {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Metrics {
    /// Merges several rows, as Lightning's `merge_dicts` does: names in order of first appearance, each with its values
    /// reduced by `reduce` of its name.
    ///
    /// ```
    /// use stormfire_loggers::{Metrics, Reduce};
    /// let rows = [Metrics::from([("loss", 1.0), ("samples", 32.0)]), Metrics::from([("loss", 0.5), ("samples", 16.0)])];
    /// let merged = Metrics::merge(&rows, |name| if name == "samples" { Reduce::Sum } else { Reduce::Mean });
    /// assert_eq!(merged, [("loss", 0.75), ("samples", 48.0)].into());
    /// ```
    pub fn merge<'a>(rows: impl IntoIterator<Item = &'a Self>, reduce: impl Fn(&str) -> Reduce) -> Self {
        let mut values: IndexMap<Arc<str>, (Reduce, Reduced)> = IndexMap::new();
        for (name, value) in rows.into_iter().flat_map(Self::shared) {
            match values.get_mut(name) {
                Some((reduce, reduced)) => reduced.add(value, *reduce),
                None => drop(values.insert(Arc::clone(name), (reduce(name), Reduced::new(value)))),
            }
        }
        values.into_iter().map(|(name, (reduce, reduced))| (name, reduced.value(reduce))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_name_are_reduced_as_it_asks() {
        for (reduce, expected) in [(Reduce::Mean, 2.5), (Reduce::Sum, 7.5), (Reduce::Min, 0.5), (Reduce::Max, 4.0), (Reduce::Last, 3.0)] {
            let rows = [0.5, 4.0, 3.0].map(|value| Metrics::from([("a", value)]));
            assert_eq!(Metrics::merge(&rows, |_| reduce), [("a", expected)].into(), "{reduce:?}");
            let with_nan = [0.5, f64::NAN, 3.0].map(|value| Metrics::from([("a", value)]));
            let is_nan = Metrics::merge(&with_nan, |_| reduce).get("a").is_some_and(f64::is_nan);
            assert_eq!(is_nan, reduce != Reduce::Last, "{reduce:?}");
        }
        // A single value stays unchanged to the last bit.
        let one = Metrics::merge(&[[("a", -0.0)].into()], |_| Reduce::Mean);
        assert_eq!(one.get("a").map(f64::to_bits), Some((-0.0_f64).to_bits()));
    }
}
