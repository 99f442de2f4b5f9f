//! The tiny model that all contestants train. It does so little work that the cost of the loop is visible.

use burn::{
    module::Module,
    nn::{
        Linear, LinearConfig,
        loss::{MseLoss, Reduction},
    },
    optim::{ModuleOptimizer, SgdConfig},
    tensor::{Device, Distribution, Tensor},
};

/// Inputs `[32, 32]` and targets `[32, 2]`.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Inputs.
    pub x: Tensor<2>,
    /// Targets.
    pub y: Tensor<2>,
}

/// One layer.
#[derive(Module, Debug)]
pub struct Tiny {
    /// 32 -> 2.
    pub layer: Linear,
}

impl Tiny {
    /// Creates the model on a device.
    pub fn new(device: &Device) -> Self {
        Self { layer: LinearConfig::new(32, 2).init(device) }
    }

    /// The mean squared error.
    pub fn loss(&self, batch: Batch) -> Tensor<1> {
        MseLoss::new().forward(self.layer.forward(batch.x), batch.y, Reduction::Mean)
    }
}

/// The batch of every step.
pub fn batch(device: &Device) -> Batch {
    Batch { x: Tensor::random([32, 32], Distribution::Default, device), y: Tensor::random([32, 2], Distribution::Default, device) }
}

/// Plain SGD, the cheapest optimizer.
pub fn optimizer() -> ModuleOptimizer {
    SgdConfig::new().init()
}

/// The learning rate.
pub const LR: f64 = 1e-3;
