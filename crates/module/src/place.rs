//! The position of a fit: the state of its loop in a checkpoint, as one value that the loop changes and that is saved.
//!
//! A checkpoint can be written after a batch and before the validation that follows it, after that validation, or
//! within it if a signal ends the run. The run resumes after that point and repeats nothing.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use stormfire_optim::window::OpenWindow;
use stormfire_values::clock;

use crate::{loss_scale::LossScale, moment::Progress, requests::Requests};

/// A position in the data of an evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluationPosition {
    /// The 0-based number of the loader.
    pub dataloader_idx: usize,
    /// The 0-based number of its next batch.
    pub batch_idx: usize,
}

/// The position of a fit between its batches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing about the moment")]
pub struct Place {
    /// The progress of the fit. A manifest contains it at its top level.
    #[serde(skip)]
    pub progress: Progress,
    /// A batch has ended, but the actions after it have not: validation, and possibly the end of the epoch.
    pub after_batch: bool,
    /// The current evaluation, or the one during which a signal ended the run.
    pub evaluating: Option<EvaluationPosition>,
    /// Total number of batches of each validation loader: the step of its step metrics.
    pub evaluated: Vec<u64>,
    /// The time since the last validation ended.
    pub last_validation: Stopwatch,
    /// Number of steps that were skipped in a row until now (`on_non_finite`).
    pub skipped_in_a_row: u32,
    /// Whether validation runs after the current batch.
    pub validation_is_due: bool,
    /// Whether the current batch is the last one of its epoch.
    pub is_last_batch: bool,
    /// The step number of the loggers for current values: the 0-based count of batches that stepped.
    pub logger_step: u64,
    /// Whether the metrics of this batch go to the loggers (`log_every_n_steps`).
    pub logs_this_step: bool,
    /// The learning rates of the next optimizer steps, by name.
    pub learning_rates: Vec<(String, f64)>,
    /// Number of batches per optimizer step.
    pub accumulate_grad_batches: usize,
    /// The current window of gradients. In `on_train_batch_end` of its last batch it is empty.
    pub window: OpenWindow,
    /// The scale of the loss, with the precision `16-mixed`.
    pub loss_scale: Option<LossScale>,
    /// Batches that are left out: their epoch, and their number in it.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub left_out: BTreeSet<(usize, usize)>,
    /// Number of ranks. 0 in the files of a version that knew one only.
    pub ranks: usize,
    /// The window of each rank, if there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<OpenWindow>,
    /// The requests of callbacks.
    pub requests: Requests,
}

impl Place {
    /// Whether the position is between two batches of a validation.
    pub fn is_in_validation(&self) -> bool {
        self.evaluating.is_some()
    }
}

/// Measures time from a moment on. It is stopped in a saved state. A resumed run continues the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopwatch {
    /// Running since this moment.
    Running(Instant),
    /// Stopped after this time.
    Stopped(Duration),
}

impl Default for Stopwatch {
    /// Starts now.
    fn default() -> Self {
        Self::Running(clock::now())
    }
}

impl Stopwatch {
    /// The elapsed time.
    pub fn elapsed(self) -> Duration {
        match self {
            Self::Running(since) => clock::since(since),
            Self::Stopped(elapsed) => elapsed,
        }
    }

    /// Stops the measurement.
    pub fn stop(&mut self) {
        *self = Self::Stopped(self.elapsed());
    }

    /// Continues the measurement.
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
