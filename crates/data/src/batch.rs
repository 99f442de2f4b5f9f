use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of batches in one pass over a loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// The exact number of batches.
    Batches(usize),
    /// Unknown before the end, or endless.
    Unknown,
}

impl Length {
    /// The number of batches, if it is known.
    pub fn known(self) -> Option<usize> {
        match self {
            Self::Batches(n) => Some(n),
            Self::Unknown => None,
        }
    }
}

impl From<Option<usize>> for Length {
    fn from(known: Option<usize>) -> Self {
        known.map_or(Self::Unknown, Self::Batches)
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batches(n) => write!(f, "{n}"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// A position in the sequence of all batches: `batch` batches of epoch `epoch` were received.
///
/// It is enough to resume a pass: see [`Loader::batches`](crate::Loader::batches).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The 0-based epoch. Epoch and seed determine the order of a shuffled loader.
    pub epoch: usize,
    /// The number of batches of the epoch that were received. This is also the index of the next batch.
    pub batch: usize,
}

impl Position {
    /// The position before batch `batch` of epoch `epoch`.
    pub fn new(epoch: usize, batch: usize) -> Self {
        Self { epoch, batch }
    }

    /// The position before the first batch of epoch `epoch`.
    pub fn start_of(epoch: usize) -> Self {
        Self { epoch, batch: 0 }
    }
}

/// A batch and its number of items, as a loader returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<B> {
    /// The batch itself.
    pub value: B,
    /// The number of dataset items in the batch. `None` if the loader cannot know it.
    pub items: Option<usize>,
}
