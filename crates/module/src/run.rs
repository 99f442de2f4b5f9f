//! The state of a run that its callbacks can read.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use stormfire_checkpoint::storage::spelled_out;
use stormfire_data::Stage;
use stormfire_loggers::Loggers;

use stormfire_values::every::{Passed, Tick};

use crate::{
    moment::{Moment, Progress},
    place::Place,
    run_internals::RunInternals,
};

/// The limits of a run. `None` means no limit, or unknown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// Maximum number of epochs.
    pub max_epochs: Option<usize>,
    /// Maximum number of optimizer steps.
    pub max_steps: Option<u64>,
    /// Number of training batches per epoch.
    pub train_batches: Option<usize>,
    /// Number of validation batches of each loader. Empty if the run does not validate.
    pub val_batches: Vec<Option<usize>>,
    /// Number of batches of each loader in the sanity check.
    pub sanity_batches: Vec<Option<usize>>,
    /// Number of test batches of each loader.
    pub test_batches: Vec<Option<usize>>,
    /// Number of prediction batches of each loader.
    pub predict_batches: Vec<Option<usize>>,
}

impl Limits {
    /// Whether this fit validates.
    pub fn validates(&self) -> bool {
        self.val_batches.iter().any(|batches| *batches != Some(0))
    }

    /// Optimizer steps in a full fit with `accumulate_grad_batches` batches per step. The last step of an epoch may use
    /// fewer batches.
    pub fn steps(&self, accumulate_grad_batches: usize) -> Option<u64> {
        let in_epoch = self.train_batches.map(|batches| batches.div_ceil(accumulate_grad_batches.max(1)) as u64);
        let in_epochs = self.max_epochs.zip(in_epoch).map(|(epochs, steps)| steps.saturating_mul(epochs as u64));
        in_epochs.into_iter().chain(self.max_steps).min()
    }
}

/// The state of a run that its callbacks can read.
#[derive(Debug)]
pub struct Run {
    /// The unique id of this run. A resumed fit has the id of the run that wrote its checkpoint.
    pub id: String,
    /// The checkpoint that the fit was resumed from, as it was given.
    pub resumed_from: Option<PathBuf>,
    /// The stage: fit, validate, test or predict.
    pub stage: Stage,
    /// The current activity and position of the loop.
    pub moment: Moment,
    /// The position of the fit: the state of the loop in a checkpoint.
    pub place: Place,
    /// The limits of the run.
    pub limits: Limits,
    /// Number of steps between two logged ones. 0 never logs steps.
    pub log_every_n_steps: u64,
    /// Whether validation runs once per epoch, at its end, so that monitors may decide at the end of the training
    /// epoch.
    pub validates_every_epoch: bool,
    /// Whether the step of the ending batch was skipped: its loss or gradients were not finite (`on_non_finite`).
    pub step_skipped: bool,
    /// Number of training batches that the ranks work on now, one each: 1 without other ranks. All of them count in the
    /// progress.
    pub round: usize,
    /// Number of items in the current batch, if its loader or the module reports it. 1 between batches.
    pub batch_items: Option<usize>,
    /// Total time that the loop has waited for training batches since the fit started in this process.
    pub data_wait: Duration,
    /// Whether the run only checks that the code runs. Callbacks that save or stop do nothing then.
    pub fast_dev_run: bool,
    /// The folder of the run's files if no logger has one. May be the URL of a store.
    pub default_root_dir: PathBuf,
    /// The loggers, each on its own thread.
    pub loggers: Loggers,
    /// While a failure is handled: the position in a checkpoint that is requested now.
    pub boundary: Option<Place>,
    /// For the Trainer only.
    #[doc(hidden)]
    pub internals: RunInternals,
}

impl Run {
    /// The progress by the training batch that has just ended. `stepped`: an optimizer stepped. `elapsed`: the time
    /// since the last period ended.
    pub fn tick_after_batch(&self, stepped: bool, elapsed: Duration) -> Tick {
        self.tick(&self.place.progress, stepped, elapsed)
    }

    /// The progress by the training batch that starts, if it will end with a step.
    pub fn tick_before_batch(&self, elapsed: Duration) -> Tick {
        let Progress { epoch, batch_in_epoch, batches, global_step } = self.place.progress;
        let round = self.round;
        let ended =
            Progress { epoch, batch_in_epoch: batch_in_epoch + round, batches: batches + round as u64, global_step: global_step + 1 };
        self.tick(&ended, true, elapsed)
    }

    fn tick(&self, progress: &Progress, stepped: bool, elapsed: Duration) -> Tick {
        Tick {
            steps: stepped.then(|| Passed::one(progress.global_step)),
            batches: Some(Passed::of(self.round as u64, progress.batches)),
            epochs: self.place.is_last_batch.then(|| Passed::one(progress.epoch as u64 + 1)),
            in_epoch: Some((Passed::of(self.round as u64, progress.batch_in_epoch as u64), self.limits.train_batches)),
            elapsed,
        }
    }

    /// Whether the ending training epoch was cut short by `max_steps` or `skip_epoch`.
    pub fn is_cut_short(&self) -> bool {
        !self.place.is_last_batch
    }

    /// Whether this is the file that the fit was resumed from and that is never removed, regardless of the spelling of
    /// its folder. A link and its target are different files.
    pub fn spares(&self, path: &Path) -> bool {
        self.internals.spares_resumed && self.resumed_from.as_ref().is_some_and(|from| spelled_out(from) == spelled_out(path))
    }
}
