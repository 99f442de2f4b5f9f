//! A module of 100 million parameters with Adam's moments, and how long saving it stops a training.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Instant,
};

use burn::{
    module::Module,
    nn::{Linear, LinearConfig},
    optim::AdamConfig,
    tensor::{Device, Tensor},
};
use stormfire::{module::requests::SaveRequest, prelude::*};

use crate::{Outcome, memory};

/// The inputs and outputs of a layer.
pub const WIDTH: usize = 5000;
/// The layers.
pub const LAYERS: usize = 4;

#[derive(Module, Debug)]
struct Large {
    layers: Vec<Linear>,
}

impl Large {
    fn new(device: &Device) -> Self {
        Self { layers: (0..LAYERS).map(|_| LinearConfig::new(WIDTH, WIDTH).init(device)).collect() }
    }
}

impl LightningModule for Large {
    type Batch = Tensor<2>;

    fn training_step(&self, batch: Tensor<2>, _batch_idx: usize) -> Result<StepOutput> {
        Ok(self.layers.iter().fold(batch, |x, layer| layer.forward(x)).mean().into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), 1e-3).into())
    }
}

/// Requests a checkpoint in one batch, and measures the time from the end of that batch to the start of the next one.
#[derive(Clone)]
struct Watch {
    path: PathBuf,
    began: Option<Instant>,
    /// The time in seconds after each batch.
    seen: Arc<Mutex<Vec<f64>>>,
    /// The memory at the end of the batch that saves.
    before: Arc<Mutex<f64>>,
}

const SAVES_AFTER: usize = 2;
const BATCHES: usize = 4;

impl<M: LightningModule> Callback<M> for Watch {
    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, batch_idx: usize) -> Result<()> {
        if batch_idx == SAVES_AFTER {
            memory::forget_peak();
            *self.before.lock().map_err(|_| Error::other("poisoned"))? = memory::peak_gib();
            ctx.save_checkpoint(SaveRequest { path: self.path.clone(), ..SaveRequest::default() });
        }
        self.began = Some(Instant::now());
        Ok(())
    }

    fn on_train_batch_start(&mut self, _ctx: &mut Context<'_>, _module: &mut M, _batch: &M::Batch, _batch_idx: usize) -> Result<()> {
        if let Some(began) = self.began.take() {
            self.seen.lock().map_err(|_| Error::other("poisoned"))?.push(began.elapsed().as_secs_f64());
        }
        Ok(())
    }
}

/// Returns how long a save blocks the training, and how much the memory grows until the file is durable.
pub fn save(path: &Path, in_background: bool, device: &Device) -> Outcome<(f64, f64)> {
    let watch = Watch { path: path.into(), began: None, seen: Arc::default(), before: Arc::default() };
    let mut trainer = Trainer::new()
        .no_logger()
        .enable_checkpointing(false)
        .enable_progress_bar(false)
        .enable_model_summary(false)
        .async_checkpointing(in_background)
        .max_epochs(1)
        .accelerator(device.clone())
        .callback(watch.clone());
    let batch = Tensor::<2>::ones([1, WIDTH], device);
    let _ = trainer.fit(Large::new(device), Loader::from_batches(vec![batch; BATCHES]))?;
    let seen = watch.seen.lock().map_err(|_| "poisoned")?;
    let before = *watch.before.lock().map_err(|_| "poisoned")?;
    Ok((seen[SAVES_AFTER] - seen[SAVES_AFTER - 1], memory::peak_gib() - before))
}

/// The seconds for which a save in the background stops the training.
pub fn stops(path: &Path, device: &Device) -> Outcome<f64> {
    Ok(save(path, true, device)?.0)
}
