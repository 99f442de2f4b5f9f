//! The agreement between ranks. There is one rank for now. The loop is written for several.

#[cfg(test)]
mod tests;

use stormfire_module::Result;

use crate::signals::Signal;

/// The communication about everything that must be equal on all ranks.
pub(crate) trait Communicator: Send {
    /// The number of this rank, from 0.
    fn rank(&self) -> usize;

    /// Number of ranks.
    fn world(&self) -> usize;

    /// The union of the flags of all ranks. All ranks call it at the same points of the loop, and wait for each other.
    ///
    /// # Errors
    /// Fails if a rank has failed. The error contains its number.
    fn agree(&mut self, said: Flags) -> Result<Flags>;

    /// Reports to the other ranks that this one fails. Current and later calls of `agree` on them fail.
    fn abort(&mut self, reason: &str);

    /// Only rank 0 writes files, prints, and contacts services.
    fn is_global_zero(&self) -> bool {
        self.rank() == 0
    }
}

/// The flags of a rank at a boundary of the loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u64);

impl Flags {
    /// The fit must stop.
    pub(crate) const STOP: Self = Self(1);
    /// The rest of the epoch is skipped.
    pub(crate) const SKIP_EPOCH: Self = Self(1 << 1);
    /// Validation is due by the clock of this rank.
    pub(crate) const VALIDATE: Self = Self(1 << 2);

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

/// The communicator of this process.
pub(crate) fn ranks() -> Box<dyn Communicator> {
    #[cfg(test)]
    if let Some(fake) = tests::fake() {
        return fake;
    }
    Box::new(SingleRank)
}

/// A single rank, which agrees with itself.
#[derive(Clone, Copy, Debug, Default)]
struct SingleRank;

impl Communicator for SingleRank {
    fn rank(&self) -> usize {
        0
    }

    fn world(&self) -> usize {
        1
    }

    fn agree(&mut self, said: Flags) -> Result<Flags> {
        Ok(said)
    }

    fn abort(&mut self, _reason: &str) {}
}
