//! Steps of several ranks in other set-ups: manual optimization, values that are not finite, threads, predictions.

use std::sync::atomic::{AtomicUsize, Ordering};

use burn::{
    module::Module,
    nn::{Linear, LinearConfig},
    optim::SgdConfig,
    prelude::*,
};
use insta::assert_snapshot;
use stormfire::{Error, prelude::*, ranks::threads};

use super::{contents, fit, on_ranks};
use crate::{
    devices::{
        self,
        net::{Net, digits},
    },
    support::{Batch, Line, line_data, quiet},
};

/// Two lines, each with its own optimizer. The second one steps with every other batch.
#[derive(Module, Debug)]
struct Pair {
    one: Linear,
    two: Linear,
    #[module(skip)]
    differs: bool,
}

impl Pair {
    fn new() -> Self {
        let device = Device::flex();
        let linear = || {
            let mut linear = LinearConfig::new(1, 1).with_bias(false).init(&device);
            linear.weight = burn::module::Param::from_tensor(Tensor::from_floats([[0.5]], &device));
            linear
        };
        Self { one: linear(), two: linear(), differs: false }
    }
}

impl LightningModule for Pair {
    type Batch = Batch;

    fn training_batch(&mut self, (x, y): Batch, batch_idx: usize, opt: &mut Stepper<'_, Self>) -> Result<StepOutput> {
        let loss = (self.one.forward(x.clone()) - y.clone()).powi_scalar(2).mean();
        opt.step("one", self, &loss)?;
        let by = if self.differs { batch_idx + self.global_rank() } else { batch_idx };
        if by.is_multiple_of(2) {
            let loss = (self.two.forward(x) + y).powi_scalar(2).mean();
            opt.step("two", self, &loss)?;
        } else if self.differs {
            let loss = (self.one.forward(x) + y).powi_scalar(2).mean();
            opt.step("one", self, &loss)?;
        }
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let sgd = |name| Optimizer::new(SgdConfig::new(), 0.1).named(name);
        Ok([sgd("one").params_of(&self.one), sgd("two").params_of(&self.two)].into())
    }
}

fn pairs(items: usize, module: &Pair) -> Vec<Result<Vec<f32>, Error>> {
    threads::run(2, |_| {
        let trainer = quiet().max_epochs(1).handle_signals(false);
        let mut trainer = trainer;
        Ok(devices::values(&trainer.fit(module.valid(), line_data(items, 2))?.module))
    })
}

#[test]
fn manual_optimization_steps_with_the_mean_over_the_ranks() {
    let weights: Vec<_> = pairs(12, &Pair::new()).into_iter().map(Result::unwrap).collect();
    assert_eq!(weights[0], weights[1]);
    // The mean over two batches of two items is that of one batch of four.
    let mut trainer = quiet().max_epochs(1).handle_signals(false);
    let one = trainer.fit(Pair::new(), line_data(12, 4)).unwrap();
    for (several, one) in weights[0].iter().zip(devices::values(&one.module)) {
        assert!((several - one).abs() < 1e-6, "{several}, {one}");
    }
}

