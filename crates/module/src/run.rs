//! What is known about a run, and what its callbacks may ask of it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use stormfire_checkpoint::storage::spelled_out;
use stormfire_data::Stage;
use stormfire_loggers::Loggers;

use crate::{
    error::{Error, Result},
    log::LogError,
    moment::{Moment, Progress},
    window::OpenWindow,
};

/// How long a run is. `None` means without limit, or not known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// Stop after this many epochs.
    pub max_epochs: Option<usize>,
    /// Stop after this many optimizer steps.
    pub max_steps: Option<u64>,
    /// Training batches of an epoch.
    pub train_batches: Option<usize>,
    /// Validation batches of each loader; empty when the run does not validate.
    pub val_batches: Vec<Option<usize>>,
    /// Batches of each loader in the sanity check.
    pub sanity_batches: Vec<Option<usize>>,
    /// Test batches of each loader.
    pub test_batches: Vec<Option<usize>>,
    /// Predict batches of each loader.
    pub predict_batches: Vec<Option<usize>>,
}

impl Limits {
    /// Whether this fit validates at all.
    pub fn validates(&self) -> bool {
        self.val_batches.iter().any(|batches| *batches != Some(0))
    }

    /// How many optimizer steps a fit takes that nobody stops, if each is made of so many batches. The last one of an epoch
    /// may be made of fewer.
    pub fn steps(&self, accumulate_grad_batches: usize) -> Option<u64> {
        let in_epoch = self.train_batches.map(|batches| batches.div_ceil(accumulate_grad_batches.max(1)) as u64);
        let in_epochs = self.max_epochs.zip(in_epoch).map(|(epochs, steps)| steps.saturating_mul(epochs as u64));
        in_epochs.into_iter().chain(self.max_steps).min()
    }
}

/// Everything about a run that its callbacks may look at.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing about the moment")]
pub struct Run {
    /// Names this run among all others. A fit that goes on from a checkpoint is the run that wrote it.
    pub id: String,
    /// The checkpoint that the fit goes on from, as it was given.
    pub resumed_from: Option<PathBuf>,
    /// Somebody has named that file, so that it is never removed. `ckpt_path("last")` names none: there a restart is to
    /// leave no trace.
    pub spares_resumed: bool,
    /// Reads the id of the run that wrote a checkpoint; `None` if there is no whole checkpoint under this path.
    pub owner_of: fn(&Path) -> Option<String>,
    /// Which of fit, validate, test, predict this is.
    pub stage: Stage,
    /// What the loop does now, and where it is.
    pub moment: Moment,
    /// How far the fit is.
    pub progress: Progress,
    /// How long the run is.
    pub limits: Limits,
    /// The step number under which loggers record what happens now: the 0-based count of batches that stepped.
    pub logger_step: u64,
    /// Whether the metrics of this batch go to the loggers (`log_every_n_steps`).
    pub logs_this_step: bool,
    /// How many steps lie between two logged ones; 0 never logs steps.
    pub log_every_n_steps: u64,
    /// Validation runs once an epoch, at its end: monitors may look at the end of the training epoch.
    pub validates_every_epoch: bool,
    /// Validation runs after the batch that is ending now.
    pub validation_is_due: bool,
    /// The batch that is running is the last one of its epoch.
    pub is_last_batch: bool,
    /// The step of the batch that is ending was left out: its loss or gradients were not finite (`on_non_finite`).
    pub step_skipped: bool,
    /// How many items the batch at hand has, if its loader or the module tells; 1 between batches.
    pub batch_items: Option<usize>,
    /// How long the loop has waited for training batches, since the fit began in this process.
    pub data_wait: Duration,
    /// The window of gradients at hand. In `on_train_batch_end` of its last batch it has no batches.
    pub window: OpenWindow,
    /// How many batches' gradients make one step.
    pub accumulate_grad_batches: usize,
    /// A run that only checks that the code runs: callbacks that save or stop keep still.
    pub fast_dev_run: bool,
    /// Where runs leave their files when no logger says otherwise; may be the URL of a store.
    pub default_root_dir: PathBuf,
    /// The learning rates by name, with which the optimizers step next.
    pub learning_rates: Vec<(String, f64)>,
    /// The loggers, each behind its own writer.
    pub loggers: Loggers,
    /// What callbacks have asked for.
    pub requests: Requests,
    /// A callback saves when the fit fails: the loop keeps the state of its last boundary, which such a checkpoint holds.
    pub keeps_state: bool,
    /// While a failure is handled: what a checkpoint that is asked for now will hold.
    pub boundary: Option<Boundary>,
}

