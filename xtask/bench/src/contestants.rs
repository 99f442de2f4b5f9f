//! The compared loops.

use burn::{optim::GradientsParams, tensor::Device};
use stormfire::prelude::*;

#[cfg(feature = "rival")]
use crate::rival;
use crate::{
    modules::{Loss, Silent, Ten},
    tiny::{Batch, LR, Tiny, batch, optimizer},
};

/// A training loop that runs a given number of steps.
pub struct Contestant {
    /// The printed name.
    pub name: &'static str,
    /// Runs the given number of steps.
    pub run: fn(usize) -> Outcome,
}

/// An error if the steps failed.
pub type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

/// The others are compared with the first one.
pub const CONTESTANTS: &[Contestant] = &[
    Contestant { name: "hand-written burn loop", run: raw },
    Contestant { name: "stormfire, everything off", run: everything_off },
    Contestant { name: "stormfire, defaults, loss logged (TensorBoard + CSV every 50, bar, checkpoint)", run: defaults },
    Contestant { name: "stormfire, ten metrics on step and epoch", run: ten_metrics },
    Contestant { name: "stormfire, TensorBoard at every step", run: every_step },
    #[cfg(feature = "rival")]
    Contestant { name: "burn-train Learner, no metric", run: rival::without_metrics },
    #[cfg(feature = "rival")]
    Contestant { name: "burn-train Learner, loss metric", run: rival::with_loss },
];

/// A loop that a user would write without a framework.
pub fn raw(steps: usize) -> Outcome {
    let device = Device::flex();
    let batch = batch(&device);
    let mut module = Tiny::new(&device.clone().autodiff());
    let mut optimizer = optimizer();
    for _ in 0..steps {
        let loss = module.loss(batch.clone());
        let gradients = GradientsParams::from_grads(loss.backward(), &module);
        module = optimizer.step(LR, module, gradients);
    }
    Ok(())
}

/// A loader that yields the same batch `steps` times.
pub fn data(steps: usize, device: &Device) -> Loader<Batch> {
    let batch = batch(device);
    Loader::from_fn(move |_| {
        let batch = batch.clone();
        std::iter::repeat_with(move || batch.clone()).take(steps)
    })
    .items_per_batch(32)
}

/// The bare loop, with every default off.
pub fn everything_off(steps: usize) -> Outcome {
    let device = Device::flex();
    let mut trainer = Trainer::new().barebones(true).max_epochs(1);
    let fit = trainer.fit(Silent::new(&device), data(steps, &device))?;
    assert_eq!(fit.progress.global_step, steps as u64);
    Ok(())
}

/// The defaults, with the loss logged.
pub fn defaults(steps: usize) -> Outcome {
    let device = Device::flex();
    let folder = tempfile::tempdir()?;
    let mut trainer = Trainer::new().default_root_dir(folder.path()).max_epochs(1).enable_model_summary(false);
    let _ = trainer.fit(Loss::new(&device), data(steps, &device))?;
    Ok(())
}

fn ten_metrics(steps: usize) -> Outcome {
    let device = Device::flex();
    let folder = tempfile::tempdir()?;
    let mut trainer = Trainer::new().default_root_dir(folder.path()).max_epochs(1).enable_model_summary(false);
    let _ = trainer.fit(Ten::new(&device), data(steps, &device))?;
    Ok(())
}

/// TensorBoard at every step.
pub fn every_step(steps: usize) -> Outcome {
    let device = Device::flex();
    let folder = tempfile::tempdir()?;
    let mut trainer = Trainer::new()
        .default_root_dir(folder.path())
        .max_epochs(1)
        .logger(TensorBoardLogger::new(folder.path()))
        .log_every_n_steps(1)
        .enable_progress_bar(false)
        .enable_checkpointing(false)
        .enable_model_summary(false);
    let _ = trainer.fit(Loss::new(&device), data(steps, &device))?;
    Ok(())
}
