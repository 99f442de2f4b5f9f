//! What ranks must agree on. There is one rank for now; the loop is written as if it had siblings.

#[cfg(test)]
mod tests;

use stormfire_module::Result;

use crate::signals::Signal;

/// Everything that must be the same on all ranks goes through here.
pub(crate) trait Communicator: Send {
    /// This rank's number, from 0.
    fn rank(&self) -> usize;

    /// How many ranks there are.
    fn world(&self) -> usize;

    /// What any rank says. All ranks call it at the same places of the loop, and wait for each other.
    ///
    /// # Errors
    /// A rank has failed: the error names it.
    fn agree(&mut self, said: Flags) -> Result<Flags>;

    /// Tells the other ranks that this one fails: whoever waits for it, or will, gets an error.
    fn abort(&mut self, reason: &str);

    /// Files, consoles and services are rank 0's.
    fn is_global_zero(&self) -> bool {
        self.rank() == 0
    }
}

/// What a rank says at a boundary of the loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u64);

impl Flags {
    /// The fit is to stop.
    pub(crate) const STOP: Self = Self(1);
    /// The rest of the epoch is left out.
    pub(crate) const SKIP_EPOCH: Self = Self(1 << 1);
    /// Validation is due, by the clock of this rank.
    pub(crate) const VALIDATE: Self = Self(1 << 2);

    /// This signal asks the run to end.
    pub(crate) fn signal(signal: Signal) -> Self {
        Self(1 << (8 + signal as u64))
    }

    /// These, and others.
    #[must_use]
    pub(crate) fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// These, and others if it is so.
    #[must_use]
    pub(crate) fn and_if(self, is_so: bool, others: Self) -> Self {
        if is_so { self.and(others) } else { self }
    }

    /// Whether all of those were said.
    pub(crate) fn has(self, those: Self) -> bool {
        self.0 & those.0 == those.0
    }
}

/// The ranks of this process.
pub(crate) fn ranks() -> Box<dyn Communicator> {
    #[cfg(test)]
    if let Some(fake) = tests::fake() {
        return fake;
    }
    Box::new(SingleRank)
}

/// A rank without siblings: it agrees with itself.
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
