//! A moment in a run: the counters that determine everything else.

use std::fmt;

use serde::{Deserialize, Serialize};
pub use stormfire_checkpoint::Progress;
pub use stormfire_data::Stage;

/// The current activity of the loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunningStage {
    /// Training batches of a fit.
    #[default]
    Train,
    /// The few validation batches before a fit.
    SanityCheck,
    /// Validation, inside a fit or alone.
    Validate,
    /// A test run.
    Test,
    /// A predict run.
    Predict,
}

impl RunningStage {
    /// The name: `"train"`, `"sanity_check"`, `"validate"`, `"test"`, `"predict"`.
    pub fn name(self) -> &'static str {
        match self {
            RunningStage::Train => "train",
            RunningStage::SanityCheck => "sanity_check",
            RunningStage::Validate => "validate",
            RunningStage::Test => "test",
            RunningStage::Predict => "predict",
        }
    }

    /// Whether batches are only evaluated: validation (including the sanity check) and test.
    pub fn is_evaluating(self) -> bool {
        matches!(self, RunningStage::SanityCheck | RunningStage::Validate | RunningStage::Test)
    }
}

impl fmt::Display for RunningStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The moment of a hook's call. Steps read it through `self.current_epoch()` and similar methods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// The activity of the loop.
    pub stage: RunningStage,
    /// The 0-based number of the epoch.
    pub epoch: usize,
    /// Number of optimizer steps so far: training batches after which the parameters changed.
    pub global_step: u64,
    /// The 0-based number of the batch in its epoch, or in its evaluation loader.
    pub batch_idx: usize,
    /// The 0-based number of the evaluation loader.
    pub dataloader_idx: usize,
    /// Number of loaders in this stage.
    pub num_dataloaders: usize,
    /// Optimizer steps in a full fit, if known.
    pub fit_steps: Option<u64>,
    /// The number of this process or thread among those of the run, from 0.
    pub rank: usize,
    /// Number of ranks. 0 outside of a run.
    pub world: usize,
}
