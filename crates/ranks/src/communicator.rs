//! The collective calls of the ranks of a training.

use crate::error::Result;

/// The connection of a rank with the others.
///
/// All methods except `rank`, `world`, `local_rank`, `is_global_zero` and `abort` are collective: every rank calls them
/// in the same order, and waits for the others.
///
/// # Errors
/// A collective call fails if another rank has failed or died. The error names that rank. All later calls then fail
/// with the same error.
pub trait Communicator: Send {
    /// The number of this rank, from 0.
    fn rank(&self) -> usize;

    /// The number of ranks.
    fn world(&self) -> usize;

    /// The number of this rank among those of the same machine, from 0.
    fn local_rank(&self) -> usize;

    /// Sums over all ranks. The numbers are added in the order of the ranks, `((r0 + r1) + r2) + …`. Every rank gets
    /// the same bits, and a single process that adds in this order gets them, too.
    fn all_reduce(&mut self, bucket: &mut [f32]) -> Result<()>;

    /// Like `all_reduce`, for `f64`.
    fn all_reduce_f64(&mut self, bucket: &mut [f64]) -> Result<()>;

    /// The union (bitwise or) of the flags of all ranks.
    fn agree(&mut self, flags: u64) -> Result<u64>;

    /// The bytes of all ranks in their order, on rank 0. `None` on the other ranks.
    fn gather(&mut self, bytes: Vec<u8>) -> Result<Option<Vec<Vec<u8>>>>;

    /// Replaces the bytes of all ranks with those of rank 0.
    fn broadcast(&mut self, bytes: &mut Vec<u8>) -> Result<()>;

    /// Waits until all ranks are here.
    fn barrier(&mut self) -> Result<()>;

    /// Reports to the other ranks, as far as possible, that this rank fails. Their current and later collective calls
    /// fail with an error that names this rank and this reason.
    fn abort(&mut self, reason: &str);

    /// Whether this is rank 0, the only one that writes files, prints, and contacts services.
    fn is_global_zero(&self) -> bool {
        self.rank() == 0
    }
}