#[test]
fn manual_optimization_needs_a_batch_on_every_rank() {
    let errors: Vec<_> = pairs(14, &Pair::new()).into_iter().map(|ended| ended.unwrap_err().to_string()).collect();
    assert_snapshot!(errors.join("\n"), @r"
    `training_batch`: 1 of 2 ranks have no batch at the end of the epoch (in `training_step` of `Pair`, epoch 0, batch 3)
    rank 0 has failed: `training_batch`: 1 of 2 ranks have no batch at the end of the epoch (in `training_step` of `Pair`, epoch 0, batch 3)
    ");
}

#[test]
fn ranks_that_step_with_different_optimizers_are_refused() {
    let errors = pairs(12, &Pair { differs: true, ..Pair::new() });
    let errors: Vec<_> = errors.into_iter().map(|ended| ended.unwrap_err().to_string()).collect();
    assert_snapshot!(errors.join("\n"), @r"
    `training_batch`: only some ranks step with the optimizer `two` now (in `training_step` of `Pair`, epoch 0, batch 0)
    `training_batch`: only some ranks step with the optimizer `one` now (in `training_step` of `Pair`, epoch 0, batch 0)
    ");
}

/// A line whose loss is not a number in some batch of rank 1.
#[derive(Module, Debug)]
struct Breaks {
    line: Line,
    #[module(skip)]
    at: usize,
}

static SKIPPED: AtomicUsize = AtomicUsize::new(0);

impl LightningModule for Breaks {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        let loss = self.line.loss(batch);
        let is_bad = self.global_rank() == 1 && batch_idx == self.at;
        self.log("loss", &loss).on_epoch(true);
        Ok(if is_bad { loss * f32::NAN } else { loss }.into())
    }

    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        if ctx.run().step_skipped {
            SKIPPED.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.line.configure_optimizers()
    }
}

/// The weights, the stop, and the number of steps.
type Broken = (Vec<f32>, Stop, u64);

fn breaking(policy: &'static str) -> Vec<Result<Broken, Error>> {
    let module = Breaks { line: Line::fixed(), at: 3 };
    threads::run(2, |_| {
        let mut trainer = quiet().max_epochs(1).handle_signals(false).on_non_finite(policy);
        let fit = trainer.fit(module.valid(), line_data(24, 2))?;
        Ok((devices::values(&fit.module), fit.stop, fit.progress.global_step))
    })
}

#[test]
fn a_loss_of_one_rank_that_is_not_finite_is_that_of_all() {
    for error in breaking("error") {
        let error = error.unwrap_err().to_string();
        assert!(error.contains("the training loss is not finite") && error.contains("batch 3") || error.contains("has failed"), "{error}");
    }
    let stopped: Vec<_> = breaking("stop").into_iter().map(Result::unwrap).collect();
    assert_eq!(stopped[0].2, stopped[1].2);
    assert!(stopped.iter().all(|(_, stop, _)| matches!(stop, Stop::NonFinite(_))), "{stopped:?}");
    assert_snapshot!(stopped.iter().map(|(_, stop, _)| stop.to_string()).collect::<Vec<_>>().join("\n"), @r"
    the training loss is not finite at epoch 0, batch 3 (global step 3); by now these parameters are not finite: `line.layer.weight`, `line.layer.bias`
    the training loss is not finite at epoch 0, batch 3 (global step 3); by now these parameters are not finite: `line.layer.weight`, `line.layer.bias`
    ");
    let skipped: Vec<_> = breaking("skip:2").into_iter().map(Result::unwrap).collect();
    assert_eq!(skipped[0], skipped[1]);
    assert_eq!(skipped[0].2, 5, "six steps, one of them skipped");
    assert!(skipped[0].0.iter().all(|value| value.is_finite()));
    assert_eq!(SKIPPED.load(Ordering::Relaxed), 2, "on both ranks");
}

#[test]
fn ranks_may_use_threads() {
    let data = || (digits(32, 4), digits(8, 4));
    let one = on_ranks(2, &Net::new(), data, |_, trainer| trainer);
    let threads = on_ranks(2, &Net::new(), data, |_, trainer| trainer.devices(2));
    assert_eq!(threads[0].weights, threads[1].weights);
    for (one, threads) in one[0].weights.iter().zip(&threads[0].weights) {
        assert!((one - threads).abs() < 1e-6, "{one}, {threads}");
    }
}

#[test]
fn each_rank_predicts_its_batches() {
    let net = Net::new();
    let mut whole = quiet().handle_signals(false).predict(&net, digits(22, 4)).unwrap();
    let parts = threads::run(2, |_| quiet().handle_signals(false).predict(&net.of_its_own(), digits(22, 4)));
    let mut parts: Vec<_> = parts.into_iter().map(|part| part.unwrap().remove(0).into_iter()).collect();
    for (batch, prediction) in whole.remove(0).into_iter().enumerate() {
        assert_eq!(parts[batch % 2].next(), Some(prediction), "batch {batch}");
    }
    assert!(parts.iter_mut().all(|part| part.next().is_none()));
}

#[test]
fn test_and_validate_use_all_ranks() {
    let net = Net::new();
    let one = quiet().handle_signals(false).test(&net, digits(22, 4)).unwrap();
    let several = threads::run(3, |_| quiet().handle_signals(false).test(&net.of_its_own(), digits(22, 4)));
    for (rank, several) in several.into_iter().enumerate() {
        let several = several.unwrap();
        for (name, value) in one[0].iter().filter(|(name, _)| name.ends_with("_epoch")) {
            let found = several[0].get(name).unwrap();
            assert!((found - value).abs() < 1e-9, "{name} on rank {rank}: {found}, {value}");
        }
    }
}

#[test]
fn windows_that_grow_with_the_epochs_are_those_of_one_rank() {
    let schedule = |factor: usize| GradientAccumulationScheduler::new([(0, factor), (1, 2 * factor)]);
    let data = || (digits(40, 4), digits(8, 4));
    let one = fit(Net::new(), data(), |trainer| trainer.callback(schedule(2))).unwrap();
    let several = on_ranks(2, &Net::new(), data, |_, trainer| trainer.callback(schedule(1)));
    assert_eq!(several[0].progress, one.progress);
    for (one, several) in one.weights.iter().zip(&several[0].weights) {
        assert!((one - several).abs() < 1e-6, "{one}, {several}");
    }
}

/// A module that is initialized at random has other weights on each rank.
#[test]
fn every_rank_begins_with_the_weights_of_rank_zero() {
    let folder = tempfile::tempdir().unwrap();
    let ended = threads::run(2, |rank| {
        let path = folder.path().join(format!("{rank}.ckpt"));
        let mut trainer = quiet().max_steps(1).handle_signals(false);
        let fit = trainer.fit(Line::new(), line_data(8, 2))?;
        trainer.save_checkpoint(&fit.module, &path)?;
        Ok::<_, Error>((devices::values(&fit.module), path))
    });
    let ended: Vec<_> = ended.into_iter().map(Result::unwrap).collect();
    assert_eq!(ended[0].0, ended[1].0);
    assert!(!contents(&ended[0].1).0.is_empty());
    assert!(!ended[1].1.exists(), "only rank 0 writes");
}
