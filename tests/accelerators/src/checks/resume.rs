//! A fit that continues from a checkpoint ends with the weights of one that was never interrupted.

use accelerator_tests::{Outcome, models::weights};
use burn::{prelude::*, tensor::FloatDType};
use stormfire::prelude::*;

use super::{
    largest,
    net::{Net, batches},
};

pub(super) fn in_f32(device: &Device) -> Outcome<String> {
    resumes(device, Precision::F32True)
}

pub(super) fn in_bf16(device: &Device) -> Outcome<String> {
    if device.supports_dtype(FloatDType::BF16) { resumes(device, Precision::Bf16Mixed) } else { Ok("the device has no `bf16`".into()) }
}

/// The scale of the loss is part of the checkpoint.
pub(super) fn in_f16(device: &Device) -> Outcome<String> {
    if device.supports_dtype(FloatDType::F16) { resumes(device, Precision::F16Mixed) } else { Ok("the device has no `f16`".into()) }
}

/// The runs make the same kernels from the same numbers. Only sums in an order of the device may differ.
fn resumes(device: &Device, precision: Precision) -> Outcome<String> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("after-three.ckpt");
    let (module, data) = (Net::new(), || Loader::from_batches(batches(6, device)));
    let quiet = |steps: u64| {
        let trainer = Trainer::new().no_logger().enable_checkpointing(false).enable_progress_bar(false).enable_model_summary(false);
        trainer.accelerator(device.clone()).precision(precision).max_epochs(1).max_steps(steps)
    };
    let whole = quiet(5).fit(module.copy(), data())?;
    let mut trainer = quiet(2);
    let begun = trainer.fit(module.copy(), data())?;
    trainer.save_checkpoint(&begun.module, &path)?;
    let resumed = quiet(5).ckpt_path(path.as_path()).fit(module.copy(), data())?;
    let [first, whole, resumed] = [&module, &whole.module, &resumed.module].map(weights);
    let distance = |a: &[f32], b: &[f32]| largest(a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())));
    let largest = distance(&whole, &resumed);
    if whole.len() != resumed.len() || largest > 1e-6 || distance(&first, &whole) < 1e-4 {
        return Err(format!("the weights differ by up to {largest:.1e}").into());
    }
    Ok(format!("within {largest:.1e}"))
}
