//! A small network for the checks of the loop: a software driver computes its kernels within seconds.

use accelerator_tests::models::weights;
use burn::{
    nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig},
    optim::AdamWConfig,
    prelude::*,
    tensor::Distribution,
};
use stormfire::{optim::independent_copy, prelude::*};

/// `x` of shape `[8, 6]`, and `y` of shape `[8, 1]`.
pub(super) type Batch = (Tensor<2>, Tensor<2>);

#[derive(Module, Debug)]
pub(super) struct Net {
    first: Linear,
    norm: BatchNorm,
    last: Linear,
}

impl Net {
    /// A network on the CPU, the same at each call.
    pub(super) fn new() -> Self {
        let cpu = Device::flex();
        cpu.seed(11);
        let net = Self {
            // Without a bias: behind it is a normalization, so its gradient would be rounding, which Adam makes as
            // large as the rate.
            first: LinearConfig::new(6, 16).with_bias(false).init(&cpu),
            norm: BatchNormConfig::new(16).init(&cpu),
            last: LinearConfig::new(16, 1).init(&cpu),
        };
        // burn draws parameters at their first use, and each clone would draw its own.
        let _ = weights(&net);
        net
    }

    /// A copy that shares nothing, not even the statistics of the normalization.
    pub(super) fn copy(&self) -> Self {
        independent_copy(self)
    }

    pub(super) fn loss(&self, (x, y): Batch) -> Tensor<1> {
        (self.last.forward(self.norm.forward(self.first.forward(x)).tanh()) - y).square().mean()
    }
}

/// The same batches at each call, on a device with a tape.
pub(super) fn batches(count: usize, device: &Device) -> Vec<Batch> {
    let (cpu, there) = (Device::flex(), device.clone().autodiff());
    cpu.seed(12);
    let random = |width| Tensor::from_data(Tensor::<2>::random([8, width], Distribution::Normal(0.0, 1.0), &cpu).to_data(), &there);
    (0..count).map(|_| (random(6), random(1))).collect()
}

impl LightningModule for Net {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        let loss = self.loss(batch);
        self.log("train_loss", &loss).on_epoch(true).batch_size(8);
        Ok(loss.into())
    }

    fn validation_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("val_loss", self.loss(batch)).batch_size(8);
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamWConfig::new(), 0.02).group("last", |last| last.lr(0.01).weight_decay(0.0)).into())
    }
}
