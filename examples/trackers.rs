//! Logs one training to several trackers at once, with every kind of value:
//! `cargo run --release --example trackers --features trackers`.
//!
//! It trains a small network on the digits of `data/mnist-mini`. After each epoch it logs a batch of validation digits:
//! a picture, a table and a drawing of the recognised digits, and more.
//!
//! * TensorBoard and CSV files are always written, with the lines of the screen in `training.log` next to them.
//! * Weights & Biases, Comet and Neptune are written offline, each in its own format. `wandb sync` and `comet upload`
//!   send them.
//! * `--trackers.mlflow URI` or the variable `MLFLOW_TRACKING_URI` also logs to MLflow.
//! * `--trackers.trackio URL` or `TRACKIO_SERVER_URL` also logs to trackio.
//!
//! A tracker skips values that it cannot store, and reports this once.

use burn::{
    nn::{
        Linear, LinearConfig, Relu,
        loss::{CrossEntropyLoss, CrossEntropyLossConfig},
    },
    optim::AdamConfig,
    prelude::*,
    tensor::activation::softmax,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stormfire::{
    cli::Cli,
    loggers::{
        Artifact, Audio, CometLogger, DEFAULT_NAME, Figure, Graph, Histogram, Image, LogModel, Loggers, MlflowLogger, NeptuneLogger, Node,
        RunDir, Table, Text, TrackioLogger, WandbLogger, plotters::prelude::*,
    },
    module::RunningStage,
    prelude::*,
};
use stormfire_examples::{MnistBatch, MnistConfig, MnistData};

const SIDE: usize = 28;

#[derive(Module, Debug)]
struct Digits {
    hidden: Linear,
    relu: Relu,
    output: Linear,
    cross_entropy: CrossEntropyLoss,
}

impl Digits {
    fn new(device: &Device) -> Self {
        Self {
            hidden: LinearConfig::new(SIDE * SIDE, 64).init(device),
            relu: Relu::new(),
            output: LinearConfig::new(64, 10).init(device),
            cross_entropy: CrossEntropyLossConfig::new().init(device),
        }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.output.forward(self.relu.forward(self.hidden.forward(images.flatten(1, 3))))
    }
}

impl LightningModule for Digits {
    type Batch = MnistBatch;

    fn training_step(&self, batch: MnistBatch, _batch_idx: usize) -> Result<StepOutput> {
        let loss = self.cross_entropy.forward(self.forward(batch.images), batch.targets);
        self.log("train_loss", &loss).prog_bar(true);
        Ok(loss.into())
    }

    fn validation_step(&self, batch: MnistBatch, _batch_idx: usize) -> Result<StepOutput> {
        let logits = self.forward(batch.images);
        self.log("val_acc", accuracy(&logits, &batch.targets)).prog_bar(true);
        self.log("val_loss", self.cross_entropy.forward(logits, batch.targets));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), 2e-3).into())
    }

    fn hparams(&self) -> Result<Value> {
        state::save(&serde_json::json!({ "learning_rate": 2e-3, "hidden": { "width": 64, "activation": "relu" } }))
    }

    fn on_fit_start(&mut self, _ctx: &mut Context<'_>) -> Result<()> {
        self.loggers().log_text("about", Text::new("Two *linear* layers on `data/mnist-mini`."), None);
        self.loggers().log_graph(Graph::new([
            Node::new("images", "Input").attribute("shape", "[batch, 1, 28, 28]"),
            Node::new("digits/hidden", "Linear").input("images").attribute("weight", "[784, 64]"),
            Node::new("digits/relu", "Relu").input("digits/hidden"),
            Node::new("digits/output", "Linear").input("digits/relu").attribute("weight", "[64, 10]"),
        ]));
        Ok(())
    }

    /// Logs the first batch of each validation. This reads it from the device once per epoch.
    fn on_validation_batch_start(&mut self, ctx: &mut Context<'_>, batch: &MnistBatch, batch_idx: usize, _: usize) -> Result<()> {
        if batch_idx == 0 && ctx.running() == RunningStage::Validate {
            Shown::read(self, batch)?.log(&self.loggers())?;
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

/// A batch of digits and the output of the network.
struct Shown {
    /// Grey values around 0, digit by digit.
    pixels: Vec<f32>,
    /// Ten values for each digit.
    probabilities: Vec<f32>,
    targets: Vec<usize>,
    weights: Vec<f32>,
}

impl Shown {
    fn read(module: &Digits, batch: &MnistBatch) -> Result<Self> {
        let floats = |data: TensorData| data.try_to_vec::<f32>().map_err(|error| Error::other(error.to_string()));
        Ok(Self {
            pixels: floats(batch.images.clone().into_data())?,
            probabilities: floats(softmax(module.forward(batch.images.clone()), 1).into_data())?,
            targets: floats(batch.targets.clone().float().into_data())?.into_iter().map(|target| target as usize).collect(),
            weights: floats(module.hidden.weight.val().into_data())?,
        })
    }

    /// For each digit: (number recognised, number in total).
    fn by_digit(&self) -> [(usize, usize); 10] {
        let mut counts = [(0, 0); 10];
        for (target, probabilities) in self.targets.iter().zip(self.probabilities.chunks(10)) {
            let guess = (0..10).max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
            counts[*target].0 += usize::from(guess == Some(*target));
            counts[*target].1 += 1;
        }
        counts
    }

    /// Sends every kind of value to all trackers, under the current step.
    fn log(&self, loggers: &Loggers) -> Result<()> {
        let counts = self.by_digit();
        let digits: Vec<Image> = self.pixels.chunks(SIDE * SIDE).map(image).collect::<Result<_>>()?;
        loggers.log_image("digits", Image::grid(&digits, 8, 2, 0)?, None);
        loggers.log_histogram("hidden.weight", Histogram::from_samples(self.weights.iter().copied())?, None);
        loggers.log_figure("recognised", figure(&counts)?, None);

        let mut table = Table::new(["digit", "recognised", "of"]);
        for (digit, (right, all)) in counts.iter().enumerate() {
            table = table.row([digit.into(), (*right).into(), (*all).into()])?;
        }
        loggers.log_table("recognised by digit", table, None);

        let (right, all) = counts.iter().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
        loggers.log_text("summary", Text::new(format!("**{right}** of {all} digits were recognised")), None);
        let share = |odd: usize| {
            let (right, all) = counts.iter().skip(odd).step_by(2).fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
            right as f64 / all.max(1) as f64
        };
        loggers.log_scalars("recognised", [("even", share(0)), ("odd", share(1))], None);

        // The first digit as audio: its pixels line by line, ten times.
        let samples: Vec<f32> = self.pixels.iter().take(SIDE * SIDE).map(|grey| grey / 3.0).collect();
        loggers.log_audio("first digit", Audio::new(8000, 1, samples.repeat(10))?, None);

        // A value that only one of the trackers can store.
        if let Some(tensorboard) = loggers.experiment::<TensorBoardLogger>() {
            let labels: Vec<bool> = self.targets.iter().map(|&target| target == 0).collect();
            let zeros: Vec<f32> = self.probabilities.chunks(10).map(|of_digit| of_digit[0].clamp(0.0, 1.0)).collect();
            let step = loggers.step();
            tensorboard.with(move |tensorboard| tensorboard.log_pr_curve("is a zero", &labels, &zeros, 127, step))?;
        }
        Ok(())
    }
}

/// Standardised grey values as a picture.
fn image(pixels: &[f32]) -> Result<Image> {
    let values: Vec<f32> = pixels.iter().map(|grey| grey * 0.3081 + 0.1307).collect();
    Ok(Image::from_f32(SIDE as u32, SIDE as u32, 1, &values)?)
}

/// A bar for each digit.
fn figure(counts: &[(usize, usize); 10]) -> Result<Figure> {
    let figure = Figure::draw((480, 240), |area| {
        let mut chart = ChartBuilder::on(area)
            .caption("recognised digits", ("sans-serif", 16))
            .margin(8)
            .x_label_area_size(24)
            .y_label_area_size(40)
            .build_cartesian_2d(-0.5..9.5, 0.0..1.0)?;
        chart.configure_mesh().disable_x_mesh().draw()?;
        chart.draw_series(counts.iter().enumerate().map(|(digit, (right, all))| {
            let (middle, share) = (digit as f64, *right as f64 / (*all).max(1) as f64);
            Rectangle::new([(middle - 0.4, 0.0), (middle + 0.4, share)], BLUE.filled())
        }))?;
        Ok(())
    });
    Ok(figure?)
}

/// The options of the trackers.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct TrackersConfig {
    /// The tracking URI of MLflow. The variable `MLFLOW_TRACKING_URI` has the same effect.
    mlflow: Option<String>,
    /// The URL of a trackio server. The variable `TRACKIO_SERVER_URL` has the same effect.
    trackio: Option<String>,
}

impl TrackersConfig {
    fn add(self, mut trainer: Trainer<Digits>) -> Trainer<Digits> {
        let root = trainer.config().default_root_dir.clone();
        // Both write to the same `version_N`, like the default loggers.
        let folder = RunDir::new(&root).with_name(DEFAULT_NAME);
        trainer = trainer
            .callback(ModelCheckpoint::new().monitor("val_loss"))
            .logger(TensorBoardLogger::in_dir(folder.clone()))
            .logger(CsvLogger::in_dir(folder))
            .logger(WandbLogger::new().offline(true).save_dir(&root).project("trackers").log_model(LogModel::AtEnd))
            .logger(CometLogger::new().offline(true).save_dir(root.join("comet")).project("trackers").log_model(LogModel::AtEnd))
            .logger(NeptuneLogger::new(&root).run_name("trackers").log_model(LogModel::AtEnd));
        if let Some(uri) = self.mlflow.or_else(|| std::env::var("MLFLOW_TRACKING_URI").ok()) {
            let mlflow = MlflowLogger::new().tracking_uri(uri).experiment("trackers").save_dir(&root).log_model(LogModel::AtEnd);
            trainer = trainer.logger(mlflow);
        }
        if let Some(url) = self.trackio.or_else(|| std::env::var("TRACKIO_SERVER_URL").ok()) {
            trainer = trainer.logger(TrackioLogger::new().server_url(url).project("trackers").save_dir(&root));
        }
        trainer
    }
}

fn main() -> Result<Stop> {
    stormfire::console::Builder::new().file().init()?;
    Cli::new(|(): (), device: &Device| Ok(Digits::new(device)), |data: MnistConfig| Ok(MnistData::new(data)))
        .about("Logs one training to several trackers at once.")
        .alias("epochs", "trainer.max_epochs")
        .trainer_defaults(TrainerConfig { max_epochs: Some(3), seed: Some(42), log_every_n_steps: 10, ..TrainerConfig::default() })
        .section("trackers", |trackers: TrackersConfig, trainer| Ok(trackers.add(trainer)))
        .after_fit(|trainer, _, _| {
            if let Some(folder) = trainer.log_dir() {
                println!("logged to {}", folder.display());
            }
            Ok(())
        })
        .run()
}
