//! The memory of the device, as `MemoryMonitor` logs it.

use accelerator_tests::Outcome;
use burn::tensor::Device;
use stormfire::{loggers::MemoryLogger, prelude::*};

use super::net::{Net, batches};

pub(super) fn check(device: &Device) -> Outcome<String> {
    let logger = MemoryLogger::new();
    let trainer = Trainer::new().logger(logger.clone()).enable_checkpointing(false).enable_progress_bar(false);
    let trainer = trainer.enable_model_summary(false).accelerator(device.clone()).callback(MemoryMonitor::new());
    let _ = trainer.max_epochs(1).log_every_n_steps(2).fit(Net::new(), Loader::from_batches(batches(8, device)))?;
    let values_of = |name: &str| -> Vec<f64> {
        let rows = logger.rows().into_iter().filter(|(other, ..)| other == name);
        rows.map(|(_, bytes, _)| bytes).collect()
    };
    let (used, reserved) = (values_of("MemoryMonitor/device_in_use_bytes"), values_of("MemoryMonitor/device_reserved_bytes"));
    let expected = if device.memory_pool_usage().is_some() { 4 } else { 0 };
    let is_sound = used.iter().zip(&reserved).all(|(used, reserved)| *used > 0.0 && used <= reserved);
    if used.len() != expected || reserved.len() != expected || !is_sound {
        return Err(format!("{used:?} in use, {reserved:?} reserved").into());
    }
    Ok(match (used.last(), reserved.last()) {
        (Some(used), Some(reserved)) => format!("{used} bytes in use of {reserved}"),
        _ => "burn reports none".to_owned(),
    })
}
