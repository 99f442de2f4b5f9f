//! What a fit changes beside the module's parameters.

use burn::optim::GradientsParams;
use stormfire_module::Optimizers;

/// The optimizers, and the gradients of a window that is not full yet.
#[derive(Debug, Default)]
pub(crate) struct Training {
    pub(crate) optimizers: Optimizers,
    pub(crate) accumulated: Option<GradientsParams>,
}
