//! A small classifier that notes the types of its steps.

use std::sync::{Arc, Mutex};

use burn::{
    data::dataset::InMemDataset,
    nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, loss::CrossEntropyLossConfig},
    optim::AdamConfig,
    prelude::*,
    tensor::{DType, activation::relu},
};
use stormfire::{loggers::MemoryLogger, prelude::*};

use crate::support::recording;

/// Points in the plane, and the class of each point, one of three.
#[derive(Clone, Debug, CastBatch, SplitBatch)]
pub(crate) struct Points {
    pub(crate) inputs: Tensor<2>,
    pub(crate) classes: Tensor<1, Int>,
    /// Not a tensor.
    #[split(clone)]
    pub(crate) scale: f32,
}

/// Who has seen which type.
#[derive(Clone, Debug, Default)]
pub(crate) struct Types(Arc<Mutex<Vec<(&'static str, DType)>>>);

impl Types {
    pub(crate) fn note(&self, who: &'static str, dtype: DType) {
        let mut seen = self.0.lock().unwrap();
        if !seen.contains(&(who, dtype)) {
            seen.push((who, dtype));
        }
    }

    /// In order of name.
    pub(crate) fn seen(&self) -> Vec<(&'static str, DType)> {
        let mut seen = self.0.lock().unwrap().clone();
        seen.sort_by_key(|(who, _)| *who);
        seen
    }
}

#[derive(Module, Debug)]
pub(crate) struct Net {
    pub(crate) hidden: Linear,
    pub(crate) norm: Option<BatchNorm>,
    pub(crate) output: Linear,
    #[module(skip)]
    pub(crate) types: Types,
}

/// The same numbers in every test.
fn linear(inputs: usize, outputs: usize) -> Linear {
    let device = Device::flex();
    let mut linear = LinearConfig::new(inputs, outputs).init(&device);
    let values = Tensor::<1>::ones([inputs * outputs], &device).cumsum(0);
    linear.weight = burn::module::Param::from_tensor((values * 0.7).sin().reshape([inputs, outputs]));
    linear.bias = Some(burn::module::Param::from_tensor(Tensor::zeros([outputs], &device)));
    linear
}

impl Net {
    pub(crate) fn new() -> Self {
        Self { hidden: linear(2, 16), norm: None, output: linear(16, 3), types: Types::default() }
    }

    pub(crate) fn normalised(mut self) -> Self {
        self.norm = Some(BatchNormConfig::new(16).init(&Device::flex()));
        self
    }

    pub(crate) fn logits(&self, points: Tensor<2>) -> Tensor<2> {
        let hidden = self.hidden.forward(points);
        let hidden = match &self.norm {
            Some(norm) => norm.forward(hidden),
            None => hidden,
        };
        self.output.forward(relu(hidden))
    }

    pub(crate) fn loss(&self, name: &'static str, batch: Points) -> Tensor<1> {
        self.types.note(name, self.hidden.weight.val().dtype());
        self.types.note("batch", batch.inputs.dtype());
        let logits = self.logits(batch.inputs * batch.scale);
        self.log(format!("{name}_acc"), accuracy(&logits, &batch.classes)).on_epoch(true);
        let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, batch.classes);
        self.log(format!("{name}_loss"), &loss).on_step(name == "train").on_epoch(true);
        loss
    }
}

impl LightningModule for Net {
    type Batch = Points;

    fn training_step(&self, batch: Points, _batch_idx: usize) -> Result<StepOutput> {
        Ok(self.loss("train", batch).into())
    }

    fn validation_step(&self, batch: Points, _batch_idx: usize) -> Result<StepOutput> {
        self.loss("val", batch);
        Ok(StepOutput::none())
    }

    fn test_step(&self, batch: Points, _batch_idx: usize) -> Result<StepOutput> {
        self.loss("test", batch);
        Ok(StepOutput::none())
    }

    fn batch_size(&self, batch: &Points) -> Option<usize> {
        Some(batch.classes.dims()[0])
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), 1e-2).into())
    }
}

impl PredictModule for Net {
    type Prediction = Vec<f32>;

    fn predict_step(&self, batch: Points, _batch_idx: usize) -> Result<Vec<f32>> {
        self.types.note("predict", self.hidden.weight.val().dtype());
        Ok(self.logits(batch.inputs).into_data().iter::<f32>().collect())
    }
}

/// `items` points in order, in batches.
pub(crate) fn points(items: usize, batch_size: usize) -> Loader<Points> {
    let collate = |items: Vec<usize>, device: &Device| {
        let numbers: Vec<f32> = items.iter().map(|&item| item as f32).collect();
        let numbers = Tensor::<1>::from_floats(numbers.as_slice(), device);
        let points = Tensor::stack(vec![(numbers.clone() * 2.1).sin(), (numbers * 2.1).cos()], 1);
        let classes: Vec<u8> = items.iter().map(|&item| [0, 1, 2][item % 3]).collect();
        Points { inputs: points, classes: Tensor::from_data(classes.as_slice(), device), scale: 2.0 }
    };
    Loader::collate(InMemDataset::new((0..items).collect()), collate).batch_size(batch_size)
}

/// The result of a fit: the module, its progress, and the logged rows.
pub(crate) struct Fitted {
    pub(crate) module: Net,
    pub(crate) steps: u64,
    pub(crate) rows: Vec<(String, f64, Option<u64>)>,
}

impl Fitted {
    /// The logged values of a name, in order.
    pub(crate) fn values(&self, name: &str) -> Vec<f64> {
        self.rows.iter().filter(|row| row.0 == name).map(|row| row.1).collect()
    }
}

/// Four epochs of five steps.
pub(crate) fn fit(net: Net, set: impl Fn(Trainer<Net>) -> Trainer<Net>) -> Result<Fitted> {
    let logger = MemoryLogger::new();
    let trainer = recording(&logger).max_epochs(4).log_every_n_steps(1).num_sanity_val_steps(0);
    let fit = set(trainer).fit(net, (points(40, 8), points(10, 8)))?;
    Ok(Fitted { module: fit.module, steps: fit.progress.global_step, rows: logger.rows() })
}
