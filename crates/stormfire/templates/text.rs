//! Predicts the next character of a text. `// Yours:` marks what to change for your own text.
//!
//! `cargo run --release` trains, and `cargo run --release -- test --ckpt-path best` tests the best checkpoint.

use burn::{
    data::dataset::InMemDataset,
    nn::{Embedding, EmbeddingConfig, Linear, LinearConfig, Relu, loss::CrossEntropyLossConfig},
    optim::AdamConfig,
    prelude::*,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stormfire::{cli::Cli, prelude::*};

// A small model spends half of its time in the system's allocator, which returns memory and requests it again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// Yours: the text, such as `include_str!("../text.txt")`.
const TEXT: &str = "\
    the storm came in the night and the fire went out. the fire came back in the morning and the storm went out to sea. \
    in the morning the sea was calm, and in the night the fire was warm. the calm came before the storm, and the fire \
    came after the night. out at sea the storm was loud, and at the fire the night was long and calm and warm.";

// Yours: the number of characters from which the next one is predicted.
const CONTEXT: usize = 6;
/// A character is a byte here.
const BYTES: usize = 256;
/// Size of the vector of a character.
const WIDTH: usize = 16;

/// Characters as `[windows, CONTEXT]`, and the next ones.
type Batch = (Tensor<2, Int>, Tensor<1, Int>);

/// Loaders for training, validation and test.
type Data = (Loader<Batch>, Loader<Batch>, Loader<Batch>);

/// The options of the network. They are also in `hparams.yaml` and in checkpoints.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct NetConfig {
    /// The learning rate.
    #[schemars(range(min = 0))]
    lr: f64,
    /// Units of the hidden layer.
    #[schemars(range(min = 1))]
    hidden: usize,
}

impl Default for NetConfig {
    fn default() -> Self {
        Self { lr: 0.003, hidden: 64 }
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
        Self { batch_size: 32 }
    }
}

#[derive(Module, Debug)]
struct Net {
    embedding: Embedding,
    hidden: Linear,
    output: Linear,
    relu: Relu,
    #[module(skip)]
    config: NetConfig,
}

impl Net {
    fn new(config: NetConfig, device: &Device) -> Self {
        let embedding = EmbeddingConfig::new(BYTES, WIDTH).init(device);
        let hidden = LinearConfig::new(CONTEXT * WIDTH, config.hidden).init(device);
        let output = LinearConfig::new(config.hidden, BYTES).init(device);
        Self { embedding, hidden, output, relu: Relu::new(), config }
    }

    fn forward(&self, context: Tensor<2, Int>) -> Tensor<2> {
        let vectors: Tensor<2> = self.embedding.forward(context).flatten(1, 2);
        self.output.forward(self.relu.forward(self.hidden.forward(vectors)))
    }
}

impl LightningModule for Net {
    type Batch = Batch;

    fn training_step(&self, (context, next): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let logits = self.forward(context);
        let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, next);
        self.log("train_loss", &loss).prog_bar(true);
        Ok(loss.into())
    }

    fn validation_step(&self, (context, next): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let logits = self.forward(context);
        self.log("val_acc", accuracy(&logits, &next)).prog_bar(true);
        self.log("val_loss", CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, next));
        Ok(StepOutput::none())
    }

    fn test_step(&self, (context, next): Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("test_acc", accuracy(&self.forward(context), &next));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), self.config.lr).into())
    }
}

/// The windows of a part of the text.
fn loader(text: &[u8], batch_size: usize) -> Loader<Batch> {
    let items: Vec<[i32; CONTEXT + 1]> = text.windows(CONTEXT + 1).map(|window| std::array::from_fn(|at| i32::from(window[at]))).collect();
    let collate = |items: Vec<[i32; CONTEXT + 1]>, device: &Device| {
        let context: Vec<i32> = items.iter().flat_map(|item| item[..CONTEXT].to_vec()).collect();
        let next: Vec<i32> = items.iter().map(|item| item[CONTEXT]).collect();
        let context = Tensor::<1, Int>::from_ints(context.as_slice(), device).reshape([items.len(), CONTEXT]);
        (context, Tensor::<1, Int>::from_ints(next.as_slice(), device))
    };
    Loader::collate(InMemDataset::new(items), collate).batch_size(batch_size)
}

fn data(config: &DataConfig) -> Data {
    let (train, rest) = TEXT.as_bytes().split_at(TEXT.len() * 8 / 10);
    let (val, test) = rest.split_at(rest.len() / 2);
    let [train, val, test] = [train, val, test].map(|text| loader(text, config.batch_size));
    (train.shuffle(true), val, test)
}

/// The program: its options are those of the two structs, and those of the Trainer.
fn program() -> Cli<Net, Data, NetConfig, DataConfig> {
    Cli::new(|config: NetConfig, device: &Device| Ok(Net::new(config, device)), |config: DataConfig| Ok(data(&config)))
        .about("Trains a model of characters.")
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
