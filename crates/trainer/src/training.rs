//! The state that a fit changes, except the module's parameters.

use stormfire_module::for_trainer::KnownStats;
use stormfire_optim::{Optimizers, window::Accumulated};

use crate::fit_state::RunState;

/// The optimizers, and the gradients of an incomplete window.
#[derive(Debug, Default)]
pub(crate) struct Training {
    pub(crate) optimizers: Optimizers,
    pub(crate) accumulated: Accumulated,
    /// The running statistics among the parameters of the module.
    pub(crate) stats: KnownStats,
    /// The state of the fit before it ended within an epoch.
    pub(crate) unfinished: Option<RunState>,
}
