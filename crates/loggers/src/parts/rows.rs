//! Several calls with one step become one row.

use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::Metrics;
use crate::parts::reductions::Reductions;
use crate::value::reduce::Reduced;

/// What was logged for one step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) step: Option<u64>,
    pub(crate) metrics: Metrics,
}

/// A row that may still grow.
#[derive(Debug, Clone)]
struct Open {
    step: Option<u64>,
    values: IndexMap<Arc<str>, Reduced>,
}

/// The same as plain data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedOpen {
    step: Option<u64>,
    values: Vec<(String, Reduced)>,
}

/// Collects calls into rows: calls in a row with the same step share one, a call without a step has one of its own.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    reductions: Reductions,
    open: Option<Open>,
}

impl Rows {
    pub(crate) fn reductions(&mut self) -> &mut Reductions {
        &mut self.reductions
    }

    /// Rows of another run, reduced in the same way.
    pub(crate) fn another(&self) -> Self {
        Self { reductions: self.reductions.clone(), open: None }
    }

    /// Takes values in; returns the row before if it is complete.
    pub(crate) fn push(&mut self, step: Option<u64>, metrics: &Metrics) -> Option<Row> {
        let same = step.is_some() && self.open.as_ref().is_some_and(|row| row.step == step);
        let complete = if same { None } else { self.take() };
        let row = self.open.get_or_insert_with(|| Open { step, values: IndexMap::with_capacity(metrics.len()) });
        for (name, value) in metrics.shared() {
            match row.values.get_mut(name) {
                Some(reduced) => reduced.add(value, self.reductions.of(name)),
                None => drop(row.values.insert(Arc::clone(name), Reduced::new(value))),
            }
        }
        complete
    }

    /// Closes the open row.
    pub(crate) fn take(&mut self) -> Option<Row> {
        let row = self.peek();
        self.open = None;
        row
    }

    /// The open row as it is now.
    pub(crate) fn peek(&self) -> Option<Row> {
        let Open { step, values } = self.open.as_ref()?;
        let metrics = values.iter().map(|(name, reduced)| (Arc::clone(name), reduced.value(self.reductions.of(name))));
        Some(Row { step: *step, metrics: metrics.collect() })
    }

    /// The open row, for a position.
    pub(crate) fn open(&self) -> Option<SavedOpen> {
        let Open { step, values } = self.open.as_ref()?;
        Some(SavedOpen { step: *step, values: values.iter().map(|(name, reduced)| (name.to_string(), *reduced)).collect() })
    }

    /// Goes on with the open row of a position.
    pub(crate) fn reopen(&mut self, open: Option<SavedOpen>) {
        let shared = |SavedOpen { step, values }: SavedOpen| {
            let values = values.into_iter().map(|(name, reduced)| (name.into(), reduced));
            Open { step, values: values.collect() }
        };
        self.open = open.map(shared);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reduce;

    fn row(step: Option<u64>, metrics: impl Into<Metrics>) -> Row {
        Row { step, metrics: metrics.into() }
    }

    #[test]
    fn calls_of_one_step_share_a_row_and_others_do_not() {
        let mut rows = Rows::default();
        rows.reductions().set("n", Reduce::Sum);
        assert_eq!(rows.take(), None);
        assert_eq!(rows.push(Some(1), &[("a", 1.0), ("n", 1.0), ("epoch", 0.0)].into()), None);
        assert_eq!(rows.push(Some(1), &[("b", 7.0), ("a", 2.0), ("n", 1.0), ("epoch", 1.0)].into()), None);
        assert_eq!(rows.push(Some(2), &[("a", 5.0)].into()), Some(row(Some(1), [("a", 1.5), ("n", 2.0), ("epoch", 1.0), ("b", 7.0)])));
        assert_eq!(rows.push(None, &[("a", 6.0)].into()), Some(row(Some(2), [("a", 5.0)])));
        assert_eq!(rows.push(None, &[("a", 7.0)].into()), Some(row(None, [("a", 6.0)])));
        assert_eq!(rows.take(), Some(row(None, [("a", 7.0)])));
    }

    #[test]
    fn an_open_row_goes_on_after_a_restart() {
        let mut before = Rows::default();
        before.push(Some(3), &[("a", f64::from(0.1_f32)), ("b", f64::NAN), ("c", f64::NEG_INFINITY)].into());
        let text = serde_json::to_string(&before.open()).unwrap();
        let mut after = Rows::default();
        after.reopen(serde_json::from_str(&text).unwrap());
        let more = [("a", 0.7)].into();
        before.push(Some(3), &more);
        after.push(Some(3), &more);
        let (before, after) = (before.take().unwrap().metrics, after.take().unwrap().metrics);
        assert_eq!(before.get("a").map(f64::to_bits), after.get("a").map(f64::to_bits));
        assert!(after.get("b").is_some_and(f64::is_nan));
        assert_eq!(after.get("c"), Some(f64::NEG_INFINITY));
    }
}
