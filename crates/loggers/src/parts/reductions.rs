//! Which name is reduced how.

use std::collections::HashMap;

use crate::Reduce;

/// Which name is reduced how.
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

    /// An epoch is a number of something; between two of them lies none.
    pub(crate) fn of(&self, name: &str) -> Reduce {
        let known = if self.names.is_empty() { None } else { self.names.get(name).copied() };
        known.unwrap_or(if name == "epoch" { Reduce::Last } else { self.default })
    }
}
