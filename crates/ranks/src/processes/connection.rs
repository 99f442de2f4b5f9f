//! A communicator of MPI, with ranks counted in `usize`.

use mpi::topology::{AnyProcess, Communicator as _, Process, SimpleCommunicator};

/// The ranks, and the way to them.
pub(super) struct Connection {
    communicator: SimpleCommunicator,
    /// The number of this rank.
    pub(super) rank: usize,
    /// The number of ranks.
    pub(super) world: usize,
}

impl Connection {
    /// A separate connection, whose messages do not mix with those of others. All ranks must make it.
    pub(super) fn new(world: &SimpleCommunicator) -> Self {
        let [rank, size] = [world.rank(), world.size()].map(|number| usize::try_from(number).unwrap_or(0));
        Self { communicator: world.duplicate(), rank, world: size }
    }

    /// Another rank.
    pub(super) fn process(&self, rank: usize) -> Process<'_> {
        // MPI counts its ranks in `i32`.
        self.communicator.process_at_rank(i32::try_from(rank).unwrap_or(i32::MAX))
    }

    /// The sender of the next message, whichever rank it is.
    pub(super) fn any(&self) -> AnyProcess<'_> {
        self.communicator.any_process()
    }

    /// All other ranks.
    pub(super) fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let rank = self.rank;
        (0..self.world).filter(move |other| *other != rank)
    }
}
