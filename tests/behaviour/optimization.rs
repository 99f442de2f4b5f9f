//! The effect of a training step on the parameters.

#![expect(clippy::unwrap_used, clippy::float_cmp, reason = "a helper of tests fails the test")]

use std::sync::{Arc, Mutex};

use burn::{
    lr_scheduler::{exponential::ExponentialLrSchedulerConfig, step::StepLrSchedulerConfig},
    module::Param,
    nn::{Initializer, Linear, LinearConfig},
    optim::SgdConfig,
    prelude::*,
};
use insta::assert_snapshot;
use stormfire::{callbacks::Interval, loggers::MemoryLogger, optim::ClipAlgorithm, prelude::*};

use crate::{
    error_text::error_text,
    support::{Batch, Line, line_data, quiet, recording},
};

/// The weight and bias of a line.
fn numbers(layer: &Linear) -> [f32; 2] {
    [layer.weight.val().into_scalar(), layer.bias.as_ref().unwrap().val().into_scalar()]
}

fn zeros() -> Linear {
    LinearConfig::new(1, 1).with_initializer(Initializer::Zeros).init(&Device::flex())
}

/// A line through the origin, trained at this rate by plain gradient descent.
#[derive(Module, Debug)]
struct Descent {
    line: Line,
    rate: f64,
}

impl Descent {
    fn new(rate: f64) -> Self {
        Self { line: Line { layer: zeros() }, rate }
    }
}

impl LightningModule for Descent {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        self.line.training_step(batch, batch_idx)
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), self.rate).into())
    }
}

fn descend(rate: f64, items: usize, batch_size: usize, trainer: impl FnOnce(Trainer<Descent>) -> Trainer<Descent>) -> [f32; 2] {
    let fit = trainer(quiet().max_epochs(2)).fit(Descent::new(rate), line_data(items, batch_size)).unwrap();
    numbers(&fit.module.line.layer)
}

fn check_close(name: &str, actual: [f32; 2], expected: [f32; 2]) {
    let close = actual.iter().zip(expected).all(|(a, e)| (a - e).abs() < 1e-6);
    assert!(close, "{name}: {actual:?} instead of {expected:?}");
}

#[test]
fn accumulated_batches_equal_one_large_batch() {
    let big = descend(0.3, 12, 6, |t| t);
    assert!(big[0] > 0.1, "{big:?}");
    check_close("three batches of two", descend(0.3, 12, 2, |t| t.accumulate_grad_batches(3)), big);
    check_close("six batches of one", descend(0.3, 12, 1, |t| t.accumulate_grad_batches(6)), big);
    let one_step = |t: Trainer<Descent>| t.max_epochs(1);
    let short_window = descend(0.3, 4, 2, |t| one_step(t).accumulate_grad_batches(3));
    check_close("a short window is divided by what is there", short_window, descend(0.3, 4, 4, one_step));
    let clipped = |t: Trainer<Descent>| t.gradient_clip_val(0.1);
    let sum_is_clipped = descend(0.3, 12, 2, |t| clipped(t).accumulate_grad_batches(3));
    check_close("the sum is clipped, not its parts", sum_is_clipped, descend(0.3, 12, 6, clipped));
}

#[test]
fn clipped_gradients_equal_a_manual_calculation() {
    // x = 0, 1/2 and y = 1, 2. At w = b = 0 the loss is mean(y²). Its gradients are -2·mean(x·y) and -2·mean(y).
    let gradient = [-1.0_f32, -3.0];
    let norm = 10.0_f32.sqrt();
    let after = |trainer: fn(Trainer<Descent>) -> Trainer<Descent>| descend(0.5, 2, 2, |t| trainer(t.max_epochs(1)));
    let step = |factor: f32| gradient.map(|g| -0.5 * g * factor);
    check_close("not at all", after(|t| t), step(1.0));
    check_close("by the global norm", after(|t| t.gradient_clip_val(0.25)), step(0.25 / (norm + 1e-6)));
    check_close("a norm that is small enough", after(|t| t.gradient_clip_val(4.0)), step(1.0));
    let by_value = after(|t| t.gradient_clip_val(1.5).gradient_clip_algorithm(ClipAlgorithm::Value));
    check_close("by value", by_value, [0.5, 0.75]);
}

/// A [`Descent`] whose steps return no loss for the batches with these numbers.
#[derive(Module, Debug)]
struct Gaps {
    descent: Descent,
    #[module(skip)]
    without_loss: Vec<usize>,
}

