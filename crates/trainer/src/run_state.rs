//! What a checkpoint holds of a run beside parameters and optimizers, as it was at one boundary of the loop.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stormfire_checkpoint::{Manifest, Snapshot};
use stormfire_module::{Result, moment::Progress, optimizer::OptimizersSnapshot, state};

use crate::{
    log_state::{LogState, Pending},
    loop_state::LoopState,
};

/// The small state of a run. Numbers that are still on the device are among the pending ones.
#[derive(Clone, Debug)]
pub(crate) struct RunState {
    pub(crate) progress: Progress,
    pub(crate) loops: LoopState,
    pub(crate) log: LogState,
    pub(crate) pending: Pending,
    /// By their keys.
    pub(crate) callbacks: Map<String, Value>,
    /// Of the data module.
    pub(crate) data_module: Value,
}

/// The state of the last boundary, for a checkpoint after a failure: what comes later may be half done.
#[derive(Debug)]
pub(crate) struct Kept<M> {
    /// In evaluation mode: such a copy shares no running statistics with the module.
    pub(crate) module: M,
    pub(crate) optimizers: OptimizersSnapshot,
    /// Those of a window that is not full.
    pub(crate) gradients: Snapshot,
    pub(crate) run: RunState,
    /// So many checkpoints had been asked for by then; those asked for later are of a state that is not kept.
    pub(crate) saves: usize,
}

/// The state before the end of an epoch that ended early because the fit did, for a fit that is to train longer.
///
/// Its hooks have seen the epoch end, and the loggers have its metrics: the checkpoint itself holds that.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct UnfinishedEpoch {
    pub(crate) progress: Progress,
    pub(crate) loops: LoopState,
    pub(crate) log: LogState,
    /// Without those that save: they know the files that there are.
    pub(crate) callbacks: Map<String, Value>,
    pub(crate) loggers: Vec<Value>,
    pub(crate) data_module: Value,
}

impl UnfinishedEpoch {
    /// Puts this state in place of the one behind the end of the epoch.
    pub(crate) fn take_up(self, manifest: &mut Manifest) -> Result<()> {
        let mut ended = LoopState::default();
        state::load(&mut ended, std::mem::take(&mut manifest.loops))?;
        manifest.loops = state::save(&self.loops.with_requests_of(ended))?;
        manifest.progress = state::save(&self.progress)?;
        manifest.log = state::save(&self.log)?;
        manifest.loggers = Value::Array(self.loggers);
        manifest.data_module = self.data_module;
        for (key, state) in self.callbacks {
            manifest.callbacks.insert(key, state);
        }
        Ok(())
    }
}
