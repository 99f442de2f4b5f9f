//! The state of another rank that rank 0 writes into a checkpoint.

use serde::{Deserialize, Serialize};
use stormfire_checkpoint::NamedTensors;
use stormfire_optim::window::OpenWindow;

use crate::log_state::LogState;

/// The parts of another rank.
#[derive(Debug, Default)]
pub(crate) struct OfRank {
    pub(crate) plain: Plain,
    /// The gradients of its window.
    pub(crate) window: NamedTensors,
}

/// Its plain values.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Plain {
    pub(crate) log: LogState,
    pub(crate) window: OpenWindow,
}
