//! The seconds of a training step: under the Trainer, and in a hand-written loop of burn.

use std::time::Instant;

use burn::{
    optim::{AdamConfig, GradientsParams},
    tensor::Device,
};
use stormfire::prelude::*;

use crate::{Outcome, models::Workload};

/// In a hand-written loop, after `warm_up` steps, with the device idle at both ends.
pub fn by_hand<M: Workload>(batches: &[M::Batch], steps: usize, warm_up: usize, device: &Device) -> Outcome<f64> {
    let mut module = M::new(&device.clone().autodiff());
    let mut optimizer = AdamConfig::new().init();
    let mut began = Instant::now();
    for (index, batch) in batches.iter().cycle().take(steps + warm_up).enumerate() {
        if index == warm_up {
            device.sync()?;
            began = Instant::now();
        }
        let output = module.training_step(batch.clone(), index)?;
        let gradients = GradientsParams::from_grads(output.loss().ok_or("no loss")?.backward(), &module);
        module = optimizer.step(1e-3, module, gradients);
    }
    device.sync()?;
    Ok(began.elapsed().as_secs_f64() / steps as f64)
}

/// Measures from the end of the warm-up to the last step.
struct Timed {
    device: Device,
    warm_up: usize,
    steps: usize,
    began: Option<Instant>,
    seconds: f64,
}

impl<M: LightningModule> Callback<M> for Timed {
    fn on_train_batch_end(&mut self, _ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, batch_idx: usize) -> Result<()> {
        let done = batch_idx + 1;
        if done == self.warm_up || done == self.steps + self.warm_up {
            self.device.sync().map_err(Error::other)?;
            self.seconds = self.began.get_or_insert_with(Instant::now).elapsed().as_secs_f64();
        }
        Ok(())
    }
}

/// Under a Trainer with more `options`, after `warm_up` steps, with the device idle at both ends.
pub fn trained<M: Workload>(
    batches: &[M::Batch],
    steps: usize,
    warm_up: usize,
    device: &Device,
    options: impl FnOnce(Trainer<M>) -> Trainer<M>,
) -> Outcome<f64> {
    let batches = batches.to_vec();
    let loader = Loader::from_fn(move |_| {
        let batches = batches.clone();
        (0..steps + warm_up).map(move |index| batches[index % batches.len()].clone())
    });
    let timed = Timed { device: device.clone(), warm_up, steps, began: None, seconds: f64::NAN };
    let mut trainer = options(Trainer::new().barebones(true).max_epochs(1).callback(timed));
    let _ = trainer.fit(M::new(device), loader)?;
    Ok(trainer.get::<Timed>().ok_or("the callback is missing")?.seconds / steps as f64)
}