impl LightningModule for Gaps {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        if self.without_loss.contains(&batch_idx) { Ok(StepOutput::none()) } else { self.descent.training_step(batch, batch_idx) }
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.descent.configure_optimizers()
    }
}

#[test]
fn a_batch_without_a_loss_does_not_change_the_gradients() {
    let fit = |without_loss: &[usize], accumulate| {
        let module = Gaps { descent: Descent::new(0.5), without_loss: without_loss.to_vec() };
        let fit = quiet().max_epochs(1).accumulate_grad_batches(accumulate).fit(module, line_data(2, 1)).unwrap();
        (fit.progress.global_step, numbers(&fit.module.descent.line.layer))
    };
    assert_eq!(fit(&[0, 1], 1), (0, [0.0, 0.0]), "no loss, so no step");
    // x = 0 and y = 1 give the gradients 0 and -2. x = 1/2 and y = 2 give -2 and -4.
    assert_eq!(fit(&[1], 1), (1, [0.0, 1.0]));
    assert_eq!(fit(&[0], 2), (1, [1.0, 2.0]), "the mean of the gradients, and a step at the end of the window");
    assert_eq!(fit(&[1], 2), (1, [0.0, 1.0]), "also if the last batch of the window has no loss");
    assert_eq!(fit(&[0, 1], 2), (0, [0.0, 0.0]));
}

/// A parameter with gradient 1. Every step lowers it by the learning rate.
#[derive(Module, Debug)]
struct Slope {
    height: Param<Tensor<1>>,
    #[module(skip)]
    schedule: Scheduled,
}

/// Creates the schedule, because `configure_optimizers` only has a reference.
#[derive(Clone, Debug)]
struct Scheduled(fn() -> Schedule);

impl Slope {
    fn new(schedule: fn() -> Schedule) -> Self {
        Self { height: Param::from_tensor(Tensor::zeros([1], &Device::flex())), schedule: Scheduled(schedule) }
    }
}

impl LightningModule for Slope {
    type Batch = Batch;

    fn training_step(&self, _batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok(self.height.val().into())
    }

    /// The first two validations improve, the others do not.
    fn validation_step(&self, _batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("val_loss", [4.0, 3.0, 3.0, 3.0, 3.0, 3.0][(self.global_step() as usize / 2).min(5)]);
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), 0.5).schedule(self.schedule.0()).into())
    }
}

/// The decrease of the parameter in each step.
struct Falls(Arc<Mutex<Vec<f32>>>);

impl Callback<Slope> for Falls {
    fn on_train_batch_end(&mut self, _ctx: &mut Context<'_>, module: &mut Slope, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        let mut falls = self.0.lock().unwrap();
        let before = falls.iter().sum::<f32>();
        falls.push(-module.height.val().into_scalar::<f32>() - before);
        Ok(())
    }
}

/// Fits three epochs of two batches. Checks the rate of each step, in the log and in the change of the parameter.
fn check_rates(name: &str, schedule: fn() -> Schedule, options: fn(Trainer<Slope>) -> Trainer<Slope>, expected: &[f64]) {
    let (logger, falls) = (MemoryLogger::new(), Arc::default());
    let trainer = options(recording(&logger).max_epochs(3).log_every_n_steps(1).num_sanity_val_steps(0));
    let mut trainer = trainer.callback(Falls(Arc::clone(&falls))).callback(LearningRateMonitor::new());
    let _ = trainer.fit(Slope::new(schedule), (line_data(2, 1), line_data(1, 1))).unwrap();
    let rows: Vec<_> = logger.rows().into_iter().filter(|(key, ..)| key == "lr-SGD" || key == "rate").collect();
    let steps: Vec<_> = rows.iter().map(|(.., step)| step.unwrap()).collect();
    assert_eq!(steps, (0..expected.len() as u64).collect::<Vec<_>>(), "{name}");
    let close = |actual: f64, expected: f64| (actual - expected).abs() < 1e-6;
    let noted: Vec<_> = rows.iter().map(|(_, rate, _)| *rate).collect();
    assert!(noted.iter().zip(expected).all(|(a, e)| close(*a, *e)), "{name}: logged {noted:?} instead of {expected:?}");
    // Batches that only accumulate do not change the parameter.
    let felt: Vec<_> = falls.lock().unwrap().iter().copied().filter(|fall| *fall > 0.0).collect();
    assert_eq!(felt.len(), expected.len(), "{name}");
    assert!(felt.iter().zip(expected).all(|(a, e)| close(f64::from(*a), *e)), "{name}: felt {felt:?} instead of {expected:?}");
}

