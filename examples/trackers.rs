//! Logs one training to several trackers at once, with every kind of value:
//! `cargo run --release --example trackers --features trackers`.
//!
//! It trains a linear layer on the digits of `data/mnist-mini`. After each epoch it logs a confusion matrix, curves of
//! precision and recall, and a batch of validation digits: an image, a sound, and more. A tracker skips values that it
//! cannot store, and reports this once.
//!
//! * TensorBoard and CSV files are always written, with the lines of the screen in `training.log` next to them.
//! * Weights & Biases, Comet and Neptune are written offline, each in its own format. `wandb sync` and `comet upload`
//!   send them.
//! * `--trackers.mlflow URI` also logs to MLflow, `--trackers.trackio URL` to trackio.

use burn::{
    nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig},
    optim::AdamConfig,
    prelude::*,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stormfire::{
    cli::Cli,
    loggers::{
        Artifact, CometLogger, DEFAULT_NAME, Graph, Image, LogModel, Metrics, MlflowLogger, NeptuneLogger, Node, RunDir, Text,
        TrackioLogger, WandbLogger,
    },
    metrics::classification::Multiclass,
    module::{RunningStage, media::Layout},
    prelude::*,
};
use stormfire_examples::{MnistBatch, MnistConfig, MnistData};

#[derive(Module, Debug)]
struct Digits {
    output: Linear,
}

impl Digits {
    fn new(device: &Device) -> Self {
        Self { output: LinearConfig::new(28 * 28, 10).init(device) }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.output.forward(images.flatten(1, 3))
    }
}

impl LightningModule for Digits {
    type Batch = MnistBatch;

    fn training_step(&self, batch: MnistBatch, _batch_idx: usize) -> Result<StepOutput> {
        let logits = self.forward(batch.images);
        let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, batch.targets);
        self.log("train_loss", &loss).prog_bar(true);
        Ok(loss.into())
    }

    fn validation_step(&self, batch: MnistBatch, _batch_idx: usize) -> Result<StepOutput> {
        let logits = self.forward(batch.images);
        self.log("val_acc", accuracy(&logits, &batch.targets)).prog_bar(true);
        // Loggers get these as figures and tables, and TensorBoard the curve of each digit.
        let scores = Multiclass::from_logits(&logits, &batch.targets)?;
        self.log("val_confusion", scores.confusion());
        self.log("val_precision", scores.curves(100)?.precision_recall());
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), 2e-3).into())
    }

    fn hparams(&self) -> Result<Value> {
        state::save(&serde_json::json!({ "optimizer": { "name": "Adam", "learning_rate": 2e-3 }, "classes": 10 }))
    }

    fn on_fit_start(&mut self, _ctx: &mut Context<'_>) -> Result<()> {
        self.loggers().log_text("about", Text::new("A *linear* layer on `data/mnist-mini`."), None);
        self.loggers().log_graph(Graph::new([
            Node::new("images", "Input").attribute("shape", "[batch, 1, 28, 28]"),
            Node::new("digits/output", "Linear").input("images").attribute("weight", "[784, 10]"),
        ]));
        Ok(())
    }

    /// Logs the first batch of each validation, under the current step. This waits for the device.
    fn on_validation_batch_start(&mut self, ctx: &mut Context<'_>, batch: &MnistBatch, batch_idx: usize, _: usize) -> Result<()> {
        if batch_idx > 0 || ctx.running() != RunningStage::Validate {
            return Ok(());
        }
        let (loggers, digits) = (self.loggers(), media::images(batch.grey().narrow(0, 0, 16), Layout::ChannelsFirst)?);
        loggers.log_image("digits", Image::grid(&digits, 8, 2, 0)?, None);
        loggers.log_histogram("output.weight", media::histogram(self.output.weight.val())?, None);
        // The first digit as a sound: its pixels line by line, ten times.
        let sound = media::audio(batch.grey().narrow(0, 0, 1).reshape([1, 28 * 28]).repeat_dim(1, 10), 8000)?;
        loggers.log_audio("first digit", sound, None);
        let recalls = Multiclass::from_logits(&self.forward(batch.images.clone()), &batch.targets)?.counts().recall().per_class().read()?.0;
        loggers.log_scalars("recognised", recalls.into_iter().collect::<Metrics>(), None);
        // A call that only one of the trackers has.
        if let Some(tensorboard) = loggers.experiment::<TensorBoardLogger>() {
            let step = loggers.step();
            tensorboard.with(move |tensorboard| tensorboard.log_images("each digit", &digits, step))?;
        }
        Ok(())
    }

    fn on_fit_end(&mut self, ctx: &mut Context<'_>) -> Result<()> {
        let file = ctx.log_dir().join("report.md");
        fs_err::write(&file, format!("# Digits\n\n{} steps.\n", ctx.global_step())).map_err(Error::other)?;
        self.loggers().log_artifact(Artifact::new(file).kind("report").alias("final").metadata("steps", ctx.global_step()));
        Ok(())
    }
}

/// The options of the trackers.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct TrackersConfig {
    /// The tracking URI of MLflow.
    mlflow: Option<String>,
    /// The URL of a trackio server.
    trackio: Option<String>,
}

impl TrackersConfig {
    fn add(self, trainer: Trainer<Digits>) -> Trainer<Digits> {
        let root = trainer.config().default_root_dir.clone();
        // Both write to the same `version_N`, like the default loggers.
        let folder = RunDir::new(&root).with_name(DEFAULT_NAME);
        let trainer = trainer
            .logger(TensorBoardLogger::in_dir(folder.clone()))
            .logger(CsvLogger::in_dir(folder))
            .logger(WandbLogger::new().offline(true).save_dir(&root).project("trackers").log_model(LogModel::AtEnd))
            .logger(CometLogger::new().offline(true).save_dir(root.join("comet")).project("trackers").log_model(LogModel::AtEnd))
            .logger(NeptuneLogger::new(&root).run_name("trackers").log_model(LogModel::AtEnd));
        let mlflow = MlflowLogger::new().experiment("trackers").save_dir(&root).log_model(LogModel::AtEnd);
        let trainer = self.mlflow.map(|uri| mlflow.tracking_uri(uri)).into_iter().fold(trainer, Trainer::logger);
        let trackio = TrackioLogger::new().project("trackers").save_dir(&root);
        self.trackio.map(|url| trackio.server_url(url)).into_iter().fold(trainer, Trainer::logger)
    }
}

fn main() -> Result<Stop> {
    stormfire::console::Builder::new().file().init()?;
    Cli::new(|(): (), device: &Device| Ok(Digits::new(device)), |data: MnistConfig| Ok(MnistData::new(data)))
        .about("Logs one training to several trackers at once.")
        .alias("epochs", "trainer.max_epochs")
        .trainer_defaults(TrainerConfig { max_epochs: Some(3), seed: Some(42), log_every_n_steps: 10, ..TrainerConfig::default() })
        .section("trackers", |trackers: TrackersConfig, trainer| Ok(trackers.add(trainer)))
        .run()
}
