//! Tuners and sweeps with real fits.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot continue fails; clippy's own exception does not reach helper functions"
)]

mod batch_size;
mod folds;
mod lr_find;
mod sweep;

use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::{
    data::dataset::InMemDataset,
    module::Param,
    nn::{
        BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig,
        loss::{MseLoss, Reduction},
    },
    optim::{AdamConfig, SgdConfig},
    prelude::*,
};
use serde_json::Value;
use stormfire_data::Loader;
use stormfire_module::{LightningModule, Result, StepOutput};
use stormfire_optim::{Optimizer, Optimizers};
use stormfire_trainer::Trainer;

pub(crate) type Batch = (Tensor<2>, Tensor<2>);

/// burn has one generator. Tests that compare random numbers run one at a time.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `y = w·x + b`, by SGD.
#[derive(Module, Debug)]
pub(crate) struct Line {
    pub(crate) layer: Linear,
}

impl Line {
    pub(crate) fn fixed() -> Self {
        let device = Device::flex();
        let mut layer = LinearConfig::new(1, 1).init(&device);
        layer.weight = Param::from_tensor(Tensor::from_floats([[0.5]], &device));
        layer.bias = Some(Param::from_tensor(Tensor::from_floats([0.1], &device)));
        Self { layer }
    }
}

pub(crate) fn mse(prediction: Tensor<2>, target: Tensor<2>) -> Tensor<1> {
    MseLoss::new().forward(prediction, target, Reduction::Mean)
}

impl LightningModule for Line {
    type Batch = Batch;

    fn training_step(&self, (x, y): Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok(mse(self.layer.forward(x), y).into())
    }

    fn validation_step(&self, (x, y): Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("val_loss", mse(self.layer.forward(x), y));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), 0.01).into())
    }

    fn hparams(&self) -> Result<Value> {
        Ok(serde_json::json!({"lr": 0.01}))
    }
}

/// A module with everything that a copy could share with its original.
#[derive(Module, Debug)]
pub(crate) struct Net {
    input: Linear,
    norm: BatchNorm,
    dropout: Dropout,
    frozen: Linear,
    output: Linear,
}

impl Net {
    pub(crate) fn new() -> Self {
        let device = Device::flex();
        Self {
            input: LinearConfig::new(1, 4).init(&device),
            norm: BatchNormConfig::new(4).init(&device),
            dropout: DropoutConfig::new(0.2).init(),
            frozen: LinearConfig::new(4, 4).init(&device).no_grad(),
            output: LinearConfig::new(4, 1).init(&device),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let hidden = self.dropout.forward(self.norm.forward(self.input.forward(x)));
        self.output.forward(self.frozen.forward(hidden))
    }
}

impl LightningModule for Net {
    type Batch = Batch;

    fn training_step(&self, (x, y): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let loss = mse(self.forward(x), y);
        self.log("train_loss", &loss);
        Ok(loss.into())
    }

    fn validation_step(&self, (x, y): Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("val_loss", mse(self.forward(x), y));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), 0.01).into())
    }
}

/// `items` points of `y = 2·x + 1`, in order.
pub(crate) fn line_data(items: usize, batch_size: usize) -> Loader<Batch> {
    let points: Vec<f32> = (0..items).map(|i| i as f32 / items as f32).collect();
    let collate = |points: Vec<f32>, device: &Device| {
        let x = Tensor::<1>::from_floats(points.as_slice(), device).unsqueeze_dim::<2>(1);
        (x.clone(), x * 2.0 + 1.0)
    };
    Loader::collate(InMemDataset::new(points), collate).batch_size(batch_size)
}

/// A Trainer that prints, saves and logs nothing.
pub(crate) fn quiet<M: LightningModule>() -> Trainer<M> {
    Trainer::new().no_logger().enable_checkpointing(false).enable_progress_bar(false).enable_model_summary(false)
}

/// All values of a module, as bits.
pub(crate) fn bits<M: Module>(module: &M) -> Vec<u32> {
    struct All(Vec<u32>);
    impl burn::module::ModuleVisitor for All {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().iter::<f32>().map(f32::to_bits));
        }
    }
    let mut all = All(Vec::new());
    module.valid().visit(&mut all);
    all.0
}
