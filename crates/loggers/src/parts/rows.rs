//! Combines several calls with one step into one row.

use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::Metrics;
use crate::parts::reductions::Reductions;
use crate::value::reduce::Reduced;

/// The values of one step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) step: Option<u64>,
    pub(crate) metrics: Metrics,
}

/// A row that is not complete yet.
#[derive(Debug, Clone)]
struct Open {
    step: Option<u64>,
    values: IndexMap<Arc<str>, Reduced>,
}

/// An open row as plain data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedOpen {
    step: Option<u64>,
    values: Vec<(String, Reduced)>,
}

/// Combines calls into rows: consecutive calls with the same step share a row. Each call without a step gets a separate
/// row.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    reductions: Reductions,
    open: Option<Open>,
}

impl Rows {
    pub(crate) fn reductions(&mut self) -> &mut Reductions {
        &mut self.reductions
    }

    /// Rows of another run, with the same reductions.
    pub(crate) fn another(&self) -> Self {
        Self { reductions: self.reductions.clone(), open: None }
    }

    /// Adds values. Returns the previous row if it is complete.
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

    /// Closes the open row and returns it.
    pub(crate) fn take(&mut self) -> Option<Row> {
        let row = self.peek();
        self.open = None;
        row
    }

    /// The current state of the open row.
    pub(crate) fn peek(&self) -> Option<Row> {
        let Open { step, values } = self.open.as_ref()?;
        let metrics = values.iter().map(|(name, reduced)| (Arc::clone(name), reduced.value(self.reductions.of(name))));
        Some(Row { step: *step, metrics: metrics.collect() })
    }

    /// The open row in the form for a position.
    pub(crate) fn open(&self) -> Option<SavedOpen> {
        let Open { step, values } = self.open.as_ref()?;
        Some(SavedOpen { step: *step, values: values.iter().map(|(name, reduced)| (name.to_string(), *reduced)).collect() })
    }

    /// Continues with the open row of a position.
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
    fn an_open_row_continues_after_a_restart() {
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
