//! NVIDIA GPUs, if their management library is installed.

use nvml_wrapper::{Device, Nvml, enum_wrappers::device::TemperatureSensor};
use stormfire_loggers::Metrics;

use super::percent::percent;

/// The GPUs to read.
#[derive(Debug)]
pub(super) struct Gpus {
    library: Box<Nvml>,
    numbers: Vec<u32>,
}

impl Gpus {
    /// `None` without a GPU, or without the library to read it.
    pub(super) fn open(wanted: Option<Vec<u32>>) -> Option<Self> {
        if wanted.as_ref().is_some_and(Vec::is_empty) {
            return None;
        }
        let opened = Nvml::init().and_then(|library| Ok((library.device_count()?, library)));
        match opened {
            Ok((count, library)) => {
                let numbers = wanted.unwrap_or_else(|| (0..count).collect());
                if let Some(number) = numbers.iter().find(|number| **number >= count) {
                    tracing::warn!("`DeviceStatsMonitor` should monitor GPU {number}, but there are only {count} GPUs");
                }
                Some(Self { library: Box::new(library), numbers: numbers.into_iter().filter(|number| *number < count).collect() })
            }
            Err(error) => {
                // Most machines have no GPU. Only a user who names one by its number expects it.
                if wanted.is_some() {
                    tracing::warn!("`DeviceStatsMonitor` cannot monitor GPUs: {error}");
                } else {
                    tracing::debug!("`DeviceStatsMonitor` found no NVIDIA GPU: {error}");
                }
                None
            }
        }
    }

    /// Adds the values that each GPU reports.
    pub(super) fn sample(&self, metrics: &mut Metrics) {
        for number in &self.numbers {
            if let Ok(device) = self.library.device_by_index(*number) {
                metrics.extend(told_by(&device).map(|(what, value)| (format!("gpu_{number}_{what}"), value)));
            }
        }
    }
}

/// Reading a value that a GPU does not support is cheap, so this does not remember it. A partition of a GPU supports
/// few values.
fn told_by(device: &Device<'_>) -> impl Iterator<Item = (&'static str, f64)> {
    let memory = device.memory_info().ok();
    [
        ("percent", device.utilization_rates().ok().map(|rates| f64::from(rates.gpu))),
        ("memory_percent", memory.as_ref().and_then(|memory| percent(memory.used, memory.total))),
        ("memory_bytes", memory.map(|memory| memory.used as f64)),
        ("celsius", device.temperature(TemperatureSensor::Gpu).ok().map(f64::from)),
        ("watts", device.power_usage().ok().map(|milliwatts| f64::from(milliwatts) / 1000.0)),
    ]
    .into_iter()
    .filter_map(|(what, value)| value.map(|value| (what, value)))
}
