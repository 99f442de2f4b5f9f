//! A fit switches its module between training and evaluation mode.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::sync::{Arc, Mutex};

use burn::{
    nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Initializer, Linear, LinearConfig},
    optim::SgdConfig,
    prelude::*,
};
use insta::assert_snapshot;
use stormfire::prelude::*;

use crate::{
    error_text::error_text,
    support::{Batch, Line, line_data, quiet},
};

/// Two layers around a normalisation. The first layer is frozen.
#[derive(Module, Debug)]
struct Net {
    frozen: Linear,
    norm: BatchNorm,
    dropout: Dropout,
    last: Linear,
    #[module(skip)]
    seen: Seen,
}

/// The step, whether dropout is active in it, and whether a tape exists.
type Sight = (&'static str, bool, bool);

#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<Vec<Sight>>>);

impl Net {
    fn new() -> Self {
        let device = Device::flex();
        let linear = |from, to| LinearConfig::new(from, to).with_initializer(Initializer::Constant { value: 0.5 }).init(&device);
        Self {
            frozen: linear(1, 3).no_grad(),
            norm: BatchNormConfig::new(3).init(&device),
            dropout: DropoutConfig::new(0.5).init(),
            last: linear(3, 1),
            seen: Seen::default(),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.last.forward(self.norm.forward(self.frozen.forward(x)))
    }

    /// Records whether dropout drops any of a thousand ones, and whether the output has a tape.
    fn note(&self, step: &'static str, output: &Tensor<2>) {
        let ones = self.last.weight.val().slice([0..1, 0..1]).mul_scalar(0.0).add_scalar(1.0).expand([1000, 1]);
        let drops = self.dropout.forward(ones).min().into_scalar::<f32>() < 0.5;
        self.seen.0.lock().unwrap().push((step, drops, output.is_autodiff()));
    }
}

impl LightningModule for Net {
    type Batch = Batch;

    fn training_step(&self, (x, y): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let output = self.forward(x);
        self.note("train", &output);
        Ok((output - y).powi_scalar(2).mean().into())
    }

    fn validation_step(&self, (x, y): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let output = self.forward(x);
        self.note("validate", &output);
        self.log("val_loss", (output - y).powi_scalar(2).mean());
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), 0.1).into())
    }
}

fn fit(trainer: Trainer<Net>) -> Net {
    let mut trainer = trainer.max_epochs(2).num_sanity_val_steps(1);
    trainer.fit(Net::new(), (line_data(8, 4), line_data(4, 4))).unwrap().module
}

fn list<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// All values that training changes.
fn state(net: &Net) -> [Vec<f32>; 5] {
    let norm = &net.norm;
    let running = [norm.running_mean.value_sync(), norm.running_var.value_sync()].map(list);
    let [mean, var] = running;
    [mean, var, list(norm.gamma.val()), list(net.last.weight.val()), list(net.frozen.weight.val())]
}

#[test]
fn a_validation_between_batches_does_not_change_the_training() {
    let unvalidated = state(&fit(quiet().limit_val_batches(0)));
    assert_eq!(state(&fit(quiet())), unvalidated);
    assert_eq!(state(&fit(quiet().val_check_interval(Every::Batches(1)))), unvalidated);
}

#[test]
fn running_statistics_only_see_training_batches() {
    // Each feature is x/2 + 1/2. The batches are x = 0, 1/8, 2/8, 3/8 and x = 4/8, …, 7/8, twice. The momentum is 0.1.
    let mean = |first: f32| (0..4_u8).map(|i| (first + f32::from(i)) / 16.0 + 0.5).sum::<f32>() / 4.0;
    let expected = [0.0, 4.0, 0.0, 4.0].into_iter().fold(0.0, |running, first| 0.9 * running + 0.1 * mean(first));
    let [means, vars, ..] = state(&fit(quiet().val_check_interval(Every::Batches(1))));
    assert!(means.iter().all(|mean| (mean - expected).abs() < 1e-5), "{means:?} instead of {expected}");
    assert!(vars.iter().all(|var| *var < 0.7), "they began at 1: {vars:?}");
}

