//! A run without a Trainer, for unit tests. Set its fields, then fire hooks at a callback.

use std::time::Duration;

use burn::{
    module::Module,
    nn::{Linear, LinearConfig},
    tensor::{Device, Tensor},
};
use stormfire_loggers::{Loggers, MemoryLogger};
use stormfire_module::{
    Callback, Error, Event, LightningModule, Moment, Result, RunningStage, Stage, StepOutput,
    for_trainer::{ChangeRequests as _, MetricSource, RunInternals, context},
    log_error::LogError,
    place::Place,
    requests::SaveRequest,
    run::{Limits, Run},
    state::Value,
};

/// As the tests of behaviour listen.
#[path = "../../../tests/behaviour/told.rs"]
mod told;

pub(crate) use told::told;

/// A module of one layer.
#[derive(Module, Debug)]
pub(crate) struct Line {
    pub(crate) layer: Linear,
}

impl Line {
    pub(crate) fn layer(&self) -> &Linear {
        &self.layer
    }
}

impl LightningModule for Line {
    type Batch = Tensor<2>;
}

/// Metrics as a table of names and values.
#[derive(Debug, Default)]
pub(crate) struct Table {
    values: Vec<(String, f64)>,
    /// Those of an earlier epoch.
    pub(crate) stale: Vec<String>,
}

impl MetricSource for Table {
    /// On the bench, no hook runs that could log.
    fn take_logged(&mut self, _run: &Run) -> Result<(), LogError> {
        Ok(())
    }

    fn metric(&mut self, name: &str) -> Result<f64> {
        let found = self.values.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
        found.ok_or_else(|| Error::MetricMissing { name: name.into(), available: self.names(), lacks_validation: false })
    }

    fn is_stale(&mut self, name: &str) -> bool {
        self.stale.iter().any(|stale| stale == name)
    }

    fn names(&mut self) -> Vec<String> {
        self.values.iter().map(|(name, _)| name.clone()).collect()
    }

    fn insert(&mut self, name: &str, value: f64) {
        self.values.retain(|(known, _)| known != name);
        self.stale.retain(|stale| stale != name);
        self.values.push((name.into(), value));
    }

    fn progress_bar_metrics(&mut self) -> Vec<(String, Option<f64>)> {
        self.values.iter().map(|(name, value)| (name.clone(), Some(*value))).collect()
    }
}

/// The id of the run on the bench. Its files contain only this id.
pub(crate) const RUN: &str = "this run";

/// A fit of 3 epochs of 10 batches, validated after each epoch.
pub(crate) struct Bench {
    pub(crate) run: Run,
    pub(crate) metrics: Table,
    pub(crate) module: Line,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let limits = Limits { max_epochs: Some(3), train_batches: Some(10), val_batches: vec![Some(2)], ..Limits::default() };
        let run = Run {
            id: RUN.into(),
            resumed_from: None,
            stage: Stage::Fit,
            moment: Moment::default(),
            place: Place {
                learning_rates: vec![("lr-Adam".into(), 0.1)],
                is_last_batch: true,
                accumulate_grad_batches: 1,
                ..Place::default()
            },
            limits,
            log_every_n_steps: 50,
            validates_every_epoch: true,
            step_skipped: false,
            round: 1,
            batch_items: Some(1),
            data_wait: Duration::ZERO,
            fast_dev_run: false,
            default_root_dir: "root".into(),
            loggers: Loggers::default(),
            boundary: None,
            internals: RunInternals { spares_resumed: true, ..RunInternals::new(|path| std::fs::read_to_string(path).ok()) },
        };
        Self { run, metrics: Table::default(), module: Line { layer: LinearConfig::new(1, 1).init(&Device::flex()) } }
    }

    /// Adds a logger that remembers every call.
    pub(crate) fn with_logger(mut self) -> (Self, MemoryLogger) {
        let logger = MemoryLogger::new();
        self.run.loggers = Loggers::spawn([Box::new(logger.clone()) as _]).unwrap();
        (self, logger)
    }

    pub(crate) fn metric(&mut self, name: &str, value: f64) -> &mut Self {
        self.metrics.insert(name, value);
        self
    }

    pub(crate) fn fire<C: Callback<Line>>(&mut self, callback: &mut C, mut event: Event<'_, Tensor<2>>) -> Result<()> {
        let key = callback.state_key();
        callback.on_event(&mut context(&mut self.run, &mut self.metrics, &key), &mut self.module, &mut event)
    }

    pub(crate) fn setup<C: Callback<Line>>(&mut self, callback: &mut C) -> Result<()> {
        self.fire(callback, Event::Setup { stage: self.run.stage })
    }

    /// Everything before the first epoch, without the sanity check.
    pub(crate) fn start<C: Callback<Line>>(&mut self, callback: &mut C) -> Result<()> {
        self.setup(callback)?;
        self.fire(callback, Event::FitStart)?;
        self.fire(callback, Event::TrainStart)
    }

    pub(crate) fn train_batch_start<C: Callback<Line>>(&mut self, callback: &mut C) -> Result<()> {
        let batch = Tensor::zeros([1, 1], &Device::flex());
        self.fire(callback, Event::TrainBatchStart { batch: &batch, batch_idx: self.run.place.progress.batch_in_epoch })
    }

    /// Counts one batch that stepped and fires its end.
    pub(crate) fn train_batch_end<C: Callback<Line>>(&mut self, callback: &mut C) -> Result<()> {
        let batch_idx = self.run.place.progress.batch_in_epoch;
        self.run.place.progress.batch_in_epoch += 1;
        self.run.place.progress.batches += 1;
        self.run.place.progress.global_step += 1;
        self.run.place.is_last_batch = self.run.limits.train_batches == Some(batch_idx + 1);
        self.fire(callback, Event::TrainBatchEnd { output: &StepOutput::none(), batch_idx })
    }

    /// The end of a validation within the fit.
    pub(crate) fn validation_end<C: Callback<Line>>(&mut self, callback: &mut C) -> Result<()> {
        self.run.moment.stage = RunningStage::Validate;
        let result = self.fire(callback, Event::ValidationEnd);
        self.run.moment.stage = RunningStage::Train;
        result
    }

    /// Ends an epoch of one step: validation, if it is due at the end of every epoch, then the end of the epoch.
    pub(crate) fn epoch<C: Callback<Line>>(&mut self, callback: &mut C) -> Result<()> {
        self.run.place.progress.global_step += 1;
        if self.run.validates_every_epoch {
            self.validation_end(callback)?;
        }
        self.fire(callback, Event::TrainEpochEnd)?;
        self.run.place.progress.epoch += 1;
        self.run.place.progress.batch_in_epoch = 0;
        Ok(())
    }

    /// The checkpoints requested since the last call.
    pub(crate) fn saves(&mut self) -> Vec<SaveRequest> {
        std::mem::take(&mut self.run.place.requests.saves)
    }

    /// Another callback requests a stop.
    pub(crate) fn ask_to_stop(&mut self, reason: &str) {
        self.run.place.requests.ask_to_stop("other", reason.into());
    }

    /// The reason of a stop requested since the last call.
    pub(crate) fn stopped(&mut self) -> Option<String> {
        let stops = std::mem::take(&mut self.run.place.requests.stops);
        stops.into_iter().next().map(|stop| stop.reason)
    }
}

/// The plain values of a callback's state.
pub(crate) fn state_of<C: Callback<Line>>(callback: &C) -> Value {
    callback.state().unwrap().take_json()
}

/// The text and hint of an error, as a user sees them.
pub(crate) fn text(error: &Error) -> String {
    format!("{error} | hint: {}", error.hint().unwrap_or_default())
}
