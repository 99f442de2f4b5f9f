//! Where a fit is between and behind its batches: what [`Progress`](stormfire_module::moment::Progress) does not say.
//!
//! A checkpoint can be written after a batch and before the validation that follows it, after that validation, or, when a
//! signal ends the run, in the middle of it. The run continues behind that point and repeats nothing.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use stormfire_module::{
    clock,
    run::{Requests, Run},
    window::OpenWindow,
};

use crate::checkpoint_names::Names;

/// A place in the data of an evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EvaluationPosition {
    pub(crate) dataloader_idx: usize,
    pub(crate) batch_idx: usize,
}

/// Live values that outlast a batch.
#[derive(Debug)]
pub(crate) struct LoopClock {
    /// A batch has ended, and what follows it has not: validation, then perhaps the end of the epoch.
    pub(crate) after_batch: bool,
    /// The evaluation that is going on, or was when a signal ended the run.
    pub(crate) evaluating: Option<EvaluationPosition>,
    /// How many batches each validation loader has given in all: the step of its step metrics.
    pub(crate) evaluated: Vec<u64>,
    /// When the last validation ended.
    pub(crate) last_validation: Instant,
    /// How many steps in a row were left out, up to now (`on_non_finite`).
    pub(crate) skipped_in_a_row: u32,
}

impl Default for LoopClock {
    fn default() -> Self {
        Self { after_batch: false, evaluating: None, evaluated: Vec::new(), last_validation: clock::now(), skipped_in_a_row: 0 }
    }
}

/// The same, and what [`Run`] holds of it, in a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing about the moment")]
pub(crate) struct LoopState {
    after_batch: bool,
    evaluating: Option<EvaluationPosition>,
    evaluated: Vec<u64>,
    /// Seconds.
    since_validation: f64,
    validation_is_due: bool,
    is_last_batch: bool,
    skip_epoch: bool,
    pub(crate) requests: Requests,
    logger_step: u64,
    logs_this_step: bool,
    learning_rates: Vec<(String, f64)>,
    accumulate_grad_batches: usize,
    pub(crate) window: OpenWindow,
    skipped_in_a_row: u32,
    /// Of this checkpoint.
    pub(crate) names: Names,
}

impl LoopState {
    pub(crate) fn of(clock: &LoopClock, run: &Run) -> Self {
        Self {
            after_batch: clock.after_batch,
            // A fit that has not trained yet begins again with its sanity check.
            evaluating: clock.evaluating.filter(|_| run.progress.has_begun()),
            evaluated: clock.evaluated.clone(),
            since_validation: self::clock::since(clock.last_validation).as_secs_f64(),
            validation_is_due: run.validation_is_due,
            is_last_batch: run.is_last_batch,
            skip_epoch: run.requests.skip_epoch,
            requests: run.requests.clone(),
            logger_step: run.logger_step,
            logs_this_step: run.logs_this_step,
            learning_rates: run.learning_rates.clone(),
            accumulate_grad_batches: run.accumulate_grad_batches,
            window: run.window.clone(),
            skipped_in_a_row: clock.skipped_in_a_row,
            names: Names::default(),
        }
    }

    /// Whether it lies between two batches of a validation.
    pub(crate) fn is_in_validation(&self) -> bool {
        self.evaluating.is_some()
    }

    /// The same place with what was asked for, and with the names of all checkpoints that there are, by another, later one.
    pub(crate) fn with_requests_of(mut self, later: Self) -> Self {
        self.requests = later.requests;
        self.names = later.names;
        self
    }

    pub(crate) fn restore(self, clock: &mut LoopClock, run: &mut Run) {
        clock.after_batch = self.after_batch;
        clock.evaluating = self.evaluating;
        clock.evaluated = self.evaluated;
        clock.skipped_in_a_row = self.skipped_in_a_row;
        let since = Duration::try_from_secs_f64(self.since_validation).unwrap_or_default();
        clock.last_validation = self::clock::now().checked_sub(since).unwrap_or_else(self::clock::now);
        run.validation_is_due = self.validation_is_due;
        run.is_last_batch = self.is_last_batch;
        run.requests = Requests { skip_epoch: self.skip_epoch, ..self.requests };
        run.logger_step = self.logger_step;
        run.logs_this_step = self.logs_this_step;
        run.learning_rates = self.learning_rates;
        run.window = self.window;
        if run.progress.batch_in_epoch > 0 {
            // At the start of an epoch the options and the scheduler callback decide anew.
            run.accumulate_grad_batches = self.accumulate_grad_batches;
        }
    }
}
