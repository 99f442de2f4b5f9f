//! A custom logger next to a built-in one: `cargo run --release --example custom_logger`.
//!
//! It writes each call as a line of JSON. The task is to fit a line, which takes a moment.

use std::{
    io::{BufWriter, Write as _},
    path::PathBuf,
};

use burn::{
    nn::{
        Linear, LinearConfig,
        loss::{MseLoss, Reduction},
    },
    optim::SgdConfig,
    prelude::*,
    tensor::Distribution,
};
use clap::Parser;
use fs_err::File;
use serde_json::json;
use stormfire::{
    loggers::{Hyperparams, Metrics, Result as LogResult, Status},
    prelude::*,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct JsonLines {
    path: PathBuf,
    file: BufWriter<File>,
}

impl JsonLines {
    fn create(path: PathBuf) -> std::io::Result<Self> {
        Ok(Self { file: BufWriter::new(File::create(path.clone())?), path })
    }

    fn line(&mut self, line: &Value) -> LogResult<()> {
        Ok(writeln!(self.file, "{line}")?)
    }
}

impl Logger for JsonLines {
    fn name(&self) -> &'static str {
        "json-lines"
    }

    fn version(&self) -> String {
        self.path.display().to_string()
    }

    fn log_metrics(&mut self, metrics: &Metrics, step: Option<u64>) -> LogResult<()> {
        let metrics: std::collections::BTreeMap<_, _> = metrics.iter().collect();
        self.line(&json!({ "step": step, "metrics": metrics }))
    }

    fn log_hyperparams(&mut self, params: &Hyperparams, _initial_metrics: &Metrics) -> LogResult<()> {
        self.line(&json!({ "hparams": params }))
    }

    // The Trainer calls the logger on a separate thread, and this method whenever the logger is idle.
    fn save(&mut self) -> LogResult<()> {
        Ok(self.file.flush()?)
    }

    fn finalize(&mut self, status: Status) -> LogResult<()> {
        self.line(&json!({ "status": format!("{status:?}") }))?;
        self.save()
    }
}

#[derive(Module, Debug)]
struct Line {
    layer: Linear,
    #[module(skip)]
    learning_rate: f64,
}

impl Line {
    fn loss(&self, (x, y): (Tensor<2>, Tensor<2>)) -> Tensor<1> {
        MseLoss::new().forward(self.layer.forward(x), y, Reduction::Mean)
    }
}

impl LightningModule for Line {
    type Batch = (Tensor<2>, Tensor<2>);

    fn training_step(&self, batch: Self::Batch, _batch_idx: usize) -> Result<StepOutput> {
        let loss = self.loss(batch);
        self.log("train_loss", &loss);
        Ok(loss.into())
    }

    fn validation_step(&self, batch: Self::Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("val_loss", self.loss(batch)).prog_bar(true);
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), self.learning_rate).into())
    }

    fn hparams(&self) -> Result<Value> {
        Ok(json!({ "learning_rate": self.learning_rate }))
    }
}

/// Fits a line, and logs to a file of JSON lines and to a table.
#[derive(Parser)]
struct Args {
    /// Maximum number of optimizer steps.
    #[arg(long, default_value_t = 300)]
    max_steps: u64,
    /// The learning rate of gradient descent.
    #[arg(long, default_value_t = 0.1)]
    lr: f64,
    /// The folder for `metrics.jsonl` and `lightning_logs`.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// Hide the progress bar.
    #[arg(long)]
    no_progress_bar: bool,
}

fn main() -> Result<Stop> {
    stormfire::console::init();
    let args = Args::parse();
    let path = args.root.join("metrics.jsonl");
    fs_err::create_dir_all(&args.root)?;
    let mut trainer = Trainer::new()
        .max_steps(args.max_steps)
        .log_every_n_steps(20)
        .default_root_dir(&args.root)
        .enable_progress_bar(!args.no_progress_bar)
        .logger(JsonLines::create(path.clone())?)
        .logger(CsvLogger::new(&args.root));

    let device = Device::flex();
    let x = Tensor::<2>::random([6400, 1], Distribution::Uniform(-1.0, 1.0), &device);
    let y = x.clone() * 3.0 + 1.0 + x.random_like(Distribution::Normal(0.0, 0.1));
    let mut batches: Vec<_> = x.split(64, 0).into_iter().zip(y.split(64, 0)).collect();
    let val = Loader::from_batches(batches.split_off(90)).items_per_batch(64);
    let line = Line { layer: LinearConfig::new(1, 1).init(&device), learning_rate: args.lr };
    let fit = trainer.fit(line, (Loader::from_batches(batches), val))?;

    print!("{}", fs_err::read_to_string(path)?);
    Ok(fit.stop)
}
