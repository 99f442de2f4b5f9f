//! A custom metric with two results, a number and a drawing: `cargo run --release --example custom_metric`.
//!
//! If a person looks at the digits of which the network is least sure, how good is it on the others? The metric counts
//! the digits of each step of confidence. The accuracy is 0.88, and 0.92 on the surest 90 %. `coverage.svg` in the
//! folder of the run shows the result.

use burn::{
    nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig},
    optim::AdamConfig,
    prelude::*,
    tensor::activation::{relu, softmax},
};
use stormfire::{
    cli::Cli,
    metrics::{Outline, picture},
    prelude::*,
    values::read::Array,
};
use stormfire_examples::{MnistBatch, MnistConfig, MnistData, save_drawing};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The steps of confidence.
const STEPS: i64 = 100;

/// The state of the metric. Each field says how it is merged.
#[derive(Clone, Debug, Merge)]
struct Coverage {
    /// The digits of each step, from the least to the most confident. They stay on the device.
    #[merge(sum)]
    all: Array,
    /// Those that were recognised.
    #[merge(sum)]
    right: Array,
}

impl Coverage {
    /// From the logits `[digits, classes]` of a batch. Reads nothing from the device.
    fn new(logits: &Tensor<2>, targets: &Tensor<1, Int>) -> Self {
        let (confidence, class) = softmax(logits.clone().inner(), 1).max_dim_with_indices(1);
        let step = (confidence * STEPS as f64).clamp_max(STEPS as f64 - 1.0).int();
        let is_in_step = step.equal(Tensor::<1, Int>::arange(0..STEPS, &targets.device()).unsqueeze());
        let is_right = class.squeeze_dim::<1>(1).equal(targets.clone().inner()).unsqueeze_dim::<2>(1).expand([-1, STEPS]);
        let count = |digits: Tensor<2, Bool>| Array::from(digits.int().sum_dim(0).squeeze_dim::<1>(0));
        Self { right: count(is_in_step.clone().bool_and(is_right)), all: count(is_in_step) }
    }

    /// For each step, from the most confident one: the share of all digits until here, and how many of them are right.
    fn points(&self) -> Vec<(f64, f64)> {
        let (all, right) = (self.all.to_vec(), self.right.to_vec());
        let total: f64 = all.iter().sum();
        let (mut digits, mut recognised) = (0.0, 0.0);
        let steps = all.iter().zip(&right).rev().filter(|(all, _)| **all > 0.0);
        let points = steps.map(|(all, right)| {
            (digits, recognised) = (digits + all, recognised + right);
            (digits / total, recognised / digits)
        });
        points.collect()
    }
}

/// A metric whose result is a drawing: loggers get it as a figure and a table.
impl Metric for Coverage {
    type Value = picture::Curves;

    fn compute(&self) -> picture::Curves {
        let line = picture::Line::new("the most confident ones", self.points());
        picture::Curves::new("share of the digits", "accuracy on them", [line])
    }

    fn outline(&self) -> Outline {
        Outline::Picture
    }
}

/// A number from the same state: the accuracy on the most confident digits.
#[derive(Clone, Debug, Merge)]
struct AccuracyOf {
    #[merge(same)]
    share: f64,
    coverage: Coverage,
}

impl Metric for AccuracyOf {
    type Value = f64;

    fn compute(&self) -> f64 {
        let points = self.coverage.points();
        points.iter().find(|(share, _)| *share >= self.share).map_or(f64::NAN, |(_, accuracy)| *accuracy)
    }
}

#[derive(Module, Debug)]
struct Digits {
    hidden: Linear,
    output: Linear,
}

impl Digits {
    fn new(device: &Device) -> Self {
        Self { hidden: LinearConfig::new(28 * 28, 32).init(device), output: LinearConfig::new(32, 10).init(device) }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.output.forward(relu(self.hidden.forward(images.flatten(1, 3))))
    }
}

impl LightningModule for Digits {
    type Batch = MnistBatch;

    fn training_step(&self, batch: MnistBatch, _batch_idx: usize) -> Result<StepOutput> {
        let logits = self.forward(batch.images);
        Ok(CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, batch.targets).into())
    }

    fn validation_step(&self, batch: MnistBatch, _batch_idx: usize) -> Result<StepOutput> {
        let coverage = Coverage::new(&self.forward(batch.images), &batch.targets);
        self.log("val_acc_90", AccuracyOf { share: 0.9, coverage: coverage.clone() }).prog_bar(true);
        self.log("val_coverage", coverage);
        Ok(StepOutput::none())
    }

    fn test_step(&self, batch: MnistBatch, _batch_idx: usize) -> Result<StepOutput> {
        let coverage = Coverage::new(&self.forward(batch.images), &batch.targets);
        self.log("test_acc", AccuracyOf { share: 1.0, coverage: coverage.clone() });
        self.log("test_acc_90", AccuracyOf { share: 0.9, coverage });
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), 1e-3).into())
    }
}

fn main() -> Result<Stop> {
    Cli::new(|(): (), device: &Device| Ok(Digits::new(device)), |data: MnistConfig| Ok(MnistData::new(data)))
        .about("Trains on MNIST digits, with a custom metric.")
        .trainer_defaults(TrainerConfig { max_epochs: Some(4), seed: Some(42), log_every_n_steps: 10, ..TrainerConfig::default() })
        .after_fit(|trainer, fit, mut data| {
            trainer.test(&fit.module, &mut data)?;
            // Without a Trainer, `read` computes the result.
            let module = fit.module.valid();
            let digits = data.first_of_test(1000, &module.output.weight.device())?;
            save_drawing(trainer.log_dir(), "coverage", Coverage::new(&module.forward(digits.images), &digits.targets).read()?)
        })
        .run()
}
