//! The losses of a few steps, on the device and on the CPU.

use std::sync::{Arc, Mutex};

use accelerator_tests::{
    Outcome,
    models::{Mlp, Workload, weights},
};
use burn::prelude::*;
use stormfire::prelude::*;

use super::{largest, supports};

const STEPS: usize = 12;

/// Collects the losses.
#[derive(Clone, Default)]
struct Losses(Arc<Mutex<Vec<f64>>>);

impl<M: LightningModule> Callback<M> for Losses {
    fn on_train_batch_end(&mut self, _ctx: &mut Context<'_>, _module: &mut M, output: &StepOutput, _batch_idx: usize) -> Result<()> {
        if let (Some(loss), Ok(mut losses)) = (output.loss(), self.0.lock()) {
            losses.extend(stormfire::values::read::read(&[loss.clone().into()])?);
        }
        Ok(())
    }
}

/// Trains a module of the CPU with the batches of the CPU on a device. `recomputes` turns gradient checkpointing on.
fn losses<M: Workload>(module: &M, device: &Device, items: usize, precision: Precision, recomputes: bool) -> Outcome<Vec<f64>> {
    Device::flex().seed(7);
    let batches = M::batches(4, items, &Device::flex());
    let there = device.clone().autodiff();
    let there = if recomputes { there.gradient_checkpointing() } else { there };
    let moved: Vec<_> = batches.iter().map(|batch| M::moved(batch, &there)).collect();
    let losses = Losses::default();
    let loader = Loader::from_batches((0..STEPS).map(|index| moved[index % moved.len()].clone()).collect());
    let trainer = Trainer::new().barebones(true).max_epochs(1).accelerator(device.clone()).callback(losses.clone());
    let _ = trainer.precision(precision).gradient_checkpointing(recomputes).fit(module.clone(), loader)?;
    let losses = losses.0.lock().map_err(|_| "poisoned")?.clone();
    Ok(losses)
}

/// Two lists of losses are equal up to `within`, relative to each loss.
fn same(expected: &[f64], actual: &[f64], within: f64) -> Outcome<String> {
    let differences = expected.iter().zip(actual).map(|(expected, actual)| (expected - actual).abs() / expected.abs().max(1e-3));
    let largest = largest(differences);
    if expected.len() < STEPS || expected.len() != actual.len() || largest >= within {
        return Err(format!("the losses differ by up to {largest:.1e}: {expected:?}, {actual:?}").into());
    }
    Ok(format!("{} steps within {largest:.1e}", expected.len()))
}

/// The losses of a precision, on the device and on the CPU. A device without its type refuses it.
pub(super) fn as_on_the_cpu<M: Workload>(device: &Device, items: usize, precision: Precision, within: f64) -> Outcome<String> {
    let module = M::new(&Device::flex());
    // burn draws parameters at their first use, and each clone would draw its own.
    let _ = weights(&module);
    let of = |device: &Device| losses(&module, device, items, precision, false);
    if !supports(device, precision) {
        return match of(device) {
            Err(error) if error.to_string().contains("does not support") => Ok("refused: the device does not support it".into()),
            other => Err(format!("the device does not support `{precision}`, but: {other:?}").into()),
        };
    }
    let actual = of(device)?;
    // The sums of the device have another order, and so another rounding.
    same(&of(&Device::flex())?, &actual, within)
}

/// Activations that the backward pass computes again are those of the forward pass.
pub(super) fn recomputed(device: &Device) -> Outcome<String> {
    let module = Mlp::new(&Device::flex());
    let _ = weights(&module);
    let of = |recomputes| losses(&module, device, 8, Precision::F32True, recomputes);
    same(&of(false)?, &of(true)?, 1e-3)
}
