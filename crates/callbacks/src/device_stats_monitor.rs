//! What the machine is doing, for the loggers.

mod gpu;
mod percent;
mod sampler;

use std::sync::{Arc, Mutex, PoisonError};

use stormfire_loggers::Metrics;
use stormfire_module::{Callback, Context, LightningModule, Result, RunningStage};

use self::sampler::Sampler;
use crate::to_loggers::{log_later, needs_logger};

/// Logs how busy processor, memory and NVIDIA GPUs are.
///
/// | name, after `DeviceStatsMonitor.on_train_batch_start/` | what | unit |
/// |---|---|---|
/// | `cpu_percent` | how busy all cores together are | 0 to 100 |
/// | `cpu_vm_percent` | memory that is not available | % of the machine's |
/// | `cpu_swap_percent` | swap space in use; left out where there is none | % of the machine's |
/// | `process_cpu_percent` | how busy this process keeps the cores | 100 for each core |
/// | `process_rss_bytes` | memory of this process that is resident | bytes |
/// | `gpu_0_percent` | how busy the GPU was | 0 to 100 |
/// | `gpu_0_memory_percent`, `gpu_0_memory_bytes` | its memory in use, by all processes | % of its own, bytes |
/// | `gpu_0_celsius`, `gpu_0_watts` | its temperature and power | °C, W |
///
/// The first three names are Lightning's. GPUs are asked through NVIDIA's management library (NVML), numbered as `nvidia-smi`
/// does, whatever this process sees of them; without the library, or for what a GPU does not tell, nothing is logged.
///
/// One sample is taken at each logging step (`log_every_n_steps`), on the thread of a logger, so that training never waits for
/// it. So there is none for the end of a batch, which would be the same. Each validation and test logs one more at its end,
/// under `DeviceStatsMonitor.on_validation_end/` and `DeviceStatsMonitor.on_test_end/`. Logging steps that are less than 200 ms
/// apart share a sample, since the load of a shorter time means nothing. W&B's page of the system gets the same samples. A
/// sample is there too late for the callbacks of its step: it cannot be monitored.
///
/// ```
/// use stormfire_callbacks::DeviceStatsMonitor;
///
/// let everything = DeviceStatsMonitor::new();
/// let one_gpu = DeviceStatsMonitor::new().cpu_stats(false).gpus([0]);
/// # let _ = (everything, one_gpu);
/// ```
///
/// # Errors
/// [`Error::Config`](stormfire_module::Error::Config) when a run begins without a logger.
#[derive(Clone, Debug)]
pub struct DeviceStatsMonitor {
    cpu: bool,
    gpus: Option<Vec<u32>>,
    sampler: Arc<Mutex<Option<Sampler>>>,
}

impl Default for DeviceStatsMonitor {
    fn default() -> Self {
        Self { cpu: true, gpus: None, sampler: Arc::default() }
    }
}

impl DeviceStatsMonitor {
    /// Processor, memory, and all GPUs that NVIDIA's library knows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether to log processor and memory. Default `true`.
    pub fn cpu_stats(mut self, on: bool) -> Self {
        self.cpu = on;
        self
    }

    /// Only these GPUs, by their number in `nvidia-smi`; an empty list is none. Default: all.
    pub fn gpus(mut self, numbers: impl IntoIterator<Item = u32>) -> Self {
        self.gpus = Some(numbers.into_iter().collect());
        self
    }

    fn start(&self, ctx: &mut Context<'_>) -> Result<()> {
        needs_logger("DeviceStatsMonitor", ctx)?;
        let mut sampler = self.sampler.lock().unwrap_or_else(PoisonError::into_inner);
        sampler.get_or_insert_with(|| Sampler::new(self.cpu, self.gpus.clone()));
        Ok(())
    }

    fn log(&self, ctx: &mut Context<'_>, hook: &'static str) -> Result<()> {
        if ctx.loggers().is_empty() || ctx.running() == RunningStage::SanityCheck {
            return Ok(());
        }
        let sampler = Arc::clone(&self.sampler);
        let sample = move || {
            let mut sampler = sampler.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(sampler.as_mut().map(Sampler::sample).unwrap_or_default())
        };
        log_later(ctx, sample, move |logger, stats, step| {
            if stats.is_empty() {
                return Ok(());
            }
            let named = |(name, value)| (format!("DeviceStatsMonitor.{hook}/{name}"), value);
            logger.log_metrics(&stats.iter().map(named).collect::<Metrics>(), step)?;
            logger.log_system(stats)
        })
    }
}

impl<M: LightningModule> Callback<M> for DeviceStatsMonitor {
    fn on_train_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.start(ctx)
    }

    fn on_train_batch_start(&mut self, ctx: &mut Context<'_>, _module: &mut M, _batch: &M::Batch, _batch_idx: usize) -> Result<()> {
        if ctx.run().place.logs_this_step { self.log(ctx, "on_train_batch_start") } else { Ok(()) }
    }

    fn on_validation_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.start(ctx)
    }

    fn on_validation_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.log(ctx, "on_validation_end")
    }

    fn on_test_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.start(ctx)
    }

    fn on_test_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.log(ctx, "on_test_end")
    }
}
