//! What a fit changes beside the module's parameters.

use stormfire_optim::{Optimizers, window::Accumulated};

use crate::fit_state::RunState;

/// The optimizers, and the gradients of a window that is not full yet.
#[derive(Debug, Default)]
pub(crate) struct Training {
    pub(crate) optimizers: Optimizers,
    pub(crate) accumulated: Accumulated,
    /// Where the fit was before it ended in the middle of an epoch.
    pub(crate) unfinished: Option<RunState>,
}
