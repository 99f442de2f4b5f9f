//! A tiny module, its data, and Trainers without output.

use burn::{
    data::dataset::InMemDataset,
    module::Param,
    nn::{
        Linear, LinearConfig,
        loss::{MseLoss, Reduction},
    },
    optim::SgdConfig,
    prelude::*,
};
use stormfire::{loggers::MemoryLogger, prelude::*};

/// `y = w·x + b`, trained by SGD.
#[derive(Module, Debug)]
pub(crate) struct Line {
    pub(crate) layer: Linear,
}

impl Line {
    pub(crate) fn new() -> Self {
        Self { layer: LinearConfig::new(1, 1).init(&Device::flex()) }
    }

    /// The same parameters in every test. burn's random generator is global, so other tests change its state.
    pub(crate) fn fixed() -> Self {
        let device = Device::flex();
        let mut line = Self::new();
        line.layer.weight = Param::from_tensor(Tensor::from_floats([[0.5]], &device));
        line.layer.bias = Some(Param::from_tensor(Tensor::from_floats([0.1], &device)));
        line
    }

    pub(crate) fn loss(&self, (x, y): Batch) -> Tensor<1> {
        MseLoss::new().forward(self.layer.forward(x), y, Reduction::Mean)
    }
}

/// `x` and `y`, both of shape `[batch, 1]`.
pub(crate) type Batch = (Tensor<2>, Tensor<2>);

impl LightningModule for Line {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok(self.loss(batch).into())
    }

    fn validation_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("val_loss", self.loss(batch));
        Ok(StepOutput::none())
    }

    fn test_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("test_loss", self.loss(batch));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), 0.01).into())
    }
}

/// `items` points of the line `y = 2·x + 1` in batches of `batch_size`, in order.
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

/// A quiet Trainer that logs to memory only.
pub(crate) fn recording<M: LightningModule>(logger: &MemoryLogger) -> Trainer<M> {
    Trainer::new().logger(logger.clone()).enable_checkpointing(false).enable_progress_bar(false).enable_model_summary(false)
}
