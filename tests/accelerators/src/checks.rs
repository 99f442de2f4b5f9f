//! Checks of an accelerator. Each compares with the CPU, or with another run on the same device.

mod averages;
mod losses;
mod media;
mod net;
mod optimizers;
mod queue;
mod reads;
mod resume;

use accelerator_tests::Outcome;
use burn::tensor::Device;

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

const fn large(name: &'static str, title: &'static str, body: fn(&Device) -> Outcome<String>) -> Check {
    Check { name, title, body, is_large: true }
}

const fn small(name: &'static str, title: &'static str, body: fn(&Device) -> Outcome<String>) -> Check {
    Check { name, title, body, is_large: false }
}

/// The slow ones first, since several run at once.
pub(crate) const CHECKS: &[Check] = &[
    large("losses-cnn", "losses as on the CPU, CNN", losses::cnn),
    large("losses-gpt", "losses as on the CPU, GPT", losses::gpt),
    large("losses-bf16-gpt", "losses as on the CPU, GPT, `bf16-mixed`", losses::gpt_in_bf16),
    large("losses-bf16-cnn", "losses as on the CPU, CNN, `bf16-mixed`", losses::cnn_in_bf16),
    large("losses-mlp", "losses as on the CPU, MLP", losses::mlp),
    large("losses-f16-mlp", "losses as on the CPU, MLP, `16-mixed`", losses::mlp_in_f16),
    small("resume", "a resumed fit equals an uninterrupted one", resume::in_f32),
    small("resume-bf16", "the same in `bf16-mixed`", resume::in_bf16),
    small("resume-f16", "the same in `16-mixed`", resume::in_f16),
    small("averages", "validation of averaged weights, clipping, accumulation as on the CPU", averages::check),
    small("optimizers", "several optimizers as on the CPU", optimizers::check),
    large("recomputed", "gradient checkpointing has the same losses", losses::recomputed),
    small("reads", "device reads in 100 steps, logged every 50", reads::check),
    small("queue", "the queue between two logging steps, as in a hand-written loop", queue::check),
    small("media", "images, sounds, histograms and metrics as on the CPU", media::check),
];
