//! The flags on which the ranks of a run agree at a boundary of the loop.

use crate::signals::Signal;

/// The flags of a rank at a boundary of the loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(pub(crate) u64);

impl Flags {
    /// The fit must stop.
    pub(crate) const STOP: Self = Self(1);
    /// The rest of the epoch is skipped.
    pub(crate) const SKIP_EPOCH: Self = Self(1 << 1);
    /// Validation is due by the clock of this rank.
    pub(crate) const VALIDATE: Self = Self(1 << 2);
    /// A checkpoint was requested.
    pub(crate) const SAVE: Self = Self(1 << 3);
    /// Values that are not finite stop the fit.
    pub(crate) const NOT_FINITE: Self = Self(1 << 4);

    /// This rank has no stop.
    pub(crate) const NO_STOP: Self = Self(1 << 5);

    /// This signal has requested the run to end.
    pub(crate) fn signal(signal: Signal) -> Self {
        Self(1 << (8 + signal as u64))
    }

    /// The union with other flags.
    #[must_use]
    pub(crate) fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// The union with other flags, if `is_so`.
    #[must_use]
    pub(crate) fn and_if(self, is_so: bool, others: Self) -> Self {
        if is_so { self.and(others) } else { self }
    }

    /// Whether all of these flags are set.
    pub(crate) fn has(self, those: Self) -> bool {
        self.0 & those.0 == those.0
    }
}
