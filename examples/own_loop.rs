//! A training loop without the Trainer, from the parts of Stormfire: `cargo run --release --example own_loop`.
//!
//! Loaders, loggers, metrics, clipping, the schedule and checkpoints work alone, next to burn's optimizers. The loop
//! trains on the 5,000 digits of `data/mnist-mini` for a few seconds, to an accuracy of 0.94. If it is started again
//! with more `--epochs`, it resumes from its checkpoint. The Trainer does more: it resumes at any batch, for example.

use std::path::PathBuf;

use burn::{
    lr_scheduler::LrScheduler as _,
    nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig},
    optim::{AdamConfig, GradientsParams},
    prelude::*,
    tensor::activation::relu,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use stormfire::{
    checkpoint::{Checkpoint, Manifest, ParamPaths, Snapshot, is_finite, optimizer_state, restore, write_snapshot},
    cli,
    data::Position,
    loggers::{Loggers, RunDir, Status},
    metrics::aggregation::Mean,
    optim::{
        IntoOptimizer as _,
        gradients::{self, Clip},
    },
    prelude::*,
};
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

/// The accuracy: that of the batches merges on the device, and is read once.
fn evaluate(module: &Digits, loaders: &Loaders<MnistBatch>, device: &Device) -> Result<f64> {
    let mut all = Mean::from_sum(0.0, 0.0);
    for loader in loaders {
        for batch in loader.batches(Position::default(), device)? {
            let batch = batch?.value;
            all.merge(&accuracy(&module.forward(batch.images), &batch.targets))?;
        }
    }
    Ok(all.read()?)
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Options {
    /// The number of epochs, those of an earlier start included.
    #[schemars(range(min = 1))]
    epochs: usize,
    /// The folder for logs and the checkpoint.
    root: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self { epochs: 4, root: "lightning_logs/own_loop".into() }
    }
}

fn main() -> Result<()> {
    let Options { epochs, root } = cli::parse("Trains on digits, without the Trainer.");
    let plain = Accelerator::Auto.device()?;
    let device = plain.clone().autodiff();
    stormfire::seed_everything(42, &device);
    let mut data = MnistData::of("data/mnist-mini");
    data.setup(Stage::Fit)?;
    let (train, val) = (data.train_dataloader()?.seed(42), data.val_dataloader()?);

    let mut module = Digits::new(&device);
    let (mut optimizer, _) = AdamConfig::new().into_optimizer();
    let mut schedule = OneCycle::new(5e-3, (epochs * train.len().known().unwrap_or(0)) as u64);
    let (mut first, mut step) = (0, 0);
    let file = root.join("own.ckpt");
    if file.exists() {
        let mut checkpoint = Checkpoint::read(&file)?;
        (module, _) = restore(module, checkpoint.take_weights(), &LoadOptions::new())?;
        let (manifest, mut tensors) = checkpoint.into_parts();
        let extra = |name| manifest.extra.get(name).cloned().unwrap_or_default();
        let numbers = serde_json::from_value(extra("optimizer")).map_err(Error::other)?;
        optimizer = optimizer_state::load(optimizer, "Adam", &numbers, &mut tensors, &ParamPaths::of(&module))?;
        schedule = serde_json::from_value(extra("schedule")).map_err(Error::other)?;
        (first, step) = (manifest.epoch().unwrap_or(0) as usize, manifest.global_step().unwrap_or(0));
    }

    // Each logger writes on its own thread.
    let folder = RunDir::new(&root).with_name("").with_version(format!("from_epoch_{first}"));
    let loggers = Loggers::spawn([Box::new(TensorBoardLogger::in_dir(folder.clone())) as _, Box::new(CsvLogger::in_dir(folder)) as _])?;
    for epoch in first..epochs {
        for batch in train.batches(Position::start_of(epoch), &device)? {
            let batch = batch?.value;
            let loss = CrossEntropyLossConfig::new().init(&device).forward(module.forward(batch.images), batch.targets);
            if step % 10 == 0 {
                // This waits for the device. The Trainer's `log` does not.
                loggers.log_metrics([("train_loss", loss.clone().into_scalar::<f64>())], step);
            }
            let mut gradients = GradientsParams::from_grads(loss.backward(), &module);
            gradients::clip(&mut gradients, &module, Clip { value: 1.0, algorithm: ClipAlgorithm::Norm });
            module = optimizer.step(schedule.step(), module, gradients);
            step += 1;
        }
        let val_acc = evaluate(&module.valid(), &val, &plain)?;
        println!("epoch {epoch}: val_acc {val_acc:.3}");
        loggers.log_metrics([("val_acc", val_acc)], step);

        let mut snapshot = Snapshot::of_module(&module)?;
        let numbers = optimizer_state::save(&optimizer, "Adam", &ParamPaths::of(&module), &mut snapshot)?;
        let extra = json!({ "optimizer": numbers, "schedule": schedule }).as_object().cloned().unwrap_or_default();
        let progress = json!({ "epoch": epoch + 1, "global_step": step });
        // The file is replaced as a whole, and only by finite weights.
        write_snapshot::<Error>(&file, &Manifest { progress, extra, ..Manifest::default() }, &snapshot, |_, data| is_finite(data))?;
    }
    Ok(loggers.finalize(Status::Success)?)
}
