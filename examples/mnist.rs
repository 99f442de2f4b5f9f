//! Trains a small convolutional network on MNIST digits: `cargo run --release --example mnist`.
//!
//! The 5,000 digits of `data/mnist-mini` take half a minute on two cores. `cargo xtask data` downloads all 60,000.

use burn::{
    nn::{
        Linear, LinearConfig, PaddingConfig2d, Relu,
        conv::{Conv2d, Conv2dConfig},
        loss::{CrossEntropyLoss, CrossEntropyLossConfig},
        pool::{MaxPool2d, MaxPool2dConfig},
    },
    optim::AdamConfig,
    prelude::*,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stormfire::{cli::Cli, prelude::*};
use stormfire_examples::{MnistBatch, MnistConfig as DataConfig, MnistData};

// A small model spends half of its time in the system's allocator, which returns memory and requests it again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The options of the network. They are also in `hparams.yaml` and in checkpoints.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct MnistConfig {
    /// Units of the hidden layer.
    #[schemars(range(min = 1))]
    hidden: usize,
    /// The learning rate of Adam.
    lr: f64,
}

impl Default for MnistConfig {
    fn default() -> Self {
        Self { hidden: 64, lr: 2e-3 }
    }
}

#[derive(Module, Debug)]
struct Mnist {
    conv1: Conv2d,
    conv2: Conv2d,
    pool: MaxPool2d,
    relu: Relu,
    hidden: Linear,
    output: Linear,
    cross_entropy: CrossEntropyLoss,
    #[module(skip)]
    config: MnistConfig,
}

impl Mnist {
    fn new(config: MnistConfig, device: &Device) -> Self {
        Self {
            conv1: Conv2dConfig::new([1, 8], [3, 3]).with_padding(PaddingConfig2d::Same).init(device),
            conv2: Conv2dConfig::new([8, 16], [3, 3]).with_padding(PaddingConfig2d::Same).init(device),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            relu: Relu::new(),
            hidden: LinearConfig::new(16 * 7 * 7, config.hidden).init(device),
            output: LinearConfig::new(config.hidden, 10).init(device),
            cross_entropy: CrossEntropyLossConfig::new().init(device),
            config,
        }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = self.pool.forward(self.relu.forward(self.conv1.forward(images)));
        let x = self.pool.forward(self.relu.forward(self.conv2.forward(x)));
        self.output.forward(self.relu.forward(self.hidden.forward(x.flatten(1, 3))))
    }

    fn loss(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        self.cross_entropy.forward(logits, targets)
    }
}

impl LightningModule for Mnist {
    type Batch = MnistBatch;

    fn training_step(&self, batch: MnistBatch, _batch_idx: usize) -> Result<StepOutput> {
        let loss = self.loss(self.forward(batch.images), batch.targets);
        self.log("train_loss", &loss).prog_bar(true);
        Ok(loss.into())
    }

    fn validation_step(&self, batch: MnistBatch, _batch_idx: usize) -> Result<StepOutput> {
        let logits = self.forward(batch.images);
        self.log("val_acc", accuracy(&logits, &batch.targets)).prog_bar(true);
        self.log("val_loss", self.loss(logits, batch.targets));
        Ok(StepOutput::none())
    }

    fn test_step(&self, batch: MnistBatch, _batch_idx: usize) -> Result<StepOutput> {
        let logits = self.forward(batch.images);
        self.log("test_acc", accuracy(&logits, &batch.targets));
        self.log("test_loss", self.loss(logits, batch.targets));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), self.config.lr).into())
    }

    fn hparams(&self) -> Result<Value> {
        state::save(&self.config)
    }
}

fn main() -> Result<Stop> {
    Cli::new(|model: MnistConfig, device: &Device| Ok(Mnist::new(model, device)), |data: DataConfig| Ok(MnistData::new(data)))
        .about("Trains a small convolutional network on MNIST digits.")
        .version(env!("CARGO_PKG_VERSION"))
        .alias("epochs", "trainer.max_epochs")
        .alias("lr", "model.lr")
        .alias("data", "data.folder")
        .alias("accelerator", "trainer.accelerator")
        .trainer_defaults(TrainerConfig { max_epochs: Some(8), seed: Some(42), log_every_n_steps: 10, ..TrainerConfig::default() })
        .with_devices()
        .with_precision()
        .trainer(|trainer| {
            let validates = !matches!(trainer.config().limit_val_batches, Limit::Batches(0) | Limit::Fraction(0.0));
            let trainer = trainer.callback(LearningRateMonitor::new());
            if validates { trainer.callback(EarlyStopping::new("val_loss").patience(3)) } else { trainer }
        })
        .after_fit(|trainer, fit, data| trainer.test(&fit.module, data).map(drop))
        .run()
}
