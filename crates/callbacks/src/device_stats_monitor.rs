//! Logs the load of the machine.

mod gpu;
mod percent;
mod sampler;

use std::sync::{Arc, Mutex, PoisonError};

use stormfire_loggers::Metrics;
use stormfire_module::{Callback, Context, LightningModule, Result, RunningStage, Stage};

use self::sampler::Sampler;
use crate::to_loggers::log_later;

/// Logs the load of the processor, memory and NVIDIA GPUs.
///
/// | name, after `DeviceStatsMonitor.on_train_batch_start/` | value | unit |
/// |---|---|---|
/// | `cpu_percent` | load of all cores together | 0 to 100 |
/// | `cpu_vm_percent` | memory that is not available | % of the machine's memory |
/// | `cpu_swap_percent` | swap space in use; not logged without swap space | % of the machine's swap space |
/// | `process_cpu_percent` | load by this process | 100 for each core |
/// | `process_rss_bytes` | resident memory of this process | bytes |
/// | `process_peak_rss_bytes` | its largest value in this process (Linux) | bytes |
/// | `gpu_0_percent` | load of the GPU | 0 to 100 |
/// | `gpu_0_memory_percent`, `gpu_0_memory_bytes` | its memory in use, by all processes | % of its memory, bytes |
/// | `gpu_0_celsius`, `gpu_0_watts` | its temperature and power | °C, W |
///
/// The first three names are Lightning's. GPUs are read through NVIDIA's management library (NVML) and numbered like in
/// `nvidia-smi`, regardless of which GPUs this process sees. Without the library, and for values that a GPU does not
/// report, nothing is logged.
///
/// One sample is taken at each logging step (`log_every_n_steps`), on the thread of a logger, so that training never
/// waits for it. A second sample at the end of the batch would be the same, so none is taken. Each validation and test
/// logs one more sample at its end, under `DeviceStatsMonitor.on_validation_end/` and
/// `DeviceStatsMonitor.on_test_end/`. Logging steps less than 200 ms apart share a sample, because a load over a
/// shorter time is meaningless. W&B's system page gets the same samples. A sample arrives too late for the callbacks of
/// its step, so they cannot monitor it.
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
/// [`Error::Config`](stormfire_module::Error::Config) if a run starts without a logger.
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
    /// Logs processor, memory, and all GPUs that NVIDIA's library lists.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether to log processor and memory. Default `true`.
    pub fn cpu_stats(mut self, on: bool) -> Self {
        self.cpu = on;
        self
    }

    /// Logs only these GPUs, by their number in `nvidia-smi`. An empty list logs no GPU. Default: all.
    pub fn gpus(mut self, numbers: impl IntoIterator<Item = u32>) -> Self {
        self.gpus = Some(numbers.into_iter().collect());
        self
    }

    fn start(&self) {
        let mut sampler = self.sampler.lock().unwrap_or_else(PoisonError::into_inner);
        sampler.get_or_insert_with(|| Sampler::new(self.cpu, self.gpus.clone()));
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
    fn rank_zero_only(&self) -> bool {
        true
    }

    fn needs_logger(&self, stage: Stage) -> bool {
        stage != Stage::Predict
    }

    fn on_train_start(&mut self, _ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.start();
        Ok(())
    }

    fn on_train_batch_start(&mut self, ctx: &mut Context<'_>, _module: &mut M, _batch: &M::Batch, _batch_idx: usize) -> Result<()> {
        if ctx.run().place.logs_this_step { self.log(ctx, "on_train_batch_start") } else { Ok(()) }
    }

    fn on_validation_start(&mut self, _ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.start();
        Ok(())
    }

    fn on_validation_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.log(ctx, "on_validation_end")
    }

    fn on_test_start(&mut self, _ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.start();
        Ok(())
    }

    fn on_test_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.log(ctx, "on_test_end")
    }
}
