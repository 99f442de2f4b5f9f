//! [`Rows`]: values that a metric keeps until its end.

use std::sync::Arc;

use stormfire_values::read::{Array, Part};

use crate::merge::{Field, MergeError, Rule};

/// The largest number of values that are kept. Two gigabytes on the host.
pub const MAX_KEPT: usize = 1 << 28;

/// Values that are kept until the end, one row after the other, with `#[merge(cat)]`.
///
/// They stay where they are: a metric that keeps all its inputs on a device needs memory there. More than [`MAX_KEPT`]
/// values are refused, because a metric with bins then is the better one.
#[derive(Clone, Debug, Default)]
pub struct Rows(Arc<Vec<Array>>);

impl Rows {
    /// The rows of one batch: the first dimension counts them.
    pub fn new(rows: impl Into<Array>) -> Self {
        Self(Arc::new(vec![rows.into()]))
    }

    /// All rows in one array. Without rows, an empty one.
    pub fn joined(&self) -> Array {
        let filled: Vec<Array> = self.0.iter().filter(|array| !array.is_empty()).cloned().collect();
        let all = if filled.is_empty() { self.0.first().cloned() } else { Array::concatenated(&filled) };
        all.unwrap_or_else(|| Array::row(Vec::new()))
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.0.iter().map(Array::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All values on the host, row after row. Reads the device if they are there.
    pub fn to_vec(&self) -> Vec<f64> {
        self.joined().to_vec()
    }
}

impl Field for Rows {
    fn join(&mut self, other: &Self, rule: Rule, field: &'static str) -> Result<(), MergeError> {
        if rule != Rule::Cat {
            return Err(MergeError::new(field, format!("cannot be joined by {rule:?}: rows have cat")));
        }
        let row = |rows: &Self| rows.0.first().map(|array| array.dims().get(1..).unwrap_or_default().to_vec());
        let (ours, theirs) = (row(self), row(other));
        if ours != theirs && ours.is_some() && theirs.is_some() {
            return Err(MergeError::new(field, format!("has rows of shape {ours:?} in one value and {theirs:?} in the other")));
        }
        let count = self.len() + other.len();
        if count > MAX_KEPT {
            let reason = format!("would keep {count} values, more than {MAX_KEPT}: use the metric with bins, or fewer batches");
            return Err(MergeError::new(field, reason));
        }
        Arc::make_mut(&mut self.0).extend(other.0.iter().cloned());
        Ok(())
    }

    fn to_part(&self) -> Part {
        Part::Array(self.joined())
    }

    fn restored(&self, part: Part) -> Option<Self> {
        if let Part::Array(array) = part { Some(Self::new(array)) } else { None }
    }
}
