//! What is known about a run, and what its callbacks may ask of it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use stormfire_checkpoint::storage::spelled_out;
use stormfire_data::Stage;
use stormfire_loggers::Loggers;

use stormfire_values::every::{Passed, Tick};

use crate::{
    error::{Error, Result},
    log_error::LogError,
    moment::{Moment, Progress},
    place::Place,
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
    /// Where the fit is: everything about the loop that a checkpoint holds.
    pub place: Place,
    /// How long the run is.
    pub limits: Limits,
    /// How many steps lie between two logged ones; 0 never logs steps.
    pub log_every_n_steps: u64,
    /// Validation runs once an epoch, at its end: monitors may look at the end of the training epoch.
    pub validates_every_epoch: bool,
    /// The step of the batch that is ending was left out: its loss or gradients were not finite (`on_non_finite`).
    pub step_skipped: bool,
    /// How many items the batch at hand has, if its loader or the module tells; 1 between batches.
    pub batch_items: Option<usize>,
    /// How long the loop has waited for training batches, since the fit began in this process.
    pub data_wait: Duration,
    /// A run that only checks that the code runs: callbacks that save or stop keep still.
    pub fast_dev_run: bool,
    /// Where runs leave their files when no logger says otherwise; may be the URL of a store.
    pub default_root_dir: PathBuf,
    /// The loggers, each behind its own writer.
    pub loggers: Loggers,
    /// A callback saves when the fit fails: the loop keeps the state of its last boundary, which such a checkpoint holds.
    pub keeps_state: bool,
    /// While a failure is handled: what a checkpoint that is asked for now will hold.
    pub boundary: Option<Place>,
}

impl Run {
    /// The training batch that has just ended. `stepped` says whether an optimizer stepped, `elapsed` how long ago the last
    /// period ended.
    pub fn tick_after_batch(&self, stepped: bool, elapsed: Duration) -> Tick {
        self.tick(&self.place.progress, stepped, elapsed)
    }

    /// The training batch that begins, as it will be when it has ended with a step.
    pub fn tick_before_batch(&self, elapsed: Duration) -> Tick {
        let Progress { epoch, batch_in_epoch, batches, global_step } = self.place.progress;
        let ended = Progress { epoch, batch_in_epoch: batch_in_epoch + 1, batches: batches + 1, global_step: global_step + 1 };
        self.tick(&ended, true, elapsed)
    }

    fn tick(&self, progress: &Progress, stepped: bool, elapsed: Duration) -> Tick {
        Tick {
            steps: stepped.then(|| Passed::one(progress.global_step)),
            batches: Some(Passed::one(progress.batches)),
            epochs: self.place.is_last_batch.then(|| Passed::one(progress.epoch as u64 + 1)),
            in_epoch: Some((progress.batch_in_epoch, self.limits.train_batches)),
            elapsed,
        }
    }

    /// Whether the training epoch that ends was cut short (`max_steps`, `skip_epoch`) before the validation at its end.
    pub fn is_cut_short(&self) -> bool {
        self.limits.validates() && self.validates_every_epoch && !self.place.is_last_batch
    }

    /// Whether this is the file that the fit goes on from and that is never removed, however its folder is spelled. The
    /// target of a link is another file than the link.
    pub fn spares(&self, path: &Path) -> bool {
        self.spares_resumed && self.resumed_from.as_ref().is_some_and(|from| spelled_out(from) == spelled_out(path))
    }
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

    /// Whether a metric comes from an evaluation, and its value is older than the training epoch that is running.
    fn is_stale(&mut self, name: &str) -> bool;

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
        (Err(Error::MetricMissing { .. }), "epoch") => Ok(run.place.progress.epoch as f64),
        (Err(Error::MetricMissing { .. }), "step") => Ok(run.place.progress.global_step as f64),
        (metric, _) => metric,
    }
}