#[test]
fn a_frozen_parameter_stays_frozen_and_the_others_stay_trainable() {
    let net = fit(quiet().val_check_interval(Every::Batches(1)));
    let flags = [&net.frozen.weight, &net.last.weight].map(|weight| weight.is_require_grad());
    assert_eq!(flags, [false, true]);
    assert_eq!(list(net.frozen.weight.val()), [0.5; 3]);
    assert_ne!(list(net.last.weight.val()), [0.5; 3]);
    assert!(net.norm.training.is_enabled() && net.dropout.training.is_enabled(), "the module comes back in training mode");
}

#[test]
fn dropout_and_the_tape_are_on_in_training_and_off_in_validation() {
    let net = fit(quiet().val_check_interval(Every::Batches(1)));
    let (train, validate) = (("train", true, true), ("validate", false, false));
    let epoch = [train, validate, train, validate];
    assert_eq!(*net.seen.0.lock().unwrap(), [&[validate], &epoch[..], &epoch[..]].concat());
}

#[test]
fn an_evaluation_does_not_change_its_module() {
    let net = Net::new().train();
    let before = state(&net);
    let metrics = quiet().validate(&net, line_data(4, 4)).unwrap();
    assert_eq!(metrics[0].len(), 1);
    assert_eq!(state(&net), before);
    assert!(net.last.weight.is_require_grad() && !net.frozen.weight.is_require_grad() && net.dropout.training.is_enabled());
    assert_eq!(*net.seen.0.lock().unwrap(), [("validate", false, false)]);
}

/// burn shares running statistics between the clones of a module in training mode.
#[test]
fn a_module_keeps_its_running_statistics_when_a_checkpoint_is_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("first.ckpt");
    let mut trainer = quiet().max_epochs(1);
    let first = trainer.fit(Net::new(), line_data(8, 4)).unwrap();
    trainer.save_checkpoint(&first.module, &path).unwrap();
    let net = fit(quiet());
    let before = state(&net);
    assert_ne!(before, state(&first.module));
    let metrics = quiet().ckpt_path(&*path).validate(&net, line_data(4, 4)).unwrap();
    assert_eq!(metrics, quiet().validate(&first.module, line_data(4, 4)).unwrap());
    assert_eq!(state(&net), before);
}

/// Layers that act on the batch itself, before any parameter.
#[derive(Module, Debug)]
struct OnInput {
    norm: BatchNorm,
    dropout: Dropout,
    last: Linear,
    #[module(skip)]
    seen: Seen,
}

impl LightningModule for OnInput {
    type Batch = Batch;

    fn training_step(&self, (x, y): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let ones = self.dropout.forward(x.clone().slice(0..1).ones_like().expand([1000, 1]));
        self.seen.0.lock().unwrap().push(("train", ones.min().into_scalar::<f32>() < 0.5, true));
        Ok((self.last.forward(self.norm.forward(x)) - y).powi_scalar(2).mean().into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), 0.1).into())
    }
}

#[test]
fn layers_that_act_on_the_batch_itself_train() {
    let device = Device::flex();
    let module = OnInput {
        norm: BatchNormConfig::new(1).init(&device),
        dropout: DropoutConfig::new(0.5).init(),
        last: LinearConfig::new(1, 1).init(&device),
        seen: Seen::default(),
    };
    let net = quiet().max_epochs(1).fit(module, line_data(4, 4)).unwrap().module;
    assert_eq!(*net.seen.0.lock().unwrap(), [("train", true, true)], "dropout");
    assert_ne!(list(net.norm.running_var.value_sync()), [1.0], "running statistics");
}

#[test]
fn the_sanity_check_does_not_consume_single_pass_data() {
    let batches = || {
        let batch = (
            burn::tensor::Tensor::<2>::ones([2, 1], &burn::tensor::Device::flex()),
            burn::tensor::Tensor::ones([2, 1], &burn::tensor::Device::flex()),
        );
        Loader::from_iter(vec![batch; 3]).items_per_batch(2)
    };
    let fit = quiet().max_epochs(1).fit(Line::new(), (line_data(8, 2), batches())).unwrap();
    assert_eq!(fit.stop, Stop::MaxEpochs(1));
    assert_snapshot!(error_text(quiet().max_epochs(2).fit(Line::new(), (line_data(8, 2), batches()))), @"
    the iterator of this loader was already consumed, so there is nothing left for epoch 0
      hint: use `Loader::from_fn`, which makes a fresh iterator for each epoch, or `Loader::from_batches`
    ");
}
