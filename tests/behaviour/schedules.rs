//! The steps of schedules, and the errors of wrong ones.

use std::sync::{Arc, Mutex};

use burn::{
    lr_scheduler::{LrScheduler, LrSchedulerRecord, exponential::ExponentialLrSchedulerConfig, module_lr_scheduler::ModuleLrScheduler},
    module::ParamGroup,
    nn::{Linear, LinearConfig},
    optim::{AdamWConfig, SgdConfig},
    prelude::*,
};
use insta::assert_snapshot;
use stormfire::{
    console::{Builder, Level},
    loggers::MemoryLogger,
    prelude::*,
};
use tracing::{Dispatch, subscriber::with_default};

use crate::{
    console::lines,
    error_text::error_text,
    rig::run_of,
    support::{Batch, line_data, quiet, recording},
};

type Configure = fn(&Halves) -> Optimizers;

/// Two layers, and the optimizers of a test.
#[derive(Module, Debug)]
struct Halves {
    body: Linear,
    head: Linear,
    #[module(skip)]
    optimizers: Given,
}

#[derive(Clone, Debug)]
struct Given(Configure);

impl Halves {
    fn new(optimizers: Configure) -> Self {
        let layer = || LinearConfig::new(1, 1).init(&Device::flex());
        Self { body: layer(), head: layer(), optimizers: Given(optimizers) }
    }
}

impl LightningModule for Halves {
    type Batch = Batch;

    fn training_step(&self, (x, y): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let loss = (self.head.forward(self.body.forward(x)) - y).powi_scalar(2).mean();
        // The metric improves twice.
        self.log("train_loss", 10.0 - (self.global_step() as f64).min(2.0));
        Ok(loss.into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok((self.optimizers.0)(self))
    }
}

fn sgd() -> Optimizer {
    Optimizer::new(SgdConfig::new(), 0.1)
}

/// Records the rate of each training batch. Can skip the rest of each epoch from a batch on.
#[derive(Clone, Default)]
struct Rates {
    seen: Arc<Mutex<Vec<f64>>>,
    skip_before: Option<usize>,
    skip_after: Option<usize>,
}

impl<M: LightningModule> Callback<M> for Rates {
    fn on_train_batch_start(&mut self, ctx: &mut Context<'_>, _module: &mut M, _batch: &M::Batch, batch_idx: usize) -> Result<()> {
        if self.skip_before == Some(batch_idx) {
            ctx.skip_epoch();
        }
        self.seen.lock().unwrap().push(ctx.learning_rates()[0].1);
        Ok(())
    }

    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, batch_idx: usize) -> Result<()> {
        if self.skip_after == Some(batch_idx) {
            ctx.skip_epoch();
        }
        Ok(())
    }
}

fn rates(epochs: usize, batches: usize, optimizers: Configure, rates: Rates) -> Vec<f64> {
    let seen = Arc::clone(&rates.seen);
    let _ = quiet().max_epochs(epochs).callback(rates).fit(Halves::new(optimizers), line_data(batches, 1)).unwrap();
    std::mem::take(&mut *seen.lock().unwrap())
}

#[track_caller]
fn close(actual: &[f64], expected: &[f64]) {
    let close = actual.len() == expected.len() && actual.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9);
    assert!(close, "{actual:?} instead of {expected:?}");
}

#[test]
fn a_schedule_per_epoch_steps_after_a_skipped_epoch() {
    let falling: Configure = |_| sgd().schedule(ExponentialLrSchedulerConfig::new(0.1, 0.1)).into();
    for (before, after, batches) in [(Some(0), None, 1), (None, Some(0), 1), (Some(2), None, 3), (None, Some(2), 3), (None, None, 3)] {
        let seen = rates(3, 3, falling, Rates { skip_before: before, skip_after: after, ..Rates::default() });
        let expected: Vec<f64> = [0.1, 0.01, 0.001].into_iter().flat_map(|rate| vec![rate; batches]).collect();
        close(&seen, &expected);
    }
}

#[test]
fn a_plateau_schedule_per_steps_needs_no_validation() {
    let halving: Configure = |_| {
        let plateau = ReduceLrOnPlateau::new().factor(0.5).patience(0);
        sgd().schedule(Schedule::new(plateau).monitor("train_loss").every("2 steps")).into()
    };
    // After steps 2, 4, 6, 8 it sees 9, 8, 8, 8.
    close(&rates(1, 9, halving, Rates::default()), &[0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.025]);
    // While gradients accumulate, neither the optimizer nor the schedule steps.
    let seen = Rates::default();
    let trainer = quiet().max_epochs(1).accumulate_grad_batches(2).callback(seen.clone());
    let _ = { trainer }.fit(Halves::new(halving), line_data(14, 1)).unwrap();
    let per_step = [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.05];
    close(&seen.seen.lock().unwrap(), &per_step.iter().flat_map(|rate| [*rate; 2]).collect::<Vec<_>>());
}

