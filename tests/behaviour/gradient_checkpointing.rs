//! The option `gradient_checkpointing`: it changes no number, is in force in every step, and needs less memory.

use std::sync::{Arc, Mutex};

use burn::{
    data::dataset::InMemDataset,
    module::{Param, ParamId},
    nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig},
    optim::AdamConfig,
    prelude::*,
    tensor::{GradientCheckpointingStrategy, activation::gelu},
};
use stormfire::{Error, prelude::*, ranks::threads};

use crate::{
    child::{self, folder},
    devices::values,
    error_text::error_text,
    kept_state::SaveAt,
    support::{Batch, quiet},
};

/// The strategies of a weight, of an integer parameter and of a batch, in a step.
type Seen = Arc<Mutex<Vec<[Option<GradientCheckpointingStrategy>; 3]>>>;

/// Everything that may carry a strategy: a tensor that is not a parameter, an integer parameter, running statistics.
#[derive(Module, Debug)]
struct Net {
    offset: Tensor<1>,
    order: Param<Tensor<1, Int>>,
    hidden: Linear,
    norm: BatchNorm,
    output: Linear,
    #[module(skip)]
    seen: Seen,
    #[module(skip)]
    mixes: bool,
}

impl Net {
    fn new(device: &Device) -> Self {
        let linear = |inputs: usize, outputs: usize| {
            let mut linear = LinearConfig::new(inputs, outputs).with_bias(false).init(device);
            let values = Tensor::<1>::ones([inputs * outputs], device).cumsum(0);
            linear.weight = Param::from_tensor((values * 0.7).sin().reshape([inputs, outputs]));
            linear
        };
        Self {
            offset: Tensor::from_floats([0.25], device),
            order: Param::initialized(ParamId::new(), Tensor::from_ints([2, 0, 3, 1], device)),
            hidden: linear(2, 4),
            norm: BatchNormConfig::new(4).init(device),
            output: linear(4, 1),
            seen: Arc::default(),
            mixes: false,
        }
    }

    fn loss(&self, (x, y): Batch) -> Tensor<1> {
        let hidden = gelu(self.norm.forward(self.hidden.forward(x))).select(1, self.order.val());
        (self.output.forward(hidden.tanh()).exp() + self.offset.clone().cast(y.dtype()).unsqueeze() - y).powi_scalar(2).mean()
    }
}

impl LightningModule for Net {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        let strategies = [
            self.output.weight.val().gradient_checkpointing_strategy(),
            self.order.val().gradient_checkpointing_strategy(),
            batch.0.gradient_checkpointing_strategy(),
        ];
        self.seen.lock().unwrap().push(strategies);
        let mut loss = self.loss(batch);
        if self.mixes {
            loss = loss * Tensor::ones([1], &Device::flex().autodiff());
        }
        self.log("train_loss", &loss);
        Ok(loss.into())
    }

    fn validation_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("val_loss", self.loss(batch));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), 1e-2).into())
    }
}

fn data(items: usize) -> Loader<Batch> {
    let collate = |items: Vec<usize>, device: &Device| {
        let numbers: Vec<f32> = items.iter().map(|&item| item as f32).collect();
        let numbers = Tensor::<1>::from_floats(numbers.as_slice(), device);
        let x = Tensor::stack(vec![(numbers.clone() * 0.9).sin(), (numbers.clone() * 1.7).cos()], 1);
        (x, numbers.sin().unsqueeze_dim(1))
    };
    Loader::collate(InMemDataset::new((0..items).collect()), collate).batch_size(4)
}

/// The results of a fit of a net that was made on this device: the weights, and what the steps have seen.
fn fit(device: &Device, set: impl FnOnce(Trainer<Net>) -> Trainer<Net>) -> Result<(Vec<f32>, Seen), Error> {
    let net = Net::new(device);
    let seen = Arc::clone(&net.seen);
    let trainer = quiet().max_epochs(2).val_check_interval(Every::Batches(1)).handle_signals(false);
    let fit = set(trainer).fit(net, (data(18), data(6)))?;
    Ok((values(&fit.module), seen))
}

type Set = fn(Trainer<Net>) -> Trainer<Net>;

/// Set-ups in which a copy of the module could lose the strategy.
const SET_UPS: [(&str, Set); 6] = [
    ("plain", |trainer| trainer),
    ("a window", |trainer| trainer.accumulate_grad_batches(2)),
    ("threads", |trainer| trainer.devices(2)),
    ("bf16-mixed", |trainer| trainer.precision("bf16-mixed")),
    ("16-mixed", |trainer| trainer.precision("16-mixed")),
    ("threads and bf16-mixed", |trainer| trainer.devices(2).precision("bf16-mixed")),
];

type Change<'a> = &'a dyn Fn(Trainer<Net>) -> Trainer<Net>;

