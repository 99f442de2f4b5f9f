//! Random numbers of steps on several threads follow from the seed and do not depend on scheduling.

use std::path::Path;

use burn::prelude::*;
use stormfire::{loggers::MemoryLogger, prelude::*};

use super::{
    net::{Digits, Net, digits},
    values,
};
use crate::{
    child::{folder, part, play},
    support::recording,
};

/// Uses dropout from the third batch on, and draws in a hook.
#[derive(Module, Debug)]
struct Late {
    net: Net,
    with_dropout: Net,
}

impl LightningModule for Late {
    type Batch = Digits;

    fn training_step(&self, batch: Digits, batch_idx: usize) -> Result<StepOutput> {
        if batch_idx < 2 { self.net.training_step(batch, batch_idx) } else { self.with_dropout.training_step(batch, batch_idx) }
    }

    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        ctx.log("drawn", Tensor::<1>::random([1], burn::tensor::Distribution::Default, &Device::flex())).on_step(true);
        Ok(())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.net.configure_optimizers()
    }
}

fn late() -> Late {
    Late { net: Net::new(), with_dropout: Net::new().with_dropout() }
}

type Left = (Vec<f32>, Vec<(String, f64, Option<u64>)>);

fn fit(devices: usize, set: impl Fn(Trainer<Late>) -> Trainer<Late>) -> Left {
    let logger = MemoryLogger::new();
    let trainer = recording(&logger).devices(devices).seed(7).log_every_n_steps(1).num_sanity_val_steps(0);
    let fit = set(trainer).fit(late(), digits(64, 8)).unwrap();
    (values(&fit.module), logger.rows())
}

#[test]
fn dropout_follows_from_the_seed() {
    let folder = tempfile::tempdir().unwrap();
    play(part("devices::chance::drops_units", folder.path()));
}

#[test]
#[ignore = "a part of `dropout_follows_from_the_seed`"]
fn drops_units() {
    let Some(folder) = folder() else { return };
    let fits: Vec<_> = (0..5).map(|_| fit(2, |trainer| trainer.max_epochs(2))).collect();
    assert!(fits.iter().all(|left| *left == fits[0]), "from run to run");
    let other = fit(2, |trainer| trainer.max_epochs(2).seed(8));
    assert_ne!(fits[0].0, other.0, "another seed");
    resumes(&folder, 10, &fits[0]);
    // The first step after the resume shows whether random numbers are drawn.
    resumes(&folder, 2, &fits[0]);
}

/// Checks that a fit that is interrupted after `steps` steps and resumed ends like an uninterrupted one.
fn resumes(folder: &Path, step: u64, uninterrupted: &Left) {
    let checkpoint = folder.join(format!("{step}.ckpt"));
    let logger = MemoryLogger::new();
    let mut trainer = recording(&logger).devices(2).seed(7).log_every_n_steps(1).num_sanity_val_steps(0).max_steps(step);
    let fit_to_step = trainer.fit(late(), digits(64, 8)).unwrap();
    trainer.save_checkpoint(&fit_to_step.module, &checkpoint).unwrap();
    let (weights, rows) = fit(2, |trainer| trainer.max_epochs(2).ckpt_path(checkpoint.clone()));
    assert_eq!(weights, uninterrupted.0, "from step {step}");
    let drawn = |rows: &[(String, f64, Option<u64>)]| {
        let of_steps = |row: &&(String, f64, Option<u64>)| row.0 == "drawn" && row.2.is_some_and(|at| at >= step);
        rows.iter().filter(of_steps).map(|row| row.1.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(drawn(&rows), drawn(&uninterrupted.1), "what a hook draws, from step {step}");
}
