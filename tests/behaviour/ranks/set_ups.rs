//! Set-ups in which several ranks could differ from one: each compares them.

mod of_endings;
mod of_logs;
mod of_places;
mod of_runs;
mod of_trainers;

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use burn::{
    module::{Module, Param},
    nn::{Linear, LinearConfig},
    optim::{AdamConfig, SgdConfig},
    prelude::*,
};
use stormfire::{Error, loggers::MemoryLogger, metrics::aggregation::Mean, prelude::*, ranks::threads};

use super::{Ended, Logged, tried_on_ranks};
use crate::{
    devices::{
        self,
        net::{Net, digits},
    },
    support::{Batch, Line, line_data, quiet, recording},
};

/// A rank, and weights.
type Seen = Arc<Mutex<Vec<(usize, Vec<f32>)>>>;

const LARGEST: ReduceFx = ReduceFx::Custom { name: "largest", reduce: |all| all.max() };

/// A line with one oddity.
#[derive(Module, Debug)]
pub(super) struct Odd {
    pub(super) layer: Linear,
    other: Linear,
    never: Linear,
    #[module(skip)]
    mode: &'static str,
}

pub(super) fn linear(value: f32) -> Linear {
    let device = Device::flex();
    let mut linear = LinearConfig::new(1, 1).with_bias(false).init(&device);
    linear.weight = Param::from_tensor(Tensor::from_floats([[value]], &device));
    linear
}

impl Odd {
    pub(super) fn new(mode: &'static str) -> Self {
        let (layer, mut other, never) = (linear(0.5), linear(0.25), linear(0.125));
        if mode == "frozen" {
            other = other.no_grad();
        }
        Self { layer, other, never, mode }
    }
}

impl LightningModule for Odd {
    type Batch = Batch;

    fn training_step(&self, (x, y): Batch, batch_idx: usize) -> Result<StepOutput> {
        let (rank, world) = (self.global_rank(), self.world_size());
        let number = batch_idx * world + rank;
        let loss = |layer: &Linear| (layer.forward(x.clone()) - y.clone()).powi_scalar(2).mean();
        let mut own = loss(&self.layer);
        match self.mode {
            "later metrics" if !number.is_multiple_of(3) => {
                self.log("metric", Mean::new(number as f64, 1.0)).on_step(true).on_epoch(true);
                self.log("max", number as f64).on_step(true).on_epoch(true).reduce_fx(ReduceFx::Max);
                self.log("custom", number as f64).on_step(true).on_epoch(true).reduce_fx(LARGEST);
                self.log("mean", number as f64).on_step(true).on_epoch(true);
            }
            "some gradients" if number % 2 == 1 => own = own + loss(&self.other),
            "frozen" => own = own + loss(&self.other),
            "nan at 2" if number == 2 => own = own * f32::NAN,
            "nan at 1" if number == 1 => own = own * f32::NAN,
            "inf at 1" if number == 1 => own = own * f32::INFINITY,
            "big" => own = own * 3e38,
            "none on odd" if number % 2 == 1 => return Ok(StepOutput::none()),
            "weight 0 on odd" => return Ok(StepOutput::from(own).weight(if number % 2 == 1 { 0.0 } else { 2.0 })),
            "fractions" => return Ok(StepOutput::from(own.clone() * (0.1 + 0.2 * number as f32)).weight(0.1 + 0.2 * number as f64)),
            "weight 0 at first" => return Ok(StepOutput::from(own).weight(if number < 2 { 0.0 } else { 1.0 })),
            "odd values" => {
                let value = [0.1 + 0.2, f64::NAN, f64::INFINITY, -0.0, 1e-310, 9_007_199_254_740_993.0][number % 6];
                self.log(format!("größe/{number}"), value).reduce_fx(ReduceFx::Max).on_epoch(true);
                self.log("summe/a b", 0.1 * (number + 1) as f64).reduce_fx(ReduceFx::Sum).on_epoch(true);
                if number == 3 {
                    self.log("at three", f64::NAN).on_epoch(true);
                }
            }
            _ => {}
        }
        self.log("train", &own).on_step(false).on_epoch(true);
        Ok(own.into())
    }

    fn validation_step(&self, (x, y): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let loss = (self.layer.forward(x) - y).powi_scalar(2).mean();
        if self.mode == "step values" {
            self.log("val", &loss).on_step(true).on_epoch(true);
        } else {
            self.log("val", &loss);
        }
        Ok(StepOutput::none())
    }

