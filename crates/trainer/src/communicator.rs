//! What ranks must agree on. There is one rank for now; the loop is written as if it had siblings.

/// Everything that must be the same on all ranks goes through here.
pub(crate) trait Communicator: Send {
    /// This rank's number, from 0.
    fn rank(&self) -> usize;

    /// Whether any rank says so.
    fn any(&self, flag: bool) -> bool;

    /// Files, consoles and services are rank 0's.
    fn is_global_zero(&self) -> bool {
        self.rank() == 0
    }
}

/// A rank without siblings: it agrees with itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SingleRank;

impl Communicator for SingleRank {
    fn rank(&self) -> usize {
        0
    }

    fn any(&self, flag: bool) -> bool {
        flag
    }
}
