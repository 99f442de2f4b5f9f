//! Classifies rows of a table with missing values. Replace `rows` by a reader of your table.

use burn::{
    data::dataset::InMemDataset,
    nn::{Dropout, DropoutConfig, Linear, LinearConfig, Relu, loss::CrossEntropyLossConfig},
    optim::AdamWConfig,
    prelude::*,
};
use clap::Parser;
use stormfire::prelude::*;

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

#[derive(Module, Debug)]
struct Net {
    hidden: Linear,
    output: Linear,
    relu: Relu,
    dropout: Dropout,
    #[module(skip)]
    learning_rate: f64,
}

impl Net {
    fn new(learning_rate: f64, device: &Device) -> Self {
        // Each column has a second input, which is 1 if the value is missing.
        let hidden = LinearConfig::new(2 * COLUMNS, 32).init(device);
        let output = LinearConfig::new(32, 2).init(device);
        Self { hidden, output, relu: Relu::new(), dropout: DropoutConfig::new(0.1).init(), learning_rate }
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
        Ok(Optimizer::new(AdamWConfig::new(), self.learning_rate).into())
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

fn data(from: usize, to: usize) -> Loader<Batch> {
    let collate = |rows: Vec<Row>, device: &Device| {
        let inputs = |row: &Row| row.columns.map(|value| if value.is_nan() { [0.0, 1.0] } else { [value - 0.5, 0.0] }).concat();
        let flat: Vec<f32> = rows.iter().flat_map(inputs).collect();
        let classes: Vec<i32> = rows.iter().map(|row| row.class).collect();
        let x = Tensor::<1>::from_floats(flat.as_slice(), device).reshape([rows.len(), 2 * COLUMNS]);
        (x, Tensor::<1, Int>::from_ints(classes.as_slice(), device))
    };
    Loader::collate(InMemDataset::new(rows(from, to)), collate).batch_size(50)
}

/// Trains a classifier of rows.
#[derive(Parser)]
struct Args {
    /// Number of epochs.
    #[arg(long, default_value_t = 15)]
    epochs: usize,
    /// The learning rate.
    #[arg(long, default_value_t = 0.01)]
    lr: f64,
    /// The device: auto, cpu, cuda, wgpu, …
    #[arg(long, default_value = "auto")]
    accelerator: Accelerator,
    /// Resume from a checkpoint: a file, `last` or `best`.
    #[arg(long)]
    ckpt_path: Option<String>,
    /// The folder for logs and checkpoints.
    #[arg(long, default_value = ".")]
    root: std::path::PathBuf,
}

fn train(args: Args) -> Result<Fit<Net>> {
    let device = args.accelerator.device()?;
    let net = Net::new(args.lr, &device);
    let mut trainer = Trainer::new()
        .accelerator(device)
        .max_epochs(args.epochs)
        .seed(42)
        .log_every_n_steps(5)
        .default_root_dir(args.root)
        .callback(ModelCheckpoint::new().monitor("val_loss"))
        .callback(LearningRateMonitor::new());
    if let Some(path) = args.ckpt_path {
        trainer = trainer.ckpt_path(path);
    }
    trainer.fit(net, (data(0, 1000).shuffle(true), data(1000, 1200)))
}

fn main() -> Result<Stop> {
    stormfire::console::Builder::new().file().init()?;
    Ok(train(Args::parse())?.stop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_falls() {
        let root = std::env::temp_dir().join(format!("{}-{}", env!("CARGO_CRATE_NAME"), std::process::id()));
        let loss = |epochs: &str| {
            let args = ["", "--epochs", epochs, "--accelerator", "cpu", "--root"].map(Into::into);
            let args = Args::parse_from(args.into_iter().chain([root.clone().into_os_string()]));
            train(args).unwrap().metrics.get("val_loss").unwrap()
        };
        assert!(loss("8") < 0.8 * loss("1"));
        std::fs::remove_dir_all(root).unwrap();
    }
}
