//! Errors of ranks.

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the ranks of a training.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another rank has failed, or is gone.
    #[error("rank {rank} has failed: {reason}")]
    Rank {
        /// The number of that rank.
        rank: usize,
        /// Its error, or how it is known to be gone.
        reason: String,
    },
    /// Two ranks make different calls at the same time, or with buckets of different lengths.
    #[error("the ranks are out of step: rank {} calls `{}`, and rank {} calls `{}`", ranks[0].0, ranks[0].1, ranks[1].0, ranks[1].1)]
    OutOfStep {
        /// Two ranks and their calls.
        ranks: [(usize, String); 2],
    },
}

impl Error {
    /// What to do about it, if that is known.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Rank { rank, .. } => format!("the cause is in the output of rank {rank}"),
            Self::OutOfStep { .. } => {
                "all ranks must run the same program with the same options and data, and reach every collective call in the same order"
                    .into()
            }
        })
    }
}
