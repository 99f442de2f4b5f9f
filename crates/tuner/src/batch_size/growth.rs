//! The sizes that a search tries.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use stormfire_values::{
    reads_text,
    text::{TextError, one_of},
};

/// How a batch size is searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BatchSizeSearch {
    /// Doubles the size until a trial fails. Halves it if the first one fails.
    #[default]
    Power,
    /// As power, then halves the distance between the largest success and the smallest failure.
    Binary,
}

impl FromStr for BatchSizeSearch {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let words = [("power", BatchSizeSearch::Power), ("binary", BatchSizeSearch::Binary), ("binsearch", BatchSizeSearch::Binary)];
        one_of(text, "a search", &words, "`power` or `binary`")
    }
}

reads_text!(BatchSizeSearch);

/// The state of a search.
#[derive(Debug)]
pub(super) struct Search {
    kind: BatchSizeSearch,
    now: usize,
    max: usize,
    fits: Option<usize>,
    fails: Option<usize>,
}

impl Search {
    pub(super) fn new(kind: BatchSizeSearch, first: usize, max: usize) -> Self {
        Self { kind, now: first, max, fits: None, fails: None }
    }

    /// The size of the next trial. `None` if the result is known.
    pub(super) fn next(&mut self) -> Option<usize> {
        self.now = match (self.fits, self.fails) {
            (None, None) => self.now,
            (Some(fits), None) => fits.saturating_mul(2).min(self.max),
            (None, Some(fails)) => fails / 2,
            (Some(fits), Some(fails)) if self.kind == BatchSizeSearch::Binary => usize::midpoint(fits, fails).min(self.max),
            (Some(_), Some(_)) => return None,
        };
        (self.now > 0 && self.fits.is_none_or(|fits| self.now > fits)).then_some(self.now)
    }

    /// The trial has succeeded, with a dataset of this number of items. Returns the size, which is at most that number.
    pub(super) fn fits(&mut self, items: Option<usize>) -> usize {
        self.max = self.max.min(items.unwrap_or(usize::MAX)).max(1);
        let size = self.now.min(self.max);
        self.fits = Some(size);
        size
    }

    /// The trial has failed.
    pub(super) fn fails(&mut self) {
        self.fails = Some(self.now);
    }

    /// The largest success. With a failure, reduced by this share.
    pub(super) fn result(&self, margin: f64) -> Option<usize> {
        let fits = self.fits?;
        Some(if self.fails.is_some() { ((fits as f64 * (1.0 - margin)) as usize).max(1) } else { fits })
    }
}
