//! A custom callback that stops a run: `cargo run --release --example custom_callback`.
//!
//! It counts validations and stops when the accuracy is high enough. Its state is in every checkpoint, so a resumed run
//! continues the count. The 5,000 digits of `data/mnist-mini` take a few seconds.

use burn::{
    nn::{Linear, LinearConfig, Relu, loss::CrossEntropyLossConfig},
    optim::AdamConfig,
    prelude::*,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stormfire::{cli::Cli, prelude::*};
use stormfire_examples::{MnistBatch, MnistConfig, MnistData};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The options of the callback: `--stop.threshold=0.8`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct StopConfig {
    /// The validation accuracy at which to stop.
    threshold: f64,
}

impl Default for StopConfig {
    fn default() -> Self {
        Self { threshold: 0.9 }
    }
}

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

fn main() -> Result<Stop> {
    Cli::new(|(): (), device: &Device| Ok(Digits::new(device)), |data: MnistConfig| Ok(MnistData::new(data)))
        .about("Trains on MNIST digits until the validation accuracy is high enough.")
        .alias("epochs", "trainer.max_epochs")
        .trainer_defaults(TrainerConfig {
            max_epochs: Some(20),
            val_check_interval: Every::Fraction(0.25),
            num_sanity_val_steps: Some(0),
            seed: Some(42),
            ..TrainerConfig::default()
        })
        .section("stop", |stop: StopConfig, trainer| Ok(trainer.callback(GoodEnough { threshold: stop.threshold, checks: 0 })))
        .after_fit(|trainer, fit, _| {
            if let Some(callback) = trainer.get::<GoodEnough>() {
                println!("stopped after {} checks: {}", callback.checks, fit.stop);
            }
            Ok(())
        })
        .run()
}
