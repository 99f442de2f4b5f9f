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
use clap::Parser;
use serde::Serialize;
use stormfire::prelude::*;
use stormfire_examples::{MnistBatch, MnistData};

// A small model spends half of its time in the system's allocator, which returns memory and requests it again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The hyperparameters in `hparams.yaml` and in checkpoints.
#[derive(Clone, Debug, Serialize)]
struct Hyperparameters {
    learning_rate: f64,
    batch_size: usize,
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
    hparams: Hyperparameters,
}

impl Mnist {
    fn new(hparams: Hyperparameters, device: &Device) -> Self {
        Self {
            conv1: Conv2dConfig::new([1, 8], [3, 3]).with_padding(PaddingConfig2d::Same).init(device),
            conv2: Conv2dConfig::new([8, 16], [3, 3]).with_padding(PaddingConfig2d::Same).init(device),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            relu: Relu::new(),
            hidden: LinearConfig::new(16 * 7 * 7, 64).init(device),
            output: LinearConfig::new(64, 10).init(device),
            cross_entropy: CrossEntropyLossConfig::new().init(device),
            hparams,
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
        Ok(Optimizer::new(AdamConfig::new(), self.hparams.learning_rate).into())
    }

    fn hparams(&self) -> Result<Value> {
        state::save(&self.hparams)
    }
}

/// Trains a small convolutional network on MNIST digits.
#[derive(Parser)]
struct Args {
    /// Number of epochs.
    #[arg(long, default_value_t = 8)]
    epochs: usize,
    /// Number of digits in a batch.
    #[arg(long, default_value_t = 64)]
    batch_size: usize,
    /// The learning rate of Adam.
    #[arg(long, default_value_t = 2e-3)]
    lr: f64,
    /// The folder with the idx files, gzipped or not.
    #[arg(long, default_value = "data/mnist-mini")]
    data: std::path::PathBuf,
    /// The device to train on: auto, cpu, cuda, cuda:1, wgpu, vulkan, metal.
    #[arg(long, default_value = "auto")]
    accelerator: Accelerator,
    /// Number of threads that share each batch on the CPU: a number, or `auto` for one per core.
    #[arg(long, default_value = "1")]
    devices: String,
    /// The float types: 32-true, bf16-mixed, 16-mixed, bf16-true, 64-true.
    #[arg(long, default_value = "32-true")]
    precision: Precision,
    /// The random seed. It makes the run repeatable.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Maximum number of optimizer steps.
    #[arg(long)]
    max_steps: Option<u64>,
    /// Log the metrics of every n-th step.
    #[arg(long, default_value_t = 10)]
    log_every_n_steps: u64,
    /// Number of validation batches. 0 turns validation off.
    #[arg(long)]
    limit_val_batches: Option<usize>,
    /// Resume from a checkpoint: a file, `last` or `best`.
    #[arg(long)]
    ckpt_path: Option<String>,
    /// The folder for logs and checkpoints.
    #[arg(long, default_value = ".")]
    root: std::path::PathBuf,
    /// Print a profile.
    #[arg(long)]
    profile: bool,
    /// Hide the progress bar.
    #[arg(long)]
    no_progress_bar: bool,
}

fn main() -> Result<Stop> {
    // A driver that crashes then ends a child process, not the training.
    Accelerator::serve_probe();
    stormfire::console::init();
    let args = Args::parse();
    let device = args.accelerator.device()?;
    // Before the first tensor.
    args.precision.prepare(&device)?;
    let mut trainer = Trainer::new()
        .accelerator(device.clone())
        .devices(args.devices.as_str())
        .precision(args.precision)
        .max_epochs(args.epochs)
        .seed(args.seed)
        .log_every_n_steps(args.log_every_n_steps)
        .default_root_dir(args.root)
        .enable_progress_bar(!args.no_progress_bar)
        .callback(LearningRateMonitor::new());
    if args.limit_val_batches != Some(0) {
        trainer = trainer.callback(EarlyStopping::new("val_loss").patience(3));
    }
    if let Some(steps) = args.max_steps {
        trainer = trainer.max_steps(steps);
    }
    if let Some(batches) = args.limit_val_batches {
        trainer = trainer.limit_val_batches(batches);
    }
    if let Some(path) = args.ckpt_path {
        trainer = trainer.ckpt_path(path);
    }
    if args.profile {
        trainer = trainer.profiler(ProfilerKind::Simple);
    }
    let data = || MnistData::new(&args.data).batch_size(args.batch_size);
    let hparams = Hyperparameters { learning_rate: args.lr, batch_size: args.batch_size };
    let fit = trainer.fit(Mnist::new(hparams, &device), data())?;
    if !fit.stop.is_interrupted() {
        trainer.test(&fit.module, data())?;
    }
    Ok(fit.stop)
}
