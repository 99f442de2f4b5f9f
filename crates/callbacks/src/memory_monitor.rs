//! Logs the memory of this process and of the device.

use burn::tensor::{Device, MemoryPoolUsage};
use stormfire_loggers::Metrics;
use stormfire_module::{Callback, Context, LightningModule, Result, RunningStage, Stage, StepOutput};

use crate::{process_memory, to_loggers::log_later};

/// Logs the memory of this process, and what burn holds of the memory of the device.
///
/// | name, after `MemoryMonitor/` | value | unit |
/// |---|---|---|
/// | `process_rss_bytes` | resident memory of this process (Linux) | bytes |
/// | `process_peak_rss_bytes` | its largest value in this process (Linux) | bytes |
/// | `device_in_use_bytes` | memory of tensors and kernels that burn has on the device | bytes |
/// | `device_reserved_bytes` | memory that burn has taken from the driver, with pages that it keeps for reuse | bytes |
/// | `device_allocations` | live allocations on the device | count |
///
/// It logs at each logging step (`log_every_n_steps`). Each validation and test logs once more at its end, under
/// `MemoryMonitor.on_validation_end/` and `MemoryMonitor.on_test_end/`.
///
/// The last three values come from the pool of burn's allocator ([`Device::memory_pool_usage`]). Backends without a
/// pool, such as the CPU, report none. burn does not record a peak, but it rarely gives reserved memory back, so
/// `device_reserved_bytes` shows what the largest step has needed. `nvidia-smi` and `DeviceStatsMonitor` also count the
/// memory of the driver and of other processes.
///
/// The values are read on the thread of a logger, so the training waits for neither the device nor the operating
/// system. They are those of the moment of the reading: the training may be some steps ahead of the step number, and a
/// backend that fuses operations may not have allocated their results yet. They arrive too late for the callbacks of
/// their step, so these cannot monitor them. With several ranks, they are those of rank 0.
///
/// ```
/// use stormfire_callbacks::MemoryMonitor;
///
/// let monitor = MemoryMonitor::new();
/// # let _ = monitor;
/// ```
///
/// # Errors
/// [`Error::Config`](stormfire_module::Error::Config) if a run starts without a logger.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MemoryMonitor {}

impl MemoryMonitor {
    /// Logs the memory of this process and of the device.
    pub fn new() -> Self {
        Self::default()
    }

    fn log<M: LightningModule>(ctx: &mut Context<'_>, module: &M, prefix: &'static str) -> Result<()> {
        if ctx.loggers().is_empty() || ctx.running() == RunningStage::SanityCheck {
            return Ok(());
        }
        // The reading of a pool waits until the thread of the device has accepted all work before it.
        let device = module.devices().into_iter().next();
        let make = move || Ok(sample(prefix, device.as_ref()));
        log_later(ctx, make, |logger, values, step| {
            if values.is_empty() {
                return Ok(());
            }
            logger.log_metrics(values, step)
        })
    }
}

/// The values that this machine and this device report.
fn sample(prefix: &str, device: Option<&Device>) -> Metrics {
    let process = [("process_rss_bytes", process_memory::resident()), ("process_peak_rss_bytes", process_memory::peak())];
    let process = process.into_iter().filter_map(|(name, bytes)| Some((name, bytes?)));
    let pool = device.and_then(Device::memory_pool_usage).map(|usage| of_pool(&usage));
    process.chain(pool.into_iter().flatten()).map(|(name, value)| (format!("{prefix}/{name}"), value)).collect()
}

fn of_pool(usage: &MemoryPoolUsage) -> [(&'static str, f64); 3] {
    [
        ("device_in_use_bytes", usage.bytes_in_use as f64),
        ("device_reserved_bytes", usage.bytes_reserved as f64),
        ("device_allocations", usage.number_allocs as f64),
    ]
}

impl<M: LightningModule> Callback<M> for MemoryMonitor {
    fn rank_zero_only(&self) -> bool {
        true
    }

    fn needs_logger(&self, stage: Stage) -> bool {
        stage != Stage::Predict
    }

    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, module: &mut M, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        if ctx.run().place.logs_this_step { Self::log(ctx, module, "MemoryMonitor") } else { Ok(()) }
    }

    fn on_validation_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        Self::log(ctx, module, "MemoryMonitor.on_validation_end")
    }

    fn on_test_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        Self::log(ctx, module, "MemoryMonitor.on_test_end")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_reported_in_bytes() {
        let usage = MemoryPoolUsage { number_allocs: 3, bytes_in_use: 1000, bytes_padding: 24, bytes_reserved: 4096 };
        let expected = [("device_in_use_bytes", 1000.0), ("device_reserved_bytes", 4096.0), ("device_allocations", 3.0)];
        assert_eq!(of_pool(&usage), expected);
    }

    #[test]
    fn a_device_without_a_pool_reports_nothing() {
        let names = |values: Metrics| values.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>();
        let expected = if cfg!(target_os = "linux") { vec!["M/process_rss_bytes", "M/process_peak_rss_bytes"] } else { Vec::new() };
        assert_eq!(names(sample("M", Some(&Device::flex()))), expected);
        assert_eq!(names(sample("M", None)), expected);
    }
}
