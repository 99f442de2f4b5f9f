//! Fits a line. `// Yours:` marks what to change for your own model and data.
//!
//! `cargo run --release` trains, and `cargo run --release -- test --ckpt-path best` tests the best checkpoint.

use std::ops::Range;

use burn::{
    data::dataset::InMemDataset,
    nn::{
        Linear, LinearConfig,
        loss::{MseLoss, Reduction},
    },
    optim::AdamConfig,
    prelude::*,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stormfire::{cli::Cli, prelude::*};

// A small model spends half of its time in the system's allocator, which returns memory and requests it again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// Yours: a batch. These are inputs and targets, `[items, 1]` each.
type Batch = (Tensor<2>, Tensor<2>);

/// Loaders for training, validation and test.
type Data = (Loader<Batch>, Loader<Batch>, Loader<Batch>);

/// The options of the network. They are also in `hparams.yaml` and in checkpoints.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct NetConfig {
    /// The learning rate.
    #[schemars(range(min = 0))]
    lr: f64,
}

impl Default for NetConfig {
    fn default() -> Self {
        Self { lr: 0.1 }
    }
}

/// The options of the data.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct DataConfig {
    /// Number of items in a batch.
    #[schemars(range(min = 1))]
    batch_size: usize,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self { batch_size: 20 }
    }
}

// Yours: the layers.
#[derive(Module, Debug)]
struct Net {
    layer: Linear,
    #[module(skip)]
    config: NetConfig,
}

impl Net {
    fn new(config: NetConfig, device: &Device) -> Self {
        Self { layer: LinearConfig::new(1, 1).init(device), config }
    }

    // Yours: the loss.
    fn loss(&self, (x, y): Batch) -> Tensor<1> {
        MseLoss::new().forward(self.layer.forward(x), y, Reduction::Mean)
    }
}

impl LightningModule for Net {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        let loss = self.loss(batch);
        self.log("train_loss", &loss).prog_bar(true);
        Ok(loss.into())
    }

    fn validation_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("val_loss", self.loss(batch)).prog_bar(true);
        Ok(StepOutput::none())
    }

    fn test_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("test_loss", self.loss(batch));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), self.config.lr).into())
    }
}

// Yours: the items, and how a batch is made of them.
fn loader(items: Range<usize>, batch_size: usize) -> Loader<Batch> {
    let items: Vec<[f32; 2]> = items.map(|item| item as f32 / 100.0).map(|x| [x, 3.0 * x + 1.0]).collect();
    let collate = |items: Vec<[f32; 2]>, device: &Device| {
        let column = |at: usize| Tensor::<1>::from_floats(items.iter().map(|item| item[at]).collect::<Vec<_>>().as_slice(), device);
        (column(0).unsqueeze_dim(1), column(1).unsqueeze_dim(1))
    };
    Loader::collate(InMemDataset::new(items), collate).batch_size(batch_size)
}

fn data(config: &DataConfig) -> Data {
    // Yours: the items for each purpose.
    let [train, val, test] = [0..100, 100..120, 120..140].map(|items| loader(items, config.batch_size));
    (train.shuffle(true), val, test)
}

/// The program: its options are those of the two structs, and those of the Trainer.
fn program() -> Cli<Net, Data, NetConfig, DataConfig> {
    Cli::new(|config: NetConfig, device: &Device| Ok(Net::new(config, device)), |config: DataConfig| Ok(data(&config)))
        .about("Fits a line.")
        .version(env!("CARGO_PKG_VERSION"))
        .alias("epochs", "trainer.max_epochs")
        .alias("lr", "model.lr")
        .alias("root", "trainer.default_root_dir")
        .trainer_defaults(TrainerConfig { max_epochs: Some(20), seed: Some(42), log_every_n_steps: 5, ..TrainerConfig::default() })
        .trainer(|trainer| trainer.callback(ModelCheckpoint::new().monitor("val_loss")).callback(LearningRateMonitor::new()))
}

fn main() -> Result<Stop> {
    stormfire::console::Builder::new().file().init()?;
    program().run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_falls() {
        let root = std::env::temp_dir().join(format!("{}-{}", env!("CARGO_CRATE_NAME"), std::process::id()));
        let loss = |epochs: &str| {
            let found = std::rc::Rc::new(std::cell::Cell::new(f64::NAN));
            let noted = found.clone();
            let program = program().after_fit(move |_, fit, _| {
                noted.set(fit.metrics.get("val_loss").unwrap_or(f64::NAN));
                Ok(())
            });
            program.try_run(&["--epochs", epochs, "trainer.accelerator=cpu", "--root", root.to_str().unwrap()], &[]).unwrap();
            found.get()
        };
        assert!(loss("8") < 0.8 * loss("1"));
        std::fs::remove_dir_all(root).unwrap();
    }
}