#[test]
fn each_step_uses_the_rate_of_its_schedule_and_the_monitor_logs_it() {
    fn halving() -> Schedule {
        Schedule::new(ExponentialLrSchedulerConfig::new(0.5, 0.5))
    }
    fn plateau() -> Schedule {
        Schedule::new(ReduceLrOnPlateau::new().factor(0.5).patience(0)).monitor("val_loss")
    }
    let same = |t| t;
    let check = check_rates;
    check("every epoch", halving, same, &[0.5, 0.5, 0.25, 0.25, 0.125, 0.125]);
    check("every 2 epochs", || halving().every(Every::Epochs(2)), same, &[0.5, 0.5, 0.5, 0.5, 0.25, 0.25]);
    check("every step", || halving().every(Every::Steps(1)), same, &[0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015_625]);
    check("every 3 steps", || halving().every(Every::Steps(3)), same, &[0.5, 0.5, 0.5, 0.25, 0.25, 0.25]);
    let pairs = || Schedule::new(StepLrSchedulerConfig::new(0.4, 2).with_gamma(0.5)).every(Every::Steps(1)).named("rate");
    check("a name and a separate rate", pairs, same, &[0.4, 0.4, 0.2, 0.2, 0.1, 0.1]);
    check("steps of two batches", || halving().every(Every::Steps(1)), |t| t.accumulate_grad_batches(2), &[0.5, 0.25, 0.125]);
    // Validations see 3, 3, 3. The first one is an improvement.
    check("a plateau, every epoch", plateau, same, &[0.5, 0.5, 0.5, 0.5, 0.25, 0.25]);
    // After each step: 4, 3, 3, 3, 3, 3.
    let each_batch = |t: Trainer<Slope>| t.val_check_interval(Every::Batches(1));
    check("a plateau, every step", || plateau().every(Every::Steps(1)), each_batch, &[0.5, 0.5, 0.5, 0.25, 0.125, 0.0625]);
    check("a plateau that is never checked", || plateau().every(Every::Epochs(4)), same, &[0.5; 6]);
}

#[test]
fn the_monitor_logs_the_rate_at_the_start_of_each_epoch() {
    let logger = MemoryLogger::new();
    let halving = || Schedule::new(ExponentialLrSchedulerConfig::new(0.5, 0.5)).every(Every::Steps(1));
    let mut trainer = recording(&logger).max_epochs(3).callback(LearningRateMonitor::new().logging_interval(Interval::Epoch));
    let _ = trainer.fit(Slope::new(halving), line_data(2, 1)).unwrap();
    let rates: Vec<_> =
        logger.rows().into_iter().filter(|(key, ..)| key == "lr-SGD").map(|(_, rate, step)| (rate, step.unwrap())).collect();
    assert_eq!(rates, [(0.5, 0), (0.125, 2), (0.03125, 4)]);
}

#[test]
fn a_missing_metric_of_a_schedule_is_refused() {
    let fit = |schedule| {
        let mut trainer = quiet().max_epochs(1).limit_val_batches(0);
        trainer.fit(Slope::new(schedule), line_data(2, 1)).map(|fit| fit.stop)
    };
    let error = fit(|| Schedule::new(ReduceLrOnPlateau::new()).monitor("val_loss")).unwrap_err();
    assert!(matches!(&error, Error::MetricMissing { .. }), "{error}");
    assert_eq!(fit(|| Schedule::new(ReduceLrOnPlateau::new()).monitor("val_loss").strict(false)).unwrap(), Stop::MaxEpochs(1));
}

/// Two lines whose loss depends on both, and the optimizers that a training step uses.
#[derive(Module, Debug)]
struct Pair {
    left: Linear,
    right: Linear,
    #[module(skip)]
    steps: Vec<&'static str>,
}

impl Pair {
    fn new(steps: &[&'static str]) -> Self {
        Self { left: zeros(), right: zeros(), steps: steps.to_vec() }
    }

    fn loss(&self, (x, y): Batch) -> Tensor<1> {
        (self.left.forward(x.clone()) + self.right.forward(x) - y).powi_scalar(2).mean()
    }
}

impl LightningModule for Pair {
    type Batch = Batch;

