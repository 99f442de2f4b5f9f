//! Where a fit is: everything about its loop that a checkpoint holds, as one value that the loop works on and that is saved.
//!
//! A checkpoint can be written after a batch and before the validation that follows it, after that validation, or, when a
//! signal ends the run, in the middle of it. The run continues behind that point and repeats nothing.

use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use stormfire_optim::window::OpenWindow;
use stormfire_values::clock;

use crate::{moment::Progress, requests::Requests};

/// A place in the data of an evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluationPosition {
    /// The 0-based number of the loader.
    pub dataloader_idx: usize,
    /// The 0-based number of its next batch.
    pub batch_idx: usize,
}

/// Where a fit is between and behind its batches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing about the moment")]
pub struct Place {
    /// How far the fit is. A manifest shows it at its top.
    #[serde(skip)]
    pub progress: Progress,
    /// A batch has ended, and what follows it has not: validation, then perhaps the end of the epoch.
    pub after_batch: bool,
    /// The evaluation that is running, or was when a signal ended the run.
    pub evaluating: Option<EvaluationPosition>,
    /// How many batches each validation loader has given in all: the step of its step metrics.
    pub evaluated: Vec<u64>,
    /// When the last validation ended.
    pub last_validation: Stopwatch,
    /// How many steps in a row were left out, up to now (`on_non_finite`).
    pub skipped_in_a_row: u32,
    /// Validation runs after the batch that is ending now.
    pub validation_is_due: bool,
    /// The batch that is running is the last one of its epoch.
    pub is_last_batch: bool,
    /// The step number under which loggers record what happens now: the 0-based count of batches that stepped.
    pub logger_step: u64,
    /// Whether the metrics of this batch go to the loggers (`log_every_n_steps`).
    pub logs_this_step: bool,
    /// The learning rates by name, with which the optimizers step next.
    pub learning_rates: Vec<(String, f64)>,
    /// How many batches' gradients make one step.
    pub accumulate_grad_batches: usize,
    /// The window of gradients at hand. In `on_train_batch_end` of its last batch it has no batches.
    pub window: OpenWindow,
    /// What callbacks have asked for.
    pub requests: Requests,
}

impl Place {
    /// Where a fit begins.
    pub fn new(accumulate_grad_batches: usize) -> Self {
        Self { accumulate_grad_batches, ..Self::default() }
    }

    /// This place as a fit continues from it, with this number of batches a step for a new epoch.
    #[must_use]
    pub fn restored(mut self, accumulate_grad_batches: usize) -> Self {
        if !self.progress.has_begun() {
            // A fit that has not trained yet begins again with its sanity check.
            self.evaluating = None;
        }
        if self.progress.batch_in_epoch == 0 {
            // At the start of an epoch the options and the scheduler callback decide anew.
            self.accumulate_grad_batches = accumulate_grad_batches;
        }
        self.last_validation.start();
        self
    }

    /// Whether it lies between two batches of a validation.
    pub fn is_in_validation(&self) -> bool {
        self.evaluating.is_some()
    }
}

/// Measures time from a moment on. It stands still in a saved state: a run that continues counts on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopwatch {
    /// Since this moment.
    Running(Instant),
    /// This much had passed when it was stopped.
    Stopped(Duration),
}

impl Default for Stopwatch {
    /// From now on.
    fn default() -> Self {
        Self::Running(clock::now())
    }
}

impl Stopwatch {
    /// The time that has passed.
    pub fn elapsed(self) -> Duration {
        match self {
            Self::Running(since) => clock::since(since),
            Self::Stopped(elapsed) => elapsed,
        }
    }

    /// Lets it stand still.
    pub fn stop(&mut self) {
        *self = Self::Stopped(self.elapsed());
    }

    /// Lets it run on.
    pub fn start(&mut self) {
        *self = Self::Running(clock::now().checked_sub(self.elapsed()).unwrap_or_else(clock::now));
    }
}

impl Serialize for Stopwatch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.elapsed().as_secs_f64())
    }
}

impl<'de> Deserialize<'de> for Stopwatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::Stopped(Duration::try_from_secs_f64(f64::deserialize(deserializer)?).unwrap_or_default()))
    }
}