#[test]
fn it_changes_no_number_and_holds_in_every_step() {
    let plain = Device::flex();
    let checkpointing = plain.clone().autodiff().gradient_checkpointing();
    for (name, set) in SET_UPS {
        let (without, seen) = fit(&plain, set).unwrap();
        assert!(seen.lock().unwrap().iter().flatten().all(|strategy| *strategy == Some(GradientCheckpointingStrategy::Disabled)));
        let runs: [(&str, &Device, Change<'_>, bool); 3] = [
            ("the option", &plain, &|trainer| set(trainer).gradient_checkpointing(true), true),
            ("the device of the module", &checkpointing, &|trainer| set(trainer), true),
            ("the option against the device", &checkpointing, &|trainer| set(trainer).gradient_checkpointing(false), false),
        ];
        for (how, device, set, is_on) in runs {
            let (with, seen) = fit(device, set).unwrap();
            assert_eq!(without, with, "{name}, {how}");
            let expected = if is_on { GradientCheckpointingStrategy::Balanced } else { GradientCheckpointingStrategy::Disabled };
            let seen = seen.lock().unwrap();
            assert!(seen.len() >= 10 && seen.iter().flatten().all(|strategy| *strategy == Some(expected)), "{name}, {how}: {seen:?}");
        }
    }
}

#[test]
fn it_holds_on_ranks() {
    let on_ranks = |is_on: bool| {
        let ended = threads::run(2, |_| fit(&Device::flex(), |trainer| trainer.gradient_checkpointing(is_on)));
        ended.into_iter().map(|ended| ended.unwrap()).collect::<Vec<_>>()
    };
    for (without, with) in on_ranks(false).into_iter().zip(on_ranks(true)) {
        assert_eq!(without.0, with.0);
        assert!(with.1.lock().unwrap().iter().flatten().all(|strategy| *strategy == Some(GradientCheckpointingStrategy::Balanced)));
    }
}

#[test]
fn a_fit_resumes_with_and_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, _) = fit(&Device::flex(), |trainer| {
        trainer.gradient_checkpointing(true).accumulate_grad_batches(2).callback(SaveAt(vec![3], folder.path().into()))
    })
    .unwrap();
    for is_on in [true, false] {
        let resumed = |trainer: Trainer<Net>| {
            trainer.gradient_checkpointing(is_on).accumulate_grad_batches(2).ckpt_path(folder.path().join("3.ckpt"))
        };
        let (weights, seen) = fit(&Device::flex(), resumed).unwrap();
        assert_eq!(weights, whole);
        assert_eq!(seen.lock().unwrap()[0][0] == Some(GradientCheckpointingStrategy::Balanced), is_on);
    }
}

/// A layer that a hook makes, on a device with another strategy or without a tape.
struct Replaces(Device);

impl Callback<Net> for Replaces {
    fn on_train_epoch_start(&mut self, ctx: &mut Context<'_>, module: &mut Net) -> Result<()> {
        if ctx.current_epoch() == 1 {
            module.output.weight = Param::from_tensor(Tensor::full([4, 1], 0.5, &self.0));
        }
        Ok(())
    }

    fn on_validation_start(&mut self, _ctx: &mut Context<'_>, module: &mut Net) -> Result<()> {
        module.offset = module.offset.clone() + 0.125;
        Ok(())
    }
}

#[test]
fn hooks_may_replace_layers() {
    let device = Device::flex();
    let (without, _) = fit(&device, |trainer| trainer.callback(Replaces(Device::flex()))).unwrap();
    for layer in [device.clone(), device.clone().autodiff(), device.clone().autodiff().gradient_checkpointing()] {
        let (with, seen) = fit(&device, |trainer| trainer.gradient_checkpointing(true).callback(Replaces(layer))).unwrap();
        assert_eq!(without, with);
        assert!(seen.lock().unwrap().iter().flatten().all(|strategy| *strategy == Some(GradientCheckpointingStrategy::Balanced)));
    }
}

#[test]
fn a_tensor_with_another_strategy_is_explained() {
    let net = Net { mixes: true, ..Net::new(&Device::flex()) };
    insta::assert_snapshot!(error_text(quiet().gradient_checkpointing(true).max_epochs(1).fit(net, data(4))), @"
    `gradient_checkpointing`: a step has combined a tensor of the module with one of a device with another strategy
      hint: make tensors on the device of another one, such as `x.device()`, or on a device without a tape; keep tensors of a module as `Param`
    ");
}

/// Layers whose results are large and cheap to compute.
#[derive(Module, Debug)]
struct Deep {
    layers: Vec<Linear>,
}

impl LightningModule for Deep {
    type Batch = Batch;

    fn training_step(&self, (x, _): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let x = x.repeat(&[1024, 128]);
        let x = self.layers.iter().fold(x, |x, layer| layer.forward(x).tanh().sin().exp().cos().tanh());
        Ok(x.mean().into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), 1e-3).into())
    }
}

/// One life of a process with the option, or without it. It writes the most memory that it had.
fn deep(is_on: bool) {
    let Some(folder) = folder() else { return };
    let module = Deep { layers: (0..8).map(|_| LinearConfig::new(256, 256).init(&Device::flex())).collect() };
    let _ = quiet().gradient_checkpointing(is_on).max_epochs(1).fit(module, data(4)).unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")).unwrap();
    std::fs::write(folder.join("most"), most).unwrap();
}

#[test]
#[ignore = "a part of `it_needs_less_memory`"]
fn deep_with_it() {
    deep(true);
}

#[test]
#[ignore = "a part of `it_needs_less_memory`"]
fn deep_without_it() {
    deep(false);
}

#[test]
#[cfg(target_os = "linux")]
fn it_needs_less_memory() {
    let [without, with] = ["deep_without_it", "deep_with_it"].map(|part| {
        let folder = tempfile::tempdir().unwrap();
        child::play(child::part(&format!("gradient_checkpointing::{part}"), folder.path()));
        std::fs::read_to_string(folder.path().join("most")).unwrap().trim().parse::<u64>().unwrap() >> 10
    });
    // Six results of 4 MiB for each of eight layers are kept without it, and about two with it.
    println!("{without} MiB without, {with} MiB with it");
    assert!(without > with + 64, "{without} MiB without, {with} MiB with it");
}
