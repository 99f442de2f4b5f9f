//! Classifies rows of a table with missing values. The rows are generated. Replace `rows` by a reader of your table,
//! such as `stormfire::data::Shards::<Row>::csv(["table.csv"]).read()`.

use burn::{
    data::dataset::InMemDataset,
    nn::{Dropout, DropoutConfig, Linear, LinearConfig, Relu, loss::CrossEntropyLossConfig},
    optim::AdamWConfig,
    prelude::*,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stormfire::{cli::Cli, prelude::*};

// A small model spends half of its time in the system's allocator, which returns memory and requests it again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The columns of a row. A missing value is NaN.
const COLUMNS: usize = 4;

#[derive(Clone, Debug)]
struct Row {
    columns: [f32; COLUMNS],
    class: i32,
}

/// Columns and classes.
type Batch = (Tensor<2>, Tensor<1, Int>);

/// The options of the network. They are also in checkpoints.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct NetConfig {
    /// The learning rate.
    lr: f64,
    /// Units of the hidden layer.
    #[schemars(range(min = 1))]
    hidden: usize,
    /// The share of units that dropout leaves out.
    dropout: f64,
}

impl Default for NetConfig {
    fn default() -> Self {
        Self { lr: 0.01, hidden: 32, dropout: 0.1 }
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
        Self { batch_size: 50 }
    }
}

#[derive(Module, Debug)]
struct Net {
    hidden: Linear,
    output: Linear,
    relu: Relu,
    dropout: Dropout,
    #[module(skip)]
    config: NetConfig,
}

impl Net {
    fn new(config: NetConfig, device: &Device) -> Self {
        // Each column has a second input, which is 1 if the value is missing.
        let hidden = LinearConfig::new(2 * COLUMNS, config.hidden).init(device);
        let output = LinearConfig::new(config.hidden, 2).init(device);
        Self { hidden, output, relu: Relu::new(), dropout: DropoutConfig::new(config.dropout).init(), config }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.output.forward(self.dropout.forward(self.relu.forward(self.hidden.forward(x))))
    }
}

impl LightningModule for Net {
    type Batch = Batch;

    fn training_step(&self, (x, classes): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let logits = self.forward(x);
        let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, classes);
        self.log("train_loss", &loss).prog_bar(true);
        Ok(loss.into())
    }

    fn validation_step(&self, (x, classes): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let logits = self.forward(x);
        self.log("val_acc", accuracy(&logits, &classes)).prog_bar(true);
        self.log("val_loss", CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, classes));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamWConfig::new(), self.config.lr).into())
    }
}

/// Made-up customers: age, income, visits, and months since the last visit. The class says whether they come back.
fn rows(from: usize, to: usize) -> Vec<Row> {
    let row = |row: usize| {
        let mut columns: [f32; COLUMNS] = std::array::from_fn(|column| noise(row * 10 + column));
        let class = i32::from(columns[2] + 0.3 * columns[1] > columns[3] + 0.2 * noise(row * 10 + 7));
        if noise(row * 10 + 8) < 0.2 {
            columns[row % COLUMNS] = f32::NAN;
        }
        Row { columns, class }
    };
    (from..to).map(row).collect()
}

/// Pseudo-random numbers in 0..1.
fn noise(seed: usize) -> f32 {
    let mixed = (seed as u32).wrapping_add(1).wrapping_mul(2_654_435_761);
    let mixed = (mixed ^ mixed >> 15).wrapping_mul(2_246_822_519);
    (mixed ^ mixed >> 13) as f32 / u32::MAX as f32
}

fn data(from: usize, to: usize, batch_size: usize) -> Loader<Batch> {
    let collate = |rows: Vec<Row>, device: &Device| {
        let inputs = |row: &Row| row.columns.map(|value| if value.is_nan() { [0.0, 1.0] } else { [value - 0.5, 0.0] }).concat();
        let flat: Vec<f32> = rows.iter().flat_map(inputs).collect();
        let classes: Vec<i32> = rows.iter().map(|row| row.class).collect();
        let x = Tensor::<1>::from_floats(flat.as_slice(), device).reshape([rows.len(), 2 * COLUMNS]);
        (x, Tensor::<1, Int>::from_ints(classes.as_slice(), device))
    };
    Loader::collate(InMemDataset::new(rows(from, to)), collate).batch_size(batch_size)
}

/// The program: its options are those of the two structs, and those of the Trainer.
fn program() -> Cli<Net, (Loader<Batch>, Loader<Batch>), NetConfig, DataConfig> {
    Cli::new(
        |config: NetConfig, device: &Device| Ok(Net::new(config, device)),
        |config: DataConfig| Ok((data(0, 1000, config.batch_size).shuffle(true), data(1000, 1200, config.batch_size))),
    )
    .about("Trains a classifier of rows.")
    .version(env!("CARGO_PKG_VERSION"))
    .alias("epochs", "trainer.max_epochs")
    .alias("lr", "model.lr")
    .alias("root", "trainer.default_root_dir")
    .trainer_defaults(TrainerConfig { max_epochs: Some(15), seed: Some(42), log_every_n_steps: 5, ..TrainerConfig::default() })
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
