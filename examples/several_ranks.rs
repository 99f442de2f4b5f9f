//! One training on several ranks: `cargo run --release --example several_ranks`.
//!
//! A rank has a copy of the network, and works on its own batches. After each step, all copies have the same weights,
//! bit for bit. Here, ranks are threads: `--threads 2`. With the cargo feature `mpi`, the same program trains on
//! processes, on one machine or several:
//!
//! ```sh
//! cargo build --release --example several_ranks --features mpi
//! mpirun -n 2 --bind-to none -x RAYON_NUM_THREADS=1 target/release/examples/several_ranks
//! ```
//!
//! Two ranks are equal to one rank with a window of two batches, up to rounding: `--threads 1 --accumulate 2`.

use std::path::PathBuf;

use burn::{
    nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig},
    optim::AdamConfig,
    prelude::*,
    tensor::activation::relu,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stormfire::{cli, prelude::*, ranks};
use stormfire_examples::{MnistBatch, MnistData};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Module, Debug)]
struct Digits {
    hidden: Linear,
    output: Linear,
}

impl Digits {
    fn new(device: &Device) -> Self {
        Self { hidden: LinearConfig::new(28 * 28, 64).init(device), output: LinearConfig::new(64, 10).init(device) }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.output.forward(relu(self.hidden.forward(images.flatten(1, 3))))
    }
}

impl LightningModule for Digits {
    type Batch = MnistBatch;

    fn training_step(&self, batch: MnistBatch, _batch_idx: usize) -> Result<StepOutput> {
        let logits = self.forward(batch.images);
        let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, batch.targets);
        // The mean of all ranks.
        self.log("train_loss", &loss).prog_bar(true);
        Ok(loss.into())
    }

    fn validation_step(&self, batch: MnistBatch, _batch_idx: usize) -> Result<StepOutput> {
        // The accuracy of all validation batches, each of which is on one rank.
        self.log("val_acc", accuracy(&self.forward(batch.images), &batch.targets)).prog_bar(true);
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), 2e-3).into())
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Options {
    /// The number of ranks in this process.
    #[schemars(range(min = 1))]
    threads: usize,
    /// The number of batches in a step of each rank.
    #[schemars(range(min = 1))]
    accumulate: usize,
    /// The folder for logs and checkpoints.
    root: PathBuf,
    /// Whether to show the progress bar.
    progress_bar: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { threads: 2, accumulate: 1, root: ".".into(), progress_bar: true }
    }
}

/// The training of each rank.
fn train(options: &Options) -> Result<Stop> {
    let device = Accelerator::Auto.of_this_rank().device()?;
    let mut trainer = Trainer::new()
        .accelerator(device.clone())
        .max_epochs(5)
        .seed(42)
        .accumulate_grad_batches(options.accumulate)
        .default_root_dir(&options.root)
        .enable_progress_bar(options.progress_bar);
    let fit = trainer.fit(Digits::new(&device), MnistData::of("data/mnist-mini"))?;
    let (here, sum) = (ranks::here()?, fit.module.output.weight.val().sum().into_scalar::<f64>());
    println!("rank {} of {}: {} steps, sum of weights {sum}", here.rank(), here.world(), fit.progress.global_step);
    Ok(fit.stop)
}

fn main() -> Result<Stop> {
    let options: Options = cli::parse("Trains on several ranks.");
    // Processes are ranks themselves.
    if ranks::here()?.world() > 1 || options.threads == 1 {
        return train(&options);
    }
    let stops = ranks::threads::run(options.threads, |_rank| train(&options));
    stops.into_iter().last().unwrap_or_else(|| Err(Error::other("there is no rank")))
}
