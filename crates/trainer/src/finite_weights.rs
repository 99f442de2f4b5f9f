//! Keeps weights that are not finite out of checkpoints: they are looked at on the host, where they are on their way to a file.

use std::collections::BTreeSet;

use burn::tensor::TensorData;
use stormfire_checkpoint::{IN_FORCE, is_finite};
use stormfire_module::{Error, LightningModule, Result, gradients, run::Run};

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

    /// An error that names those that are not finite.
    pub(crate) fn check(&self, tensors: &[(String, TensorData)]) -> Result<()> {
        let broken =
            tensors.iter().filter(|(name, data)| self.trained.contains(name.strip_prefix(IN_FORCE).unwrap_or(name)) && !is_finite(data));
        let parameters: Vec<_> = broken.map(|(name, _)| name.clone()).collect();
        if parameters.is_empty() {
            return Ok(());
        }
        let Self { epoch, batch_idx, global_step, .. } = *self;
        Err(Error::NonFinite { what: TRAINED.into(), epoch, batch_idx, global_step, parameters })
    }
}
