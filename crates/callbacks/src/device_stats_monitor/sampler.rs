//! Reads values from the operating system, on any thread.

use std::time::{Duration, Instant};

use stormfire_loggers::Metrics;
use sysinfo::{MINIMUM_CPU_UPDATE_INTERVAL, Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::gpu::Gpus;
use super::percent::percent;
use crate::process_memory;

/// The load since the last sample, and the current value of everything else.
#[derive(Debug)]
pub(super) struct Sampler {
    cpu: Option<Cpu>,
    gpus: GpusWhenAsked,
    taken: Option<(Instant, Metrics)>,
}

/// NVIDIA's library starts slowly, so the first sample starts it, not the training thread.
#[derive(Debug)]
enum GpusWhenAsked {
    NotYet(Option<Vec<u32>>),
    Known(Option<Gpus>),
}

impl Sampler {
    /// Starts the load measurement of the first sample.
    pub(super) fn new(cpu: bool, gpus: Option<Vec<u32>>) -> Self {
        Self { cpu: cpu.then(Cpu::new), gpus: GpusWhenAsked::NotYet(gpus), taken: None }
    }

    /// Returns a sample. A recent sample is returned again.
    pub(super) fn sample(&mut self) -> Metrics {
        self.sample_after(MINIMUM_CPU_UPDATE_INTERVAL)
    }

    fn sample_after(&mut self, least: Duration) -> Metrics {
        if let Some((at, metrics)) = &self.taken
            && at.elapsed() < least
        {
            return metrics.clone();
        }
        let mut metrics = Metrics::new();
        if let Some(cpu) = &mut self.cpu {
            cpu.sample(&mut metrics);
        }
        if let GpusWhenAsked::NotYet(wanted) = &mut self.gpus {
            self.gpus = GpusWhenAsked::Known(Gpus::open(wanted.take()));
        }
        if let GpusWhenAsked::Known(Some(gpus)) = &self.gpus {
            gpus.sample(&mut metrics);
        }
        self.taken = Some((Instant::now(), metrics.clone()));
        metrics
    }
}

#[derive(Debug)]
struct Cpu {
    system: System,
    own: Option<Pid>,
    refreshed: Instant,
    /// The load of the machine and of this process, once there was time to measure it.
    load: Option<(f64, Option<f64>)>,
}

impl Cpu {
    fn new() -> Self {
        let mut cpu = Self { system: System::new(), own: sysinfo::get_current_pid().ok(), refreshed: Instant::now(), load: None };
        cpu.refresh();
        cpu
    }

    fn refresh(&mut self) {
        self.system.refresh_cpu_usage();
        self.refreshed = Instant::now();
        if let Some(own) = self.own {
            let what = ProcessRefreshKind::nothing().with_cpu().with_memory();
            self.system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), true, what);
        }
    }

    fn sample(&mut self, metrics: &mut Metrics) {
        // A load needs some time between two readings.
        if self.refreshed.elapsed() >= MINIMUM_CPU_UPDATE_INTERVAL {
            self.refresh();
            let own = self.own.and_then(|own| self.system.process(own)).map(|process| f64::from(process.cpu_usage()));
            self.load = Some((f64::from(self.system.global_cpu_usage()), own));
        }
        self.system.refresh_memory();
        let system = &self.system;
        metrics.extend(self.load.map(|(all, _)| ("cpu_percent", all)));
        let used = system.total_memory().saturating_sub(system.available_memory());
        metrics.extend(percent(used, system.total_memory()).map(|percent| ("cpu_vm_percent", percent)));
        metrics.extend(percent(system.used_swap(), system.total_swap()).map(|percent| ("cpu_swap_percent", percent)));
        metrics.extend(self.load.and_then(|(_, own)| own).map(|own| ("process_cpu_percent", own)));
        let process = self.own.and_then(|own| system.process(own));
        metrics.extend(process.map(|process| ("process_rss_bytes", process.memory() as f64)));
        metrics.extend(process_memory::peak().map(|bytes| ("process_peak_rss_bytes", bytes)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_shared_until_it_is_old() {
        let mut sampler = Sampler::new(true, Some(Vec::new()));
        let first = sampler.sample_after(Duration::MAX);
        assert!(first.get("process_rss_bytes").unwrap() > 0.0);
        if cfg!(target_os = "linux") {
            assert!(first.get("process_peak_rss_bytes").unwrap() >= 0.5 * first.get("process_rss_bytes").unwrap(), "{first:?}");
        }
        sampler.taken = sampler.taken.map(|(at, _)| (at, [("old", 1.0)].into()));
        assert_eq!(sampler.sample_after(Duration::MAX), [("old", 1.0)].into());
        assert!(sampler.sample_after(Duration::ZERO).contains("cpu_vm_percent"));
    }

    #[test]
    fn a_load_is_measured_over_some_time() {
        let mut cpu = Cpu::new();
        let mut metrics = Metrics::new();
        // As if no time had passed, and then as if enough had.
        cpu.refreshed = Instant::now() + Duration::from_mins(1);
        cpu.sample(&mut metrics);
        assert_eq!((metrics.get("cpu_percent"), metrics.get("process_cpu_percent")), (None, None));
        std::thread::sleep(MINIMUM_CPU_UPDATE_INTERVAL * 2);
        cpu.refreshed = Instant::now().checked_sub(MINIMUM_CPU_UPDATE_INTERVAL).unwrap();
        cpu.sample(&mut metrics);
        assert!((0.0..=100.0).contains(&metrics.get("cpu_percent").unwrap()), "{metrics:?}");
        assert!(metrics.get("process_cpu_percent").unwrap() >= 0.0);
    }
}
