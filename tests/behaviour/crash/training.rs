//! The training that is killed. It has every kind of state and takes a fraction of a second.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
};

use burn::{
    data::dataset::InMemDataset,
    lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig,
    nn::{
        BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig,
        loss::{MseLoss, Reduction},
    },
    optim::AdamConfig,
    prelude::*,
    tensor::activation::relu,
};
use stormfire::prelude::*;

use crate::support::Batch;

const ITEMS: u16 = 78;
const BATCH_SIZE: usize = 4;
/// The last batch is smaller, and the last window of three batches is incomplete.
pub(super) const BATCHES_PER_EPOCH: u64 = 20;

#[derive(Module, Debug)]
struct Net {
    hidden: Linear,
    norm: BatchNorm,
    dropout: Dropout,
    output: Linear,
}

impl Net {
    fn new() -> Self {
        let device = Device::flex();
        Self {
            hidden: LinearConfig::new(1, 8).init(&device),
            norm: BatchNormConfig::new(8).init(&device),
            dropout: DropoutConfig::new(0.2).init(),
            output: LinearConfig::new(8, 1).init(&device),
        }
    }

    fn loss(&self, (x, y): Batch) -> Tensor<1> {
        let hidden = self.dropout.forward(relu(self.norm.forward(self.hidden.forward(x))));
        MseLoss::new().forward(self.output.forward(hidden), y, Reduction::Mean)
    }
}

impl LightningModule for Net {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        let loss = self.loss(batch);
        self.log("train_loss", &loss).on_step(true).on_epoch(true);
        Ok(loss.into())
    }

    fn validation_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("val_loss", self.loss(batch));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let schedule = Schedule::new(CosineAnnealingLrSchedulerConfig::new(0.01, 50)).every(Every::Steps(1));
        Ok(Optimizer::new(AdamConfig::new(), 0.01).schedule(schedule).into())
    }
}

fn data() -> Loader<Batch> {
    let collate = |points: Vec<f32>, device: &Device| {
        let x = Tensor::<1>::from_floats(points.as_slice(), device).unsqueeze_dim::<2>(1);
        let y = (x.clone() * 3.0).sin();
        (x, y)
    };
    let points = (0..ITEMS).map(|i| f32::from(i) / f32::from(ITEMS)).collect();
    Loader::collate(InMemDataset::new(points), collate).batch_size(BATCH_SIZE).workers(2)
}

/// Appends to a file for the parent: a line with a number at the start of a life, and a dot for each batch.
struct Diary(PathBuf);

impl Diary {
    fn write(&self, text: &str) -> Result<()> {
        Ok(File::options().append(true).create(true).open(&self.0)?.write_all(text.as_bytes())?)
    }
}

impl<M: LightningModule> Callback<M> for Diary {
    fn on_train_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.write(&format!("\n{} ", ctx.progress().batches))
    }

    fn on_train_batch_end(&mut self, _ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        self.write(".")
    }
}

/// The file of the [`Diary`].
pub(super) fn diary(folder: &Path) -> PathBuf {
    folder.join("diary")
}

/// The file in which a life that ends by itself writes the reason.
pub(super) fn last_words(folder: &Path) -> PathBuf {
    folder.join("last_words")
}

/// The file with the weights of the module that `fit` returned.
pub(super) fn result(folder: &Path) -> PathBuf {
    folder.join("result.ckpt")
}

/// One life: trains from the newest checkpoint to the end.
pub(super) fn fit(folder: &Path, epochs: usize) {
    let words = match try_fit(folder, epochs) {
        Ok(stop) => stop.to_string(),
        Err(error) => format!("{error:?}"),
    };
    std::fs::write(last_words(folder), words).unwrap();
}

fn try_fit(folder: &Path, epochs: usize) -> Result<Stop> {
    // The first callback saves while some windows of three batches are incomplete.
    let best = ModelCheckpoint::new().monitor("val_loss").save_top_k(3).filename("{step}-{val_loss:.4f}").save_last(true);
    let newest = ModelCheckpoint::new().filename("newest-{step}");
    let mut trainer = Trainer::new()
        .default_root_dir(folder)
        .ckpt_path("last")
        .seed(5)
        .max_epochs(epochs)
        .accumulate_grad_batches(3)
        .val_check_interval(Every::Fraction(0.5))
        .log_every_n_steps(1)
        .enable_progress_bar(false)
        .enable_model_summary(false)
        .callback(LearningRateMonitor::new())
        .callback(Diary(diary(folder)))
        .callback(best.every(Every::Batches(4)))
        .callback(newest.every(Every::Steps(3)));
    let fit = trainer.fit(Net::new(), (data().shuffle(true), data()))?;
    trainer.save_weights(&fit.module, result(folder))?;
    Ok(fit.stop)
}
