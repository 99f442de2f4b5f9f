//! Classifies the rows of a table with missing values: made-up customers, of whom some have returned. `// Yours:` marks
//! what to change for your own table.
//!
//! `cargo run --release` trains, and `cargo run --release -- test --ckpt-path best` tests the best checkpoint.

use std::path::PathBuf;

use burn::{
    nn::{Dropout, DropoutConfig, Linear, LinearConfig, Relu, loss::CrossEntropyLossConfig},
    optim::AdamWConfig,
    prelude::*,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stormfire::{
    cli::Cli,
    data::{Shards, Subset, random_split},
    prelude::*,
};

// A small model spends half of its time in the system's allocator, which returns memory and requests it again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// Yours: the columns of the table, by their names in the header. An empty field is `None`. Other columns are ignored.
#[derive(Clone, Debug, Deserialize)]
struct Row {
    age: Option<f32>,
    income: Option<f32>,
    /// Visits in the last year.
    visits: Option<f32>,
    /// Months since the last visit.
    months: Option<f32>,
    /// Whether the customer has returned.
    returned: i32,
}

// Yours: the number of columns that the network gets, and of classes.
const COLUMNS: usize = 4;
const CLASSES: usize = 2;

impl Row {
    /// Numbers of similar size, from which a network learns best. Each column has a second one: 1 if its value is
    /// missing.
    fn inputs(&self) -> [[f32; 2]; COLUMNS] {
        // Yours: each column, its usual value, and a usual distance from it.
        let columns = [(self.age, 45.0, 15.0), (self.income, 40_000.0, 15_000.0), (self.visits, 6.0, 5.0), (self.months, 15.0, 9.0)];
        columns.map(|(value, usual, distance)| value.map_or([0.0, 1.0], |value| [(value - usual) / distance, 0.0]))
    }

    /// The class, from 0 on.
    fn class(&self) -> i32 {
        // Yours: the column that is predicted.
        self.returned
    }
}

/// Inputs as `[rows, 2 * COLUMNS]`, and classes.
type Batch = (Tensor<2>, Tensor<1, Int>);

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
    /// The share of units that dropout leaves out.
    #[schemars(range(min = 0, max = 1))]
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
    /// The table, a CSV file with a header.
    file: PathBuf,
    /// Number of rows in a batch.
    #[schemars(range(min = 1))]
    batch_size: usize,
}

impl Default for DataConfig {
    fn default() -> Self {
        // Yours: the table.
        Self { file: "customers.csv".into(), batch_size: 50 }
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
        let hidden = LinearConfig::new(2 * COLUMNS, config.hidden).init(device);
        let output = LinearConfig::new(config.hidden, CLASSES).init(device);
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

    fn test_step(&self, (x, classes): Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("test_acc", accuracy(&self.forward(x), &classes));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamWConfig::new(), self.config.lr).into())
    }
}

fn loader(rows: Subset<Row>, batch_size: usize) -> Loader<Batch> {
    let collate = |rows: Vec<Row>, device: &Device| {
        let inputs: Vec<f32> = rows.iter().flat_map(Row::inputs).flatten().collect();
        let classes: Vec<i32> = rows.iter().map(Row::class).collect();
        let x = Tensor::<1>::from_floats(inputs.as_slice(), device).reshape([rows.len(), 2 * COLUMNS]);
        (x, Tensor::<1, Int>::from_ints(classes.as_slice(), device))
    };
    Loader::collate(rows, collate).batch_size(batch_size)
}

fn data(config: &DataConfig) -> Result<Data> {
    let table = Shards::<Row>::csv([&config.file]).read()?;
    let [train, val, test] = random_split(table, [0.7, 0.15, 0.15], 1)?.map(|rows| loader(rows, config.batch_size));
    Ok((train.shuffle(true), val, test))
}

/// The program: its options are those of the two structs, and those of the Trainer.
fn program() -> Cli<Net, Data, NetConfig, DataConfig> {
    Cli::new(|config: NetConfig, device: &Device| Ok(Net::new(config, device)), |config: DataConfig| data(&config))
        .about("Trains a classifier of the rows of a table.")
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
        std::fs::create_dir_all(&root).unwrap();
        // Yours: a table that is easy to learn. Here some ages are missing.
        let age = |row: usize| if row.is_multiple_of(7) { String::new() } else { (20 + row % 50).to_string() };
        let row = |row: usize| format!("{},{},{},{},{}\n", age(row), 30_000 + 50 * row, row % 12, row % 30, u8::from(row % 12 > 5));
        let (file, rows) = (root.join("table.csv"), (0..400).map(row).collect::<String>());
        std::fs::write(&file, format!("age,income,visits,months,returned\n{rows}")).unwrap();
        let loss = |epochs: &str| {
            let found = std::rc::Rc::new(std::cell::Cell::new(f64::NAN));
            let noted = found.clone();
            let program = program().after_fit(move |_, fit, _| {
                noted.set(fit.metrics.get("val_loss").unwrap_or(f64::NAN));
                Ok(())
            });
            let line =
                ["--epochs", epochs, "trainer.accelerator=cpu", "--root", root.to_str().unwrap(), "--data.file", file.to_str().unwrap()];
            program.try_run(&line, &[]).unwrap();
            found.get()
        };
        assert!(loss("8") < 0.8 * loss("1"));
        std::fs::remove_dir_all(root).unwrap();
    }
}
