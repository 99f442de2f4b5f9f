//! The cost of a logged name when there are many. The cost of a step must grow at most linearly with the number of
//! names.

use std::time::Instant;

use burn::tensor::Device;
use stormfire::prelude::*;

use crate::{
    contestants::{Outcome, data},
    tiny::{Batch, Tiny, optimizer},
};

/// The numbers of names per step.
const NAMES: [usize; 5] = [10, 100, 1000, 4000, 8000];

/// Logs its loss under many names, per step and per epoch.
#[derive(burn::module::Module, Debug)]
struct Talkative {
    tiny: Tiny,
    #[module(skip)]
    names: Vec<String>,
}

impl LightningModule for Talkative {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        let loss = self.tiny.loss(batch);
        for name in &self.names {
            self.log(name.clone(), &loss).on_step(true).on_epoch(true);
        }
        Ok(loss.into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(optimizer(), crate::tiny::LR).into())
    }
}

/// Logs every step to TensorBoard and CSV, with a callback that reads values at the end of each step. Prints the
/// minimum of the rounds.
pub fn run(rounds: usize, steps: usize) -> Outcome {
    println!("least of {rounds} rounds of {steps} steps, with every step logged and monitored\n");
    println!("| names | wall us/step | of it per name |");
    println!("|---|---|---|");
    for names in NAMES {
        let mut least = f64::INFINITY;
        for _ in 0..rounds {
            least = least.min(fit(names, steps)?);
        }
        println!("| {names} | {least:.1} | {:.3} |", least / names as f64);
    }
    Ok(())
}

fn fit(names: usize, steps: usize) -> std::result::Result<f64, Box<dyn std::error::Error>> {
    let (device, folder) = (Device::flex(), tempfile::tempdir()?);
    let module = Talkative { tiny: Tiny::new(&device), names: (0..names).map(|i| format!("group/name_{i}")).collect() };
    let watch = LambdaCallback::new().on_train_batch_end(|ctx, _, _, _| ctx.metric("group/name_0").map(drop));
    let mut trainer = Trainer::new()
        .default_root_dir(folder.path())
        .max_epochs(1)
        .log_every_n_steps(1)
        .callback(watch)
        .enable_progress_bar(false)
        .enable_checkpointing(false)
        .enable_model_summary(false);
    let began = Instant::now();
    drop(trainer.fit(module, data(steps, &device))?);
    Ok(began.elapsed().as_secs_f64() * 1e6 / steps as f64)
}
