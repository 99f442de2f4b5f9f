use std::fmt;

use serde::{Deserialize, Serialize};

/// How many batches a pass over a loader has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// Exactly this many.
    Batches(usize),
    /// Not known before the end, or there is no end.
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

/// A place in the sequence of all batches: `batch` batches of epoch `epoch` were received.
///
/// It is all that is needed to go on later: see [`Loader::batches`](crate::Loader::batches).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The epoch, from 0. With the seed it decides the order of a shuffled loader.
    pub epoch: usize,
    /// How many batches of the epoch were received, which is also the index of the next one.
    pub batch: usize,
}

impl Position {
    /// Before batch `batch` of epoch `epoch`.
    pub fn new(epoch: usize, batch: usize) -> Self {
        Self { epoch, batch }
    }

    /// Before the first batch of epoch `epoch`.
    pub fn start_of(epoch: usize) -> Self {
        Self { epoch, batch: 0 }
    }
}

/// A batch as a loader hands it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<B> {
    /// The batch itself.
    pub value: B,
    /// How many items of the dataset are in it; `None` where the loader cannot know.
    pub items: Option<usize>,
}
