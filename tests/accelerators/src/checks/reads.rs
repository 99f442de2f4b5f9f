//! How often a training reads from the device.

use accelerator_tests::Outcome;
use burn::tensor::Device;
use stormfire::{loggers::MemoryLogger, prelude::*, values::read::device_reads};

use super::{
    net::{Net, batches},
    supports,
};

/// Two reads for the loggers, one for the end of the epoch, one for what the fit returns.
const MOST: u64 = 4;

pub(super) fn check(device: &Device) -> Outcome<String> {
    let full = reads(device, Precision::F32True)?;
    if !supports(device, Precision::Bf16Mixed) {
        return Ok(full.to_string());
    }
    Ok(format!("{full}; {} in `bf16-mixed`", reads(device, Precision::Bf16Mixed)?))
}

fn reads(device: &Device, precision: Precision) -> Outcome<u64> {
    let batches = batches(4, device);
    let loader = Loader::from_batches((0..100).map(|index| batches[index % 4].clone()).collect());
    let trainer = Trainer::new().logger(MemoryLogger::new()).enable_checkpointing(false).enable_progress_bar(false);
    let trainer = trainer.enable_model_summary(false).accelerator(device.clone()).precision(precision);
    let before = device_reads();
    let _ = trainer.max_epochs(1).log_every_n_steps(50).fit(Net::new(), loader)?;
    let reads = device_reads() - before;
    if reads > MOST { Err(format!("{reads} in `{precision}`, at most {MOST} are expected").into()) } else { Ok(reads) }
}
