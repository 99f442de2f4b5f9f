//! What a fit changes beside the module's parameters.

use stormfire_module::{Optimizers, window::Accumulated};

use crate::run_state::UnfinishedEpoch;

/// The optimizers, and the gradients of a window that is not full yet.
#[derive(Debug, Default)]
pub(crate) struct Training {
    pub(crate) optimizers: Optimizers,
    pub(crate) accumulated: Accumulated,
    /// The fit has ended in the middle of this epoch.
    pub(crate) unfinished: Option<UnfinishedEpoch>,
}
