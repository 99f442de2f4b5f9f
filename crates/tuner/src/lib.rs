//! Finds hyperparameters: the [`Tuner`] a learning rate and a batch size, a [`Sweep`] anything else.
//! [`cross_validate`] measures on several folds.

mod batch_size;
mod copied_data;
mod files;
mod folds;
mod jobs;
mod lr_find;
mod ranks;
mod sweep;
mod tables;
mod tuner;

pub use batch_size::{BatchSizeSearch, ScaleBatchSize};
pub use folds::{FoldScores, cross_validate};
pub use lr_find::{LrCurve, LrFind, LrPoint, Spacing, Suggestion};
pub use sweep::{Pruner, Space, Sweep, SweepResult, Trial, TrialRecord, TrialState};
pub use tuner::Tuner;

/// The parts of searches that the command line needs. The crate `stormfire` does not export it.
pub mod for_cli {
    pub use crate::batch_size::{is_batch_size_trial, is_without_effect, try_batch_size};
    pub use crate::jobs::{MOST_JOBS, work_off};
    pub use crate::lr_find::try_lr_find;
    pub use crate::sweep::{ProcessEnd, TrialTask, check_sweep, run_in_processes};
}
