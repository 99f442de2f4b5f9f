//! A custom logger next to a built-in one: `cargo run --release --example custom_logger`.
//!
//! It writes each call as a line of JSON. The task is to fit a line, which takes a moment.

use std::{io::Write as _, path::PathBuf};

use burn::{
    nn::{Linear, LinearConfig},
    optim::SgdConfig,
    prelude::*,
    tensor::Distribution,
};
use fs_err::OpenOptions;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use stormfire::{
    cli::Cli,
    loggers::{Hyperparams, Metrics, Result as LogResult, Status},
    prelude::*,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct JsonLines(PathBuf);

impl JsonLines {
    /// The file exists from the first line on: `--print-config` makes a logger, too.
    fn line(&mut self, line: &Value) -> LogResult<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.0)?;
        Ok(writeln!(file, "{line}")?)
    }
}

impl Logger for JsonLines {
    fn name(&self) -> &'static str {
        "json-lines"
    }

    fn version(&self) -> String {
        "0".into()
    }

    fn log_metrics(&mut self, metrics: &Metrics, step: Option<u64>) -> LogResult<()> {
        let metrics: std::collections::BTreeMap<_, _> = metrics.iter().collect();
        self.line(&json!({ "step": step, "metrics": metrics }))
    }

    fn log_hyperparams(&mut self, params: &Hyperparams, _initial_metrics: &Metrics) -> LogResult<()> {
        self.line(&json!({ "hparams": params }))
    }

    // The Trainer calls these methods on a separate thread. A logger with a buffer writes it in `save`, which is called
    // whenever the logger is idle.
    fn finalize(&mut self, status: Status) -> LogResult<()> {
        self.line(&json!({ "status": format!("{status:?}") }))
    }
}

/// The options of the module.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct LineConfig {
    /// The learning rate of gradient descent.
    lr: f64,
}

impl Default for LineConfig {
    fn default() -> Self {
        Self { lr: 0.1 }
    }
}

/// The options of the logger.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct LinesConfig {
    /// The file of JSON lines. Default: `metrics.jsonl` next to the folder of the logs.
    file: Option<PathBuf>,
}

type Points = (Tensor<2>, Tensor<2>);

#[derive(Module, Debug)]
struct Line {
    layer: Linear,
    #[module(skip)]
    config: LineConfig,
}

impl Line {
    fn loss(&self, (x, y): Points) -> Tensor<1> {
        (self.layer.forward(x) - y).square().mean()
    }
}

impl LightningModule for Line {
    type Batch = Points;

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
        Ok(Optimizer::new(SgdConfig::new(), self.config.lr).into())
    }

    fn hparams(&self) -> Result<Value> {
        state::save(&self.config)
    }
}

/// A noisy line, in batches: for training and for validation.
fn points(device: &Device) -> (Loader<Points>, Loader<Points>) {
    let x = Tensor::<2>::random([6400, 1], Distribution::Uniform(-1.0, 1.0), device);
    let y = x.clone() * 3.0 + 1.0 + x.random_like(Distribution::Normal(0.0, 0.1));
    let mut batches: Vec<_> = x.split(64, 0).into_iter().zip(y.split(64, 0)).collect();
    let val = Loader::from_batches(batches.split_off(90)).items_per_batch(64);
    (Loader::from_batches(batches), val)
}

fn main() -> Result<Stop> {
    let line = |config, device: &Device| Line { layer: LinearConfig::new(1, 1).init(device), config };
    Cli::linked(move |config, _, device: &Device| Ok(line(config, device)), |(): (), device: &Device| Ok(points(device)))
        .about("Fits a line, and logs to a file of JSON lines and to a table.")
        .alias("lr", "model.lr")
        .trainer_defaults(TrainerConfig { max_steps: Some(300), log_every_n_steps: 20, ..TrainerConfig::default() })
        .section("lines", |lines: LinesConfig, trainer| {
            let root = trainer.config().default_root_dir.clone();
            let file = lines.file.unwrap_or_else(|| root.join("metrics.jsonl"));
            Ok(trainer.logger(JsonLines(file)).logger(CsvLogger::new(root)))
        })
        .run()
}
