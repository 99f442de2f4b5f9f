//! Keeps non-finite weights out of checkpoints. They are checked on the host, on their way to a file.

use std::collections::BTreeSet;

use burn::tensor::TensorData;
use stormfire_checkpoint::{is_finite, tensor_names::IN_FORCE};
use stormfire_module::{Error, LightningModule, Result, run::Run};
use stormfire_optim::gradients;

use crate::non_finite::NonFinite;

/// The name of the value in an error.
pub(crate) const TRAINED: &str = "a trained parameter";

/// The parameters that must be finite, and the position of the run.
///
/// Parameters that are not trained may be infinite on purpose, such as masks.
pub(crate) struct FiniteWeights {
    trained: BTreeSet<String>,
    epoch: usize,
    batch_idx: usize,
    global_step: u64,
    /// Whether non-finite parameters stop the fit cleanly.
    pub(crate) stops: bool,
}

impl FiniteWeights {
    /// `None` if the policy does not require finite parameters.
    pub(crate) fn of<M: LightningModule>(policy: NonFinite, run: &Run, module: &M) -> Option<Self> {
        matches!(policy, NonFinite::Error | NonFinite::Stop).then(|| Self {
            trained: gradients::trained(module).into_iter().collect(),
            epoch: run.place.progress.epoch,
            batch_idx: run.moment.batch_idx,
            global_step: run.place.logger_step,
            stops: policy == NonFinite::Stop,
        })
    }

    /// Whether this tensor may be written to a checkpoint.
    pub(crate) fn allows(&self, name: &str, data: &TensorData) -> bool {
        !self.trained.contains(name.strip_prefix(IN_FORCE).unwrap_or(name)) || is_finite(data)
    }

    /// The error with the parameters that must not be written.
    pub(crate) fn error(&self, parameters: Vec<String>) -> Error {
        let Self { epoch, batch_idx, global_step, .. } = *self;
        Error::NonFinite { what: TRAINED.into(), epoch, batch_idx, global_step, parameters }
    }

    /// Returns an error with all parameters that are not finite.
    pub(crate) fn check(&self, tensors: &[(String, TensorData)]) -> Result<()> {
        let broken: Vec<_> = tensors.iter().filter(|(name, data)| !self.allows(name, data)).map(|(name, _)| name.clone()).collect();
        if broken.is_empty() { Ok(()) } else { Err(self.error(broken)) }
    }
}
