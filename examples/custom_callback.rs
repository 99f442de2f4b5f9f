//! A custom callback that stops a run: `cargo run --release --example custom_callback`.
//!
//! It counts validations and stops when the accuracy is high enough. Its state is in every checkpoint, so a resumed run
//! continues the count. The 5,000 digits of `data/mnist-mini` take a few seconds.

use burn::{
    nn::{Linear, LinearConfig, Relu, loss::CrossEntropyLossConfig},
    optim::AdamConfig,
    prelude::*,
};
use clap::Parser;
use stormfire::prelude::*;
use stormfire_examples::{MnistBatch, MnistData};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Default)]
struct GoodEnough {
    threshold: f64,
    checks: u32,
}

impl<M: LightningModule> Callback<M> for GoodEnough {
    fn on_validation_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.checks += 1;
        if ctx.metric("val_acc")? >= self.threshold {
            ctx.stop("val_acc is good enough");
        }
        Ok(())
    }

    fn state(&self) -> Result<Saved> {
        state::save(&self.checks)
    }

    fn load_state(&mut self, state: Saved) -> Result<()> {
        state::load(&mut self.checks, state)
    }
}

#[derive(Module, Debug)]
struct Digits {
    hidden: Linear,
    output: Linear,
    relu: Relu,
}

impl Digits {
    fn new(device: &Device) -> Self {
        Self { hidden: LinearConfig::new(28 * 28, 64).init(device), output: LinearConfig::new(64, 10).init(device), relu: Relu::new() }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.output.forward(self.relu.forward(self.hidden.forward(images.flatten(1, 3))))
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
        self.log("val_acc", accuracy(&self.forward(batch.images), &batch.targets)).prog_bar(true);
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), 1e-3).into())
    }
}

/// Trains on MNIST digits until the validation accuracy is high enough.
#[derive(Parser)]
struct Args {
    /// The validation accuracy at which to stop.
    #[arg(long, default_value_t = 0.9)]
    threshold: f64,
    /// Maximum number of epochs.
    #[arg(long, default_value_t = 20)]
    epochs: usize,
    /// The folder with the idx files, gzipped or not.
    #[arg(long, default_value = "data/mnist-mini")]
    data: std::path::PathBuf,
    /// A checkpoint to resume from, with the threshold saved in it.
    #[arg(long)]
    ckpt_path: Option<std::path::PathBuf>,
    /// The folder for logs and checkpoints.
    #[arg(long, default_value = ".")]
    root: std::path::PathBuf,
    /// Hide the progress bar.
    #[arg(long)]
    no_progress_bar: bool,
}

fn main() -> Result<Stop> {
    stormfire::console::init();
    let args = Args::parse();
    let mut trainer = Trainer::new()
        .max_epochs(args.epochs)
        .val_check_interval("0.25 epochs")
        .num_sanity_val_steps(0)
        .seed(42)
        .default_root_dir(args.root)
        .enable_progress_bar(!args.no_progress_bar)
        .callback(GoodEnough { threshold: args.threshold, checks: 0 });
    if let Some(path) = args.ckpt_path {
        trainer = trainer.ckpt_path(path);
    }
    let fit = trainer.fit(Digits::new(&Device::flex()), MnistData::new(args.data))?;
    if let Some(callback) = trainer.get::<GoodEnough>() {
        println!("stopped after {} checks: {}", callback.checks, fit.stop);
    }
    Ok(fit.stop)
}