    fn training_batch(&mut self, batch: Batch, _batch_idx: usize, opt: &mut Stepper<'_, Self>) -> Result<StepOutput> {
        let first = self.loss(batch.clone());
        for name in self.steps.clone() {
            match name {
                "all" => {
                    for (name, gradients) in opt.backward_all(self, &first)? {
                        opt.apply(&name, self, gradients)?;
                    }
                }
                "left again" => opt.step("left", self, &first)?,
                name => {
                    let loss = self.loss(batch.clone());
                    opt.step(name, self, &loss)?;
                }
            }
        }
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let sgd = |rate| Optimizer::new(SgdConfig::new(), rate);
        Ok([sgd(0.5).named("left").params_of(&self.left), sgd(0.25).named("right").params_of(&self.right)].into())
    }
}

fn fit_pair(steps: &[&'static str]) -> Result<Fit<Pair>> {
    quiet().max_epochs(1).fit(Pair::new(steps), line_data(2, 2))
}

#[test]
fn an_optimizer_only_changes_its_own_parameters() {
    let lines = |steps| fit_pair(steps).map(|fit| (numbers(&fit.module.left), numbers(&fit.module.right))).unwrap();
    assert_eq!(lines(&["left"]), ([0.5, 1.5], [0.0, 0.0]));
    assert_eq!(lines(&["right"]), ([0.0, 0.0], [0.25, 0.75]));
    // After the first step, `left` returns 1.5 and 1.75 for x = 0 and 1/2. The errors are 0.5 and -0.25.
    let (left, right) = lines(&["left", "right"]);
    assert_eq!(left, [0.5, 1.5]);
    check_close("right sees what left has done", right, [0.25 * 0.125, -0.25 * 0.25]);
    assert_eq!(fit_pair(&[]).unwrap().progress.global_step, 0, "no optimizer has stepped");
}

#[test]
fn one_pass_gives_each_optimizer_its_gradients() {
    let fit = fit_pair(&["all"]).unwrap();
    // At w = b = 0 the gradients of both are -2·mean(x·y) = -1 and -2·mean(y) = -3.
    assert_eq!((numbers(&fit.module.left), numbers(&fit.module.right)), ([0.5, 1.5], [0.25, 0.75]));
    assert_eq!(fit.progress.global_step, 1);
    assert_snapshot!(error_text(fit_pair(&["left again", "left again"])), @"
    `training_batch`: this loss, or a part of its forward pass, already had a backward pass, and burn allows only one
      hint: give all optimizers their gradients from one pass: `for (name, gradients) in opt.backward_all(self, &loss)? { opt.apply(&name, self, gradients)?; }`, or compute the loss again before each `opt.step`
    ");
}

#[test]
fn an_unknown_optimizer_is_an_error_that_names_the_known_ones() {
    assert_snapshot!(error_text(fit_pair(&["middle"])), @"
    there is no optimizer `middle`; there are: `left`, `right` (in `training_step` of `Pair`, epoch 0, batch 0)
      hint: name it with `Optimizer::named` in `configure_optimizers`
    ");
}

/// A line with a number of optimizers and the default `training_batch`.
#[derive(Module, Debug)]
struct Automatic {
    line: Line,
    optimizers: usize,
}

impl LightningModule for Automatic {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        self.line.training_step(batch, batch_idx)
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let sgd = |i: usize| Optimizer::new(SgdConfig::new(), 0.1).named(format!("optimizer {i}"));
        Ok((0..self.optimizers).map(sgd).collect::<Vec<_>>().into())
    }
}

fn fit_automatic(optimizers: usize) -> Result<Fit<Automatic>> {
    quiet().max_epochs(1).fit(Automatic { line: Line { layer: zeros() }, optimizers }, line_data(4, 1))
}

#[test]
fn several_optimizers_need_a_training_batch() {
    assert_snapshot!(error_text(fit_automatic(2)), @"
    `configure_optimizers`: automatic optimization uses one optimizer, but 2 are configured (in `training_step` of `Automatic`, epoch 0, batch 0)
      hint: override `training_batch` and call `Stepper::step` with each optimizer's name
    ");
}

#[test]
fn without_optimizers_the_steps_run_and_train_nothing() {
    let fit = fit_automatic(0).unwrap();
    assert_eq!((fit.stop, fit.progress.global_step), (Stop::MaxEpochs(1), 4));
    assert_eq!(numbers(&fit.module.line.layer), [0.0, 0.0]);
    assert_ne!(numbers(&fit_automatic(1).unwrap().module.line.layer), [0.0, 0.0]);
}
