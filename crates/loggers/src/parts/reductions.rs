//! The reduction of each metric name.

use std::collections::HashMap;

use crate::Reduce;

/// The reduction of each metric name.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Reductions {
    default: Reduce,
    names: HashMap<String, Reduce>,
}

impl Reductions {
    pub(crate) fn set(&mut self, name: impl Into<String>, reduce: Reduce) {
        self.names.insert(name.into(), reduce);
    }

    pub(crate) fn set_default(&mut self, reduce: Reduce) {
        self.default = reduce;
    }

    /// `epoch` is a counter, so its default is the last value: a mean of two epochs has no meaning.
    pub(crate) fn of(&self, name: &str) -> Reduce {
        let known = if self.names.is_empty() { None } else { self.names.get(name).copied() };
        known.unwrap_or(if name == "epoch" { Reduce::Last } else { self.default })
    }
}
