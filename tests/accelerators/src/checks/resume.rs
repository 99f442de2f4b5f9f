//! A fit that continues from a checkpoint ends with the weights of one that was never interrupted.

use accelerator_tests::{Outcome, models::weights};
use burn::tensor::Device;
use stormfire::prelude::*;

use super::{
    distance,
    net::{Net, batches},
    supports,
};

/// The runs make the same kernels from the same numbers. Only sums in an order of the device may differ. In `16-mixed`,
/// the scale of the loss is part of the checkpoint.
pub(super) fn resumes(device: &Device, precision: Precision) -> Outcome<String> {
    if !supports(device, precision) {
        return Ok(format!("the device does not support `{precision}`"));
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("after-two.ckpt");
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
    let largest = distance(&whole, &resumed);
    if largest > 1e-6 || distance(&first, &whole) < 1e-4 {
        return Err(format!("the weights differ by up to {largest:.1e}").into());
    }
    Ok(format!("within {largest:.1e}"))
}
