//! Sums are exact for each type that the device computes in.

use burn::tensor::{Device, FloatDType, Int, IntDType, Tensor};
use stormfire::{
    loggers::MemoryLogger,
    metrics::{accuracy, aggregation::Sum, top_k_accuracy},
    prelude::*,
    values::{Scalar, read::read},
};

use super::probe::{Probe, lines, on_device, trainer};
use crate::{child, support::line_data};

#[test]
fn counts_are_exact_on_a_bf16_device() {
    let folder = tempfile::tempdir().unwrap();
    child::play(child::part("logging::digits::of_bf16", folder.path()));
}

/// Helper test for a child process, because the type of a device is set once per process.
#[test]
#[ignore = "a part of `counts_are_exact_on_a_bf16_device`"]
fn of_bf16() {
    if child::folder().is_none() {
        return;
    }
    let mut device = Device::flex();
    device.configure((FloatDType::BF16, IntDType::I32)).unwrap();
    let ones = |items: i32| Tensor::<1, Int>::ones([items as usize], &Device::flex());
    let probe = Probe::new(move |hook| match hook {
        Hook::TrainingStep | Hook::ValidationStep => {
            let logits = Tensor::<2>::from_floats([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]], &Device::flex());
            let device = |value: f64| on_device(value);
            let everywhere = |entry: stormfire::module::log::Entry| drop(entry.on_step(false).on_epoch(true));
            everywhere(log("accuracy", accuracy(&logits, &ones(3))));
            everywhere(log("top", top_k_accuracy(&logits, &ones(3), 1)));
            everywhere(log("sum", Sum::new(device(4.0))));
            everywhere(log("reduced", device(4.0)).reduce_fx(ReduceFx::Sum));
            everywhere(log("mean", device(4.0)));
            everywhere(log("count", ones(257).sum()));
            everywhere(log("custom", device(4.0)).reduce_fx(ReduceFx::Custom { name: "sum", reduce: |all| all.sum() }));
            everywhere(log("max", device(4.0)).reduce_fx(ReduceFx::Max));
        }
        _ => {}
    });
    let logger = MemoryLogger::new();
    let data = (line_data(1000, 1), line_data(1000, 1));
    let fit = trainer(&logger).log_every_n_steps(0).max_epochs(1).fit(probe, data).unwrap();
    let right = "accuracy=1 top=1 sum=4000 reduced=4000 mean=4 count=257 custom=4000 max=4 epoch=0";
    assert_eq!(lines(&logger), [format!("999: {right}"), format!("999: {right}")], "{:?}", fit.metrics);
    assert_eq!(read(&[Scalar::from(on_device(256.0)).plus(1.0.into())]).unwrap(), [257.0]);
}

#[test]
fn sums_are_exact_beyond_the_digits_of_f32() {
    let large = 16_777_216.0;
    let first = super::probe::counter();
    let probe = Probe::new(move |hook| {
        if hook == Hook::TrainingStep {
            let value = if first() == 1 { large } else { 1.0 };
            let epoch = |entry: stormfire::module::log::Entry| drop(entry.on_step(false).on_epoch(true));
            epoch(log("reduced", on_device(value)).reduce_fx(ReduceFx::Sum));
            epoch(log("sum", Sum::new(on_device(value))));
            epoch(log("mean", on_device(value)));
            epoch(log("host", value).reduce_fx(ReduceFx::Sum));
            epoch(log("count", Tensor::<1, Int>::from_ints([16_777_217], &Device::flex())).reduce_fx(ReduceFx::Max));
        }
    });
    let logger = MemoryLogger::new();
    drop(trainer(&logger).max_epochs(1).fit(probe, line_data(2, 1)).unwrap());
    assert_eq!(lines(&logger), ["1: reduced=16777217 sum=16777217 mean=8388608.5 host=16777217 count=16777217 epoch=0"]);
}
