//! A whole fit in `bf16`, the default type of its device: losses fall, numbers are those of one run, and a resume is
//! exact.

use std::path::Path;

use burn::{
    nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig},
    optim::{AdamConfig, SgdConfig, momentum::MomentumConfig},
    prelude::*,
    tensor::{FloatDType, IntDType},
};
use stormfire::{checkpoint::Checkpoint, loggers::MemoryLogger, prelude::*};

use crate::{
    child,
    kept_state::SaveAt,
    repeatability::{Weights, weights},
    support::{Batch, line_data, recording},
};

#[derive(Module, Debug)]
struct Net {
    first: Linear,
    norm: BatchNorm,
    last: Linear,
    #[module(skip)]
    adam: bool,
}

impl Net {
    fn new(adam: bool) -> Self {
        let device = Device::flex();
        let layer = |inputs, outputs| LinearConfig::new(inputs, outputs).init(&device);
        Self { first: layer(1, 8), norm: BatchNormConfig::new(8).init(&device), last: layer(8, 1), adam }
    }

    fn loss(&self, (x, y): Batch) -> Tensor<1> {
        let hidden = burn::tensor::activation::relu(self.norm.forward(self.first.forward(x)));
        (self.last.forward(hidden) - y).square().mean()
    }
}

impl LightningModule for Net {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        let loss = self.loss(batch);
        self.log("train_loss", &loss).on_epoch(true);
        Ok(loss.into())
    }

    fn validation_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("val_loss", self.loss(batch));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let plateau = Schedule::new(ReduceLrOnPlateau::new().patience(0)).monitor("val_loss");
        let sgd = SgdConfig::new().with_momentum(Some(MomentumConfig::new()));
        let optimizer = if self.adam { Optimizer::new(AdamConfig::new(), 0.05) } else { Optimizer::new(sgd, 0.05) };
        Ok(optimizer.schedule(plateau).into())
    }
}

type Rows = Vec<(String, u64, Option<u64>)>;

fn fit(adam: bool, saves: Option<&Path>, from: Option<&Path>) -> (Weights, Rows) {
    let memory = MemoryLogger::new();
    let mut trainer = recording(&memory).seed(7).max_epochs(3).log_every_n_steps(1).accumulate_grad_batches(2);
    trainer = trainer.gradient_clip_val(0.5).on_non_finite("skip:3").callback(LearningRateMonitor::new());
    trainer = trainer.callback(GradientNormMonitor::new()).callback(EarlyStopping::new("val_loss"));
    if let Some(folder) = saves {
        trainer = trainer.callback(SaveAt(vec![1, 4, 5], folder.into()));
    }
    if let Some(from) = from {
        trainer = trainer.ckpt_path(from);
    }
    let fit = trainer.fit(Net::new(adam), (line_data(24, 4).shuffle(true), line_data(8, 4))).unwrap();
    assert_eq!(fit.module.first.weight.val().dtype(), FloatDType::BF16.into());
    let rows = memory.rows().into_iter().map(|(name, value, step)| (name, value.to_bits(), step)).collect();
    (weights(&fit.module), rows)
}

/// The type of a device is set once in a process.
#[test]
#[ignore = "a part of `a_fit_in_bf16_is_as_good_as_any`"]
fn in_bf16() {
    if child::folder().is_none() {
        return;
    }
    let mut device = Device::flex();
    device.configure((FloatDType::BF16, IntDType::I32)).unwrap();
    for adam in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let (uninterrupted, rows) = fit(adam, Some(folder.path()), None);
        let losses: Vec<f64> = rows.iter().filter(|row| row.0 == "train_loss_epoch").map(|row| f64::from_bits(row.1)).collect();
        assert!(losses.len() == 3 && losses[2] < losses[0], "{losses:?}");
        for step in [1, 4, 5] {
            let saved = folder.path().join(format!("{step}.ckpt"));
            let dtypes: Vec<_> = Checkpoint::read(&saved).unwrap().take_training_weights().into_values().map(|data| data.dtype()).collect();
            assert!(dtypes.iter().all(|dtype| *dtype == FloatDType::BF16.into()), "{dtypes:?}");
            let (resumed, later) = fit(adam, None, Some(&saved));
            assert_eq!(resumed, uninterrupted, "adam: {adam}, step {step}");
            assert_eq!(later[..], rows[rows.len() - later.len()..], "adam: {adam}, step {step}");
        }
    }
}

#[test]
fn a_fit_in_bf16_is_as_good_as_any() {
    child::play(child::part("half_precision::in_bf16", tempfile::tempdir().unwrap().path()));
}