#[test]
fn the_rate_of_every_parameter_group_is_logged() {
    let grouped: Configure = |_| {
        let scheduler = ModuleLrScheduler::new(0.1_f64).with_group(ParamGroup::from_predicate("head"), 0.02_f64);
        Optimizer::new(AdamWConfig::new(), 0.1).schedule(scheduler).into()
    };
    let logger = MemoryLogger::new();
    let mut trainer = recording(&logger).max_epochs(1).log_every_n_steps(1).callback(LearningRateMonitor::new());
    let _ = trainer.fit(Halves::new(grouped), line_data(1, 1)).unwrap();
    let rows: Vec<_> = logger.rows().into_iter().filter(|(name, ..)| name.starts_with("lr-")).collect();
    assert_eq!(rows, [("lr-AdamW".to_string(), 0.1, Some(0)), ("lr-AdamW/head".to_string(), 0.02, Some(0))]);
}

/// Falls below zero.
#[derive(Clone)]
struct Falling(f64);

impl LrScheduler for Falling {
    fn step(&mut self) -> f64 {
        self.0 -= 0.1;
        self.0
    }

    fn to_record(&self) -> LrSchedulerRecord {
        LrSchedulerRecord::new()
    }

    fn load_record(&mut self, _record: LrSchedulerRecord) {}
}

#[test]
fn wrong_schedules_and_parameters_of_an_optimizer_are_refused() {
    let optimizers: [Configure; 7] = [
        |_| sgd().schedule(Schedule::new(OneCycle::new(0.1, 0)).every(Every::Steps(1))).into(),
        |_| sgd().schedule(Schedule::new(OneCycle::new(0.1, 9).pct_start(1.5)).every(Every::Steps(1))).into(),
        |_| sgd().schedule(Schedule::custom(Falling(0.05))).into(),
        |_| sgd().schedule(Schedule::custom(Falling(0.25)).every(Every::Steps(1))).into(),
        |_| sgd().params_of(&LinearConfig::new(1, 1).init(&Device::flex())).into(),
        |net| sgd().params_of(&net.head).params_of(&LinearConfig::new(1, 1).init(&Device::flex())).into(),
        |_| sgd().params_of(&burn::nn::Relu::new()).into(),
    ];
    let refused = |optimizers| error_text(quiet().max_epochs(1).fit(Halves::new(optimizers), line_data(8, 1))) + "\n";
    assert_snapshot!(optimizers.map(refused).concat(), @"
    `OneCycle::new`: a cycle of 0 steps
      hint: give the number of optimizer steps, as `self.estimated_stepping_batches()` says
    `OneCycle::pct_start`: 1.5 is not a fraction between 0 and 1
      hint: use 0.3, for example
    optimizer `SGD`: its schedule gives the learning rate -0.05, which is not a number of at least 0
      hint: correct the scheduler that is given to `Optimizer::schedule`
    optimizer `SGD`: its schedule gives the learning rate -0.05000000000000002, which is not a number of at least 0 (in `training_step` of `Halves`, epoch 0, batch 1)
      hint: correct the scheduler that is given to `Optimizer::schedule`
    optimizer `SGD`: 2 of the 2 parameters that `params_of` was given are not those of this module
      hint: give `params_of` parts of the module that `configure_optimizers` is called on: `params_of(&self.head)`
    optimizer `SGD`: 2 of the 4 parameters that `params_of` was given are not those of this module
      hint: give `params_of` parts of the module that `configure_optimizers` is called on: `params_of(&self.head)`
    optimizer `SGD`: `params_of` was given no parameters, so it would train nothing
      hint: give `params_of` parts of the module that `configure_optimizers` is called on: `params_of(&self.head)`
    ");
}

#[test]
fn a_cycle_that_steps_once_per_epoch_is_a_warning() {
    let warnings = |optimizers: Configure| {
        let folder = tempfile::tempdir().unwrap();
        let levels = Builder::new().no_screen().file().level("stormfire", Level::WARN);
        // As in `a_run_reports_into_its_folder_with_its_position`.
        let _second = Dispatch::new(levels.clone().subscriber().unwrap());
        with_default(levels.subscriber().unwrap(), || {
            let trainer = Trainer::new().default_root_dir(folder.path()).enable_progress_bar(false).enable_model_summary(false);
            let _ = { trainer }.max_epochs(1).fit(Halves::new(optimizers), line_data(2, 1)).unwrap();
        });
        lines(&run_of(folder.path())).into_iter().filter(|line| line.contains("OneCycle")).collect::<Vec<_>>()
    };
    assert_snapshot!(warnings(|_| sgd().schedule(OneCycle::new(0.1, 50)).into()).join("\n"), @"WARN stormfire_optim::schedule: optimizer `SGD`: `OneCycle` of 50 steps advances every 1 epoch; for every optimizer step add `.every(Every::Steps(1))`");
    assert!(warnings(|_| sgd().schedule(Schedule::new(OneCycle::new(0.1, 50)).every("1 step")).into()).is_empty());
}