    fn test_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        self.validation_step(batch, batch_idx)
    }

    fn setup(&mut self, _ctx: &mut Context<'_>, _stage: Stage) -> Result<()> {
        if self.mode == "setup" {
            self.other = linear(if self.global_rank() == 0 { 1.0 } else { 2.0 });
        }
        Ok(())
    }

    fn on_fit_start(&mut self, _ctx: &mut Context<'_>) -> Result<()> {
        if self.mode == "fit start" {
            self.other = linear(if self.global_rank() == 0 { 1.0 } else { 2.0 });
        }
        Ok(())
    }

    /// A slow copy of the layer.
    fn on_train_batch_end(&mut self, _ctx: &mut Context<'_>, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        if self.mode == "target" {
            let value = |linear: &Linear| linear.weight.val().into_data().iter::<f32>().next().unwrap_or_default();
            self.other = linear(f32::midpoint(value(&self.other), value(&self.layer)));
        }
        Ok(())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), 0.1).into())
    }
}

impl PredictModule for Odd {
    type Prediction = Vec<f32>;

    fn predict_step(&self, (x, _): Batch, _batch_idx: usize) -> Result<Vec<f32>> {
        Ok(x.into_data().iter::<f32>().collect())
    }
}

pub(super) fn fit(
    mode: &'static str,
    data: impl DataModule<Batch = Batch>,
    set: impl FnOnce(Trainer<Odd>) -> Trainer<Odd>,
) -> Result<Ended, Error> {
    super::fit(Odd::new(mode), data, set)
}

pub(super) fn on_ranks<D: DataModule<Batch = Batch>>(
    world: usize,
    mode: &'static str,
    data: impl Fn() -> D + Sync,
    set: impl Fn(usize, Trainer<Odd>) -> Trainer<Odd> + Sync,
) -> Vec<Result<Ended, String>> {
    tried_on_ranks(world, || Odd::new(mode), data, set)
}

#[track_caller]
fn law(mode: &'static str, world: usize, items: usize, set: impl Fn(Trainer<Odd>) -> Trainer<Odd> + Sync) {
    let data = || (line_data(items, 2), line_data(7, 2));
    let one = fit(mode, data(), |trainer| set(trainer.accumulate_grad_batches(world))).map_err(|e| e.to_string());
    let several = on_ranks(world, mode, data, |_, trainer| set(trainer));
    let one = match one {
        Ok(one) => one,
        Err(error) => {
            assert!(several.iter().all(Result::is_err), "one rank fails: {error}; several: {several:?}");
            return;
        }
    };
    let several: Vec<_> = several.into_iter().map(Result::unwrap).collect();
    same(mode, &one, &several);
}

#[track_caller]
pub(super) fn same(mode: &str, one: &Ended, several: &[Ended]) {
    for (rank, ended) in several.iter().enumerate() {
        assert_eq!(several[0].weights, ended.weights, "{mode}: rank {rank} differs from rank 0");
        let difference = one.weights.iter().zip(&ended.weights).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference <= 1e-6, "{mode}: {difference}: {:?} {:?}", one.weights, ended.weights);
        assert_eq!((&one.progress, &one.stop), (&ended.progress, &ended.stop), "{mode}");
    }
    let epochs = |rows: &[Logged]| rows.iter().filter(|(name, ..)| !name.ends_with("_step")).cloned().collect::<Vec<_>>();
    let (a, b) = (epochs(&one.logged), epochs(&several[0].logged));
    let text = |rows: &[Logged]| rows.iter().map(|(name, step, value)| format!("{name} {step:?} {value:.6}")).collect::<Vec<_>>();
    let (mut a, mut b) = (text(&a), text(&b));
    a.sort();
    b.sort();
    assert_eq!(a, b, "{mode}");
}

/// Fails on rank 1 at the start of a batch.
struct Fails(usize);

impl<M: LightningModule> Callback<M> for Fails {
    fn on_train_batch_start(&mut self, ctx: &mut Context<'_>, module: &mut M, _batch: &M::Batch, batch_idx: usize) -> Result<()> {
        if module.global_rank() == 1 && batch_idx == self.0 && ctx.current_epoch() == 0 {
            return Err(Error::other("the lamp fell over"));
        }
        Ok(())
    }
}

/// A running average of the weights, as `Callback::weights` gives it.
#[derive(Default)]
struct Ema {
    mean: Option<Odd>,
    steps: u64,
    seen: Seen,
}

impl Callback<Odd> for Ema {
    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, module: &mut Odd, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        if ctx.global_step() == self.steps {
            return Ok(());
        }
        self.steps = ctx.global_step();
        let mut now = module.valid();
        if let Some(mean) = self.mean.take() {
            now.layer.weight = Param::from_tensor((now.layer.weight.val() + mean.layer.weight.val()) * 0.5);
        }
        self.mean = Some(now);
        Ok(())
    }

    fn weights(&mut self, _module: &Odd) -> Result<Option<Odd>> {
        Ok(self.mean.clone())
    }

    fn on_validation_start(&mut self, _ctx: &mut Context<'_>, module: &mut Odd) -> Result<()> {
        self.seen.lock().unwrap().push((module.global_rank(), devices::values(module)));
        Ok(())
    }
}

