//! Tensors of the device as values of loggers, and metrics of them.

use accelerator_tests::Outcome;
use burn::{prelude::*, tensor::Distribution};
use stormfire::{
    metrics::{
        Metric,
        classification::{Average, CalibrationNorm, Multiclass},
    },
    module::media::{self, Layout},
};

use super::largest;

pub(super) fn check(device: &Device) -> Outcome<String> {
    let cpu = Device::flex();
    cpu.seed(3);
    let pixels = Tensor::<4>::random([3, 3, 5, 7], Distribution::Uniform(-0.2, 1.2), &cpu);
    let logits = Tensor::<2>::random([64, 5], Distribution::Normal(0.0, 1.0), &cpu);
    let targets = Tensor::<1>::random([64], Distribution::Uniform(0.0, 5.0), &cpu).int();
    let there = Tensor::<4>::from_data(pixels.to_data(), device);
    let equal = [
        ("images", media::images(pixels.clone(), Layout::ChannelsFirst)? == media::images(there.clone(), Layout::ChannelsFirst)?),
        ("grid", media::grid(pixels.clone(), Layout::ChannelsFirst)? == media::grid(there.clone(), Layout::ChannelsFirst)?),
        ("histogram", media::histogram(pixels.clone())? == media::histogram(there.clone())?),
        ("audio", media::audio(pixels.reshape([105, 3]), 8000)? == media::audio(there.reshape([105, 3]), 8000)?),
    ];
    if let Some((what, _)) = equal.iter().find(|(_, equal)| !equal) {
        return Err(format!("the {what} of the same numbers differs").into());
    }
    let moved = (Tensor::from_data(logits.to_data(), device), Tensor::<1, Int>::from_data(targets.to_data(), device));
    let (expected, actual) = (metrics(&logits, &targets)?, metrics(&moved.0, &moved.1)?);
    if largest(expected.iter().zip(&actual).map(|(expected, actual)| (expected - actual).abs())) >= 1e-5 {
        return Err(format!("metrics of the same numbers: {expected:?} and {actual:?}").into());
    }
    Ok(format!("equal, metrics {actual:.4?}"))
}

fn metrics(logits: &Tensor<2>, targets: &Tensor<1, Int>) -> Outcome<[f64; 4]> {
    let batch = Multiclass::from_logits(logits, targets)?;
    let counts = batch.counts();
    Ok([
        counts.accuracy().read()?,
        counts.f1().average(Average::Macro).read()?,
        batch.curves(50)?.auroc().read()?,
        batch.calibration(10)?.error(CalibrationNorm::L1).read()?,
    ])
}
