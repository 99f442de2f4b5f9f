//! Checks of an accelerator. Each compares with the CPU, or with another run on the same device.

mod averages;
mod losses;
mod media;
mod net;
mod optimizers;
mod pool;
mod queue;
mod reads;
mod resume;

use accelerator_tests::{
    Outcome,
    models::{Cnn, Gpt, Mlp},
};
use burn::tensor::{Device, FloatDType};
use stormfire::prelude::Precision;

use losses::as_on_the_cpu;
use resume::resumes;

/// A check. Its body returns what it says when it passes.
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) body: fn(&Device) -> Outcome<String>,
    /// A software driver needs minutes for it.
    pub(crate) is_large: bool,
}

/// The largest of some differences. A NaN counts as infinite.
fn largest(differences: impl Iterator<Item = f64>) -> f64 {
    differences.fold(0.0, |largest, difference| if difference.is_nan() { f64::INFINITY } else { largest.max(difference) })
}

/// The largest difference of two lists of numbers, infinite for lists of different lengths.
fn distance(expected: &[f32], actual: &[f32]) -> f64 {
    let differences = largest(expected.iter().zip(actual).map(|(expected, actual)| f64::from((expected - actual).abs())));
    if expected.len() == actual.len() { differences } else { f64::INFINITY }
}

/// Whether the device has the type in which this precision computes.
fn supports(device: &Device, precision: Precision) -> bool {
    device.supports_dtype(match precision {
        Precision::Bf16Mixed => FloatDType::BF16,
        Precision::F16Mixed => FloatDType::F16,
        _ => FloatDType::F32,
    })
}

const fn large(name: &'static str, title: &'static str, body: fn(&Device) -> Outcome<String>) -> Check {
    Check { name, title, body, is_large: true }
}

const fn small(name: &'static str, title: &'static str, body: fn(&Device) -> Outcome<String>) -> Check {
    Check { name, title, body, is_large: false }
}

const F32: Precision = Precision::F32True;
const BF16: Precision = Precision::Bf16Mixed;
const F16: Precision = Precision::F16Mixed;

/// The slow ones first, since several run at once.
pub(crate) const CHECKS: &[Check] = &[
    large("losses-cnn", "losses as on the CPU, CNN", |device| as_on_the_cpu::<Cnn>(device, 16, F32, 1e-2)),
    large("losses-gpt", "losses as on the CPU, GPT", |device| as_on_the_cpu::<Gpt>(device, 4, F32, 1e-2)),
    large("losses-bf16-gpt", "losses as on the CPU, GPT, `bf16-mixed`", |device| as_on_the_cpu::<Gpt>(device, 4, BF16, 5e-2)),
    large("losses-bf16-cnn", "losses as on the CPU, CNN, `bf16-mixed`", |device| as_on_the_cpu::<Cnn>(device, 16, BF16, 5e-2)),
    large("losses-mlp", "losses as on the CPU, MLP", |device| as_on_the_cpu::<Mlp>(device, 64, F32, 2e-3)),
    large("losses-f16-mlp", "losses as on the CPU, MLP, `16-mixed`", |device| as_on_the_cpu::<Mlp>(device, 64, F16, 2e-2)),
    small("resume", "a resumed fit equals an uninterrupted one", |device| resumes(device, F32)),
    small("resume-bf16", "the same in `bf16-mixed`", |device| resumes(device, BF16)),
    small("resume-f16", "the same in `16-mixed`", |device| resumes(device, F16)),
    small("averages", "validation of averaged weights, clipping, accumulation as on the CPU", averages::check),
    small("optimizers", "several optimizers as on the CPU", optimizers::check),
    large("recomputed", "gradient checkpointing has the same losses", losses::recomputed),
    small("reads", "device reads in 100 steps, logged every 50", reads::check),
    small("queue", "the queue between two logging steps, as in a hand-written loop", queue::check),
    small("pool", "the memory of the device is logged at each logging step", pool::check),
    small("media", "images, sounds, histograms and metrics as on the CPU", media::check),
];
