//! Errors of ranks.

use crate::launched::Launched;

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the ranks of a training.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another rank has failed or died.
    #[error("rank {rank} has failed: {reason}")]
    Rank {
        /// The number of that rank.
        rank: usize,
        /// Its error, or how its death was noticed.
        reason: String,
    },
    /// Two ranks make different calls at the same time, or with buckets of different lengths.
    #[error("the ranks are out of step: rank {} calls `{}`, and rank {} calls `{}`", ranks[0].0, ranks[0].1, ranks[1].0, ranks[1].1)]
    OutOfStep {
        /// Two ranks and their calls.
        ranks: [(usize, String); 2],
    },
    /// A launcher started several processes, and this program cannot connect them.
    #[error("started as rank {} of {} by {}, but this program was built without the feature `mpi`", .0.rank, .0.world, .0.by)]
    NotBuilt(Launched),
    /// MPI does not see the processes that the launcher started.
    #[error("started as rank {} of {} by {}, but MPI sees rank {rank} of {world}", launched.rank, launched.world, launched.by)]
    Unconnected {
        /// The rank and the number of ranks according to the launcher.
        launched: Launched,
        /// The rank that MPI sees.
        rank: usize,
        /// The number of ranks that MPI sees.
        world: usize,
    },
    /// MPI cannot be used.
    #[error("MPI cannot be used: {0}")]
    Engine(String),
}

impl Error {
    /// A rank whose process no longer exists.
    #[cfg(feature = "mpi")]
    pub(crate) fn gone(rank: usize) -> Self {
        Self::Rank { rank, reason: "its process has exited or was killed".to_owned() }
    }

    /// How to fix it, if that is known.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Rank { rank, .. } => format!("the cause is in the output of rank {rank}"),
            Self::OutOfStep { .. } => {
                "all ranks must run the same program with the same options and data, and reach every collective call in the same order"
                    .into()
            }
            Self::NotBuilt(launched) => format!(
                "add `features = [\"mpi\"]` to the dependency `stormfire`, or start one process: {} would run the same training {} times",
                launched.by, launched.world
            ),
            Self::Unconnected { .. } => {
                "the launcher must belong to the MPI that the program was built with: `mpirun` of the same package, or `srun --mpi=pmix`"
                    .into()
            }
            Self::Engine(_) => return None,
        })
    }
}
