//! Two optimizers that step in turn, and two that share one backward pass.

use accelerator_tests::{Outcome, models::weights};
use burn::{
    nn::{Linear, LinearConfig},
    optim::{AdamConfig, SgdConfig},
    prelude::*,
    tensor::Distribution,
};
use stormfire::prelude::*;

use super::distance;

#[derive(Module, Debug)]
struct Pair {
    body: Linear,
    head: Linear,
}

impl LightningModule for Pair {
    type Batch = Tensor<2>;

    fn training_batch(&mut self, batch: Tensor<2>, batch_idx: usize, opt: &mut Stepper<'_, Self>) -> Result<StepOutput> {
        let loss = |module: &Self| module.head.forward(module.body.forward(batch.clone()).tanh()).square().mean();
        if batch_idx.is_multiple_of(2) {
            let loss = loss(self);
            opt.step("head", self, &loss)?;
        }
        let loss = loss(self);
        for (optimizer, gradients) in opt.backward_all(self, &loss)? {
            opt.apply(&optimizer, self, gradients)?;
        }
        Ok(loss.into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let body = Optimizer::new(AdamConfig::new(), 1e-2).named("body").params_of(&self.body);
        let head = Optimizer::new(SgdConfig::new(), 1e-2).named("head").params_of(&self.head);
        Ok([body, head].into())
    }
}

pub(super) fn check(device: &Device) -> Outcome<String> {
    let cpu = Device::flex();
    cpu.seed(5);
    let module = Pair { body: LinearConfig::new(8, 16).init(&cpu), head: LinearConfig::new(16, 1).init(&cpu) };
    let _ = weights(&module);
    let batches: Vec<_> = (0..8).map(|_| Tensor::<2>::random([4, 8], Distribution::Normal(0.0, 1.0), &cpu)).collect();
    let train = |device: &Device| -> Outcome<Vec<f32>> {
        let moved = batches.iter().map(|batch| Tensor::<2>::from_data(batch.to_data(), &device.clone().autodiff()));
        let mut trainer = Trainer::new().barebones(true).max_epochs(1).accelerator(device.clone()).gradient_clip_val(1.0);
        Ok(weights(&trainer.fit(module.clone(), Loader::from_batches(moved.collect()))?.module))
    };
    let (expected, actual) = (train(&cpu)?, train(device)?);
    let largest = distance(&expected, &actual);
    if largest >= 1e-3 {
        return Err(format!("the weights differ by up to {largest:.1e}").into());
    }
    Ok(format!("weights within {largest:.1e}"))
}
