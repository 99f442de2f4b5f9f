//! The part of the batches that one of several ranks gets.

use std::{iter::StepBy, ops::Range};

/// Every `world`-th batch of a pass, from the `rank`-th on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) rank: usize,
    pub(crate) world: usize,
}

impl Share {
    /// All batches.
    pub(crate) const WHOLE: Self = Self { rank: 0, world: 1 };

    /// The numbers of its batches.
    pub(crate) fn of(self, batches: Range<usize>) -> StepBy<Range<usize>> {
        (batches.start.saturating_add(self.rank).min(batches.end.max(batches.start))..batches.end).step_by(self.world)
    }
}
