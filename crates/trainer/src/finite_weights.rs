//! Keeps weights that are not finite out of checkpoints: they are looked at on the host, where they are on their way to a file.

use std::collections::BTreeSet;

use burn::tensor::TensorData;
use stormfire_checkpoint::{is_finite, tensor_names::IN_FORCE};
use stormfire_module::{Error, LightningModule, Result, run::Run};
use stormfire_optim::gradients;

use crate::non_finite::NonFinite;

/// What an error calls it.
pub(crate) const TRAINED: &str = "a trained parameter";

/// The parameters that have to be finite, and where the run is.
///
/// Those that are not trained may hold infinite numbers on purpose, as masks do.
pub(crate) struct FiniteWeights {
    trained: BTreeSet<String>,
    epoch: usize,
    batch_idx: usize,
    global_step: u64,
    /// The fit stops in good order where they are not.
    pub(crate) stops: bool,
}

impl FiniteWeights {
    /// `None` where nobody asks for it.
    pub(crate) fn of<M: LightningModule>(policy: NonFinite, run: &Run, module: &M) -> Option<Self> {
        matches!(policy, NonFinite::Error | NonFinite::Stop).then(|| Self {
            trained: gradients::trained(module).into_iter().collect(),
            epoch: run.place.progress.epoch,
            batch_idx: run.moment.batch_idx,
            global_step: run.place.logger_step,
            stops: policy == NonFinite::Stop,
        })
    }

    /// Whether this tensor may go into a checkpoint.
    pub(crate) fn allows(&self, name: &str, data: &TensorData) -> bool {
        !self.trained.contains(name.strip_prefix(IN_FORCE).unwrap_or(name)) || is_finite(data)
    }

    /// The error that names those that may not.
    pub(crate) fn error(&self, parameters: Vec<String>) -> Error {
        let Self { epoch, batch_idx, global_step, .. } = *self;
        Error::NonFinite { what: TRAINED.into(), epoch, batch_idx, global_step, parameters }
    }

    /// An error that names those that are not finite.
    pub(crate) fn check(&self, tensors: &[(String, TensorData)]) -> Result<()> {
        let broken: Vec<_> = tensors.iter().filter(|(name, data)| !self.allows(name, data)).map(|(name, _)| name.clone()).collect();
        if broken.is_empty() { Ok(()) } else { Err(self.error(broken)) }
    }
}