/// A sum in `f64` or `bf16`.
#[derive(Module, Debug)]
struct Typed {
    layer: Linear,
    other: Linear,
}

impl Typed {
    fn new(dtype: burn::tensor::DType) -> Self {
        let cast = |linear: Linear| {
            let mut linear = linear;
            linear.weight = linear.weight.map(|w| w.cast(dtype));
            linear
        };
        Self { layer: cast(linear(0.5)), other: cast(linear(0.3)) }
    }
}

impl LightningModule for Typed {
    type Batch = Batch;

    fn training_step(&self, (x, y): Batch, batch_idx: usize) -> Result<StepOutput> {
        let dtype = self.layer.weight.val().dtype();
        let (x, y) = (x.cast(dtype), y.cast(dtype));
        let mut loss = (self.layer.forward(x.clone()) - y.clone()).powi_scalar(2).mean();
        if (batch_idx * self.world_size() + self.global_rank()) % 2 == 1 {
            loss = loss + (self.other.forward(x) - y).powi_scalar(2).mean();
        }
        self.log("train", &loss).on_step(false).on_epoch(true);
        Ok(loss.into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), 0.1).into())
    }
}

/// Manual optimization with two optimizers.
#[derive(Module, Debug)]
struct Pair {
    one: Linear,
    two: Linear,
    #[module(skip)]
    mode: &'static str,
}

impl LightningModule for Pair {
    type Batch = Batch;

    fn training_batch(&mut self, (x, y): Batch, batch_idx: usize, opt: &mut Stepper<'_, Self>) -> Result<StepOutput> {
        let number = batch_idx * self.world_size() + self.global_rank();
        let mut loss = (self.two.forward(self.one.forward(x.clone())) - y.clone()).powi_scalar(2).mean();
        if self.mode.contains("nan") && number == 3 {
            loss = loss * f32::NAN;
        }
        self.log("loss", &loss).on_step(true).on_epoch(true);
        if self.mode.contains("all") {
            for (optimizer, gradients) in opt.backward_all(self, &loss)? {
                opt.apply(&optimizer, self, gradients)?;
            }
        } else if self.mode.contains("missing") && number == 3 {
            // No step at all.
        } else {
            opt.step("one", self, &loss)?;
            let loss = (self.two.forward(self.one.forward(x)) - y).powi_scalar(2).mean();
            opt.step("two", self, &loss)?;
        }
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let sgd = |name| Optimizer::new(SgdConfig::new(), 0.05).named(name);
        Ok([sgd("one").params_of(&self.one), sgd("two").params_of(&self.two)].into())
    }
}

#[test]
fn manual_optimization() {
    for mode in ["step", "all", "nan step", "nan all", "missing"] {
        for policy in ["skip:5", "stop", "error"] {
            let ended = threads::run(2, |_| {
                let mut trainer = quiet().max_epochs(2).handle_signals(false).on_non_finite(policy).gradient_clip_val(0.5);
                let fit = trainer.fit(Pair { one: linear(0.5), two: linear(0.7), mode }, line_data(16, 2))?;
                Ok::<_, Error>((devices::values(&fit.module), fit.progress, fit.stop.to_string()))
            });
            if mode == "missing" || (mode.contains("nan") && policy == "error") {
                assert!(ended.iter().all(Result::is_err), "{mode} {policy}");
            } else {
                let ended: Vec<_> = ended.into_iter().map(|e| e.unwrap()).collect();
                let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert_eq!((bits(&ended[0].0), &ended[0].1), (bits(&ended[1].0), &ended[1].1), "{mode} {policy}");
                assert!(policy == "stop" || ended[0].0.iter().all(|v| v.is_finite()), "{mode} {policy}: {ended:?}");
                if !mode.contains("nan") {
                    let mut trainer = quiet().max_epochs(2).handle_signals(false).on_non_finite(policy).gradient_clip_val(0.5);
                    let one = trainer.fit(Pair { one: linear(0.5), two: linear(0.7), mode }, line_data(16, 4)).unwrap();
                    for (a, b) in devices::values(&one.module).iter().zip(&ended[0].0) {
                        assert!((a - b).abs() < 1e-5, "{mode} {policy}: {a} {b}");
                    }
                }
            }
        }
    }
}

/// Fails on one rank in the hook of this name.
struct FailsIn(&'static str, usize);

impl<M: LightningModule> Callback<M> for FailsIn {
    fn on_event(&mut self, _ctx: &mut Context<'_>, module: &mut M, event: &mut stormfire::module::Event<'_, M::Batch>) -> Result<()> {
        if event.hook().name() == self.0 && module.global_rank() == self.1 {
            return Err(Error::other("the lamp fell over"));
        }
        Ok(())
    }
}