/// The place in the loop that a checkpoint after a failure holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boundary {
    /// How far the fit was.
    pub progress: Progress,
    /// It lies between two batches of a validation.
    pub is_in_validation: bool,
}

impl Run {
    /// Whether this is the file that the fit goes on from and that is never removed, however its folder is spelled. The
    /// target of a link is another file than the link.
    pub fn spares(&self, path: &Path) -> bool {
        self.spares_resumed && self.resumed_from.as_ref().is_some_and(|from| spelled_out(from) == spelled_out(path))
    }
}

/// What hooks ask for; the loop looks at its own boundaries.
///
/// A checkpoint holds what outlives the moment, the stop and the names of the checkpoints: a fit that goes on from it
/// finds them again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Requests {
    /// End the run, with the reason.
    pub stop: Option<String>,
    /// Leave out the rest of this epoch.
    #[serde(skip)]
    pub skip_epoch: bool,
    /// Checkpoints to write.
    #[serde(skip)]
    pub saves: Vec<SaveRequest>,
    /// The names of all checkpoints of this run that were asked for and are not to be removed, whether or not they are
    /// written yet.
    pub checkpoints: BTreeSet<PathBuf>,
}

/// A checkpoint that a callback wants: the state of the next boundary of the loop, under one or more names.
///
/// It is written in the background, later than the boundary. The order is: the file, its further names, the removal of
/// what it replaces; a kill in between leaves more files than wanted, never fewer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SaveRequest {
    /// The file.
    pub path: PathBuf,
    /// Further names of the same state.
    pub also: Vec<Also>,
    /// Leave out optimizers, callbacks and the loop.
    pub weights_only: bool,
    /// Files to remove afterwards.
    pub then_remove: Vec<PathBuf>,
    /// The monitored metric, for the loggers.
    pub monitor: Option<String>,
    /// Its value.
    pub score: Option<f64>,
    /// It is the best one so far.
    pub is_best: bool,
}

impl SaveRequest {
    /// All names, the file's first.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.path.as_path()).chain(self.also.iter().map(|also| also.path.as_path()))
    }
}

/// A further name of a checkpoint; what had this name before is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Also {
    /// The name.
    pub path: PathBuf,
    /// What stands under it.
    pub kind: AlsoKind,
}

/// What stands under a further name of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlsoKind {
    /// A file that stays when the first name is removed: a hard link, or a copy where there are none.
    Copy,
    /// A relative symbolic link to the first name.
    Link,
}

/// The metrics that hooks may read. The Trainer's log store is one.
pub trait MetricSource {
    /// Takes in what was logged on this thread since the last call, so that the other methods know of it. Costs nothing when
    /// that is nothing, and never reads the device.
    ///
    /// # Errors
    /// The first wrong use of `log`.
    fn take_logged(&mut self, run: &Run) -> Result<(), LogError>;

    /// The value of a metric that callbacks can monitor; reads everything that is still on the device, at once.
    ///
    /// # Errors
    /// [`crate::Error::MetricMissing`] with the names that exist; [`crate::Error::Read`].
    fn metric(&mut self, name: &str) -> Result<f64>;

    /// The names of all metrics that callbacks can monitor.
    fn names(&mut self) -> Vec<String>;

    /// Makes a value known that went to the loggers directly.
    fn insert(&mut self, name: &str, value: f64);

    /// The metrics of the progress bar with their newest values that have left the device. Never waits: what is still
    /// there is fetched in the background and shows up at one of the next calls.
    fn progress_bar_metrics(&mut self) -> Vec<(String, Option<f64>)>;
}

/// What a monitor sees under a name: a metric or, where none was logged under it, `epoch` and `step`, the counters that every
/// run has.
///
/// # Errors
/// As [`MetricSource::metric`].
pub fn monitored(metrics: &mut dyn MetricSource, run: &Run, name: &str) -> Result<f64> {
    match (metrics.metric(name), name) {
        (Err(Error::MetricMissing { .. }), "epoch") => Ok(run.progress.epoch as f64),
        (Err(Error::MetricMissing { .. }), "step") => Ok(run.progress.global_step as f64),
        (metric, _) => metric,
    }
}
