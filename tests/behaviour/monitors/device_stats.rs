//! Statistics of the machine.

use insta::assert_snapshot;
use stormfire::{loggers::Call, prelude::*};

use super::{Descent, MemoryLogger, line_data, logged, with};
use crate::{error_text::error_text, support::quiet};

/// A number from a Linux file in bytes, such as `VmRSS:   1234 kB`.
#[cfg(target_os = "linux")]
pub(super) fn kernel(file: &str, field: &str) -> f64 {
    let text = std::fs::read_to_string(file).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
}

#[test]
#[cfg(target_os = "linux")]
fn the_statistics_equal_those_of_the_kernel() {
    let logger = MemoryLogger::new();
    let data = (line_data(4, 1), line_data(2, 1));
    drop(with(DeviceStatsMonitor::new(), &logger).log_every_n_steps(2).max_epochs(1).fit(Descent::new(), data).unwrap());
    let rss = logged(&logger, "DeviceStatsMonitor.on_train_batch_start/process_rss_bytes");
    assert_eq!(rss.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [1, 3]);
    let now = kernel("/proc/self/status", "VmRSS");
    assert!(rss.iter().all(|(_, rss)| (now / 4.0..now * 4.0).contains(rss)), "{rss:?}, now {now}");
    let memory = logged(&logger, "DeviceStatsMonitor.on_validation_end/cpu_vm_percent");
    let (total, available) = (kernel("/proc/meminfo", "MemTotal"), kernel("/proc/meminfo", "MemAvailable"));
    let now = (total - available) / total * 100.0;
    assert!(memory.len() == 1 && (memory[0].1 - now).abs() < 30.0, "{memory:?}, now {now}");
}

#[test]
fn a_system_logger_gets_every_sample() {
    let logger = MemoryLogger::new();
    let data = (line_data(4, 1), line_data(2, 1));
    drop(with(DeviceStatsMonitor::new(), &logger).log_every_n_steps(2).max_epochs(1).fit(Descent::new(), data).unwrap());
    let samples = logger.calls().into_iter().filter_map(|call| if let Call::System(sample) = call { Some(sample) } else { None });
    let samples: Vec<_> = samples.collect();
    assert_eq!(samples.len(), 3, "two logging steps and a validation");
    assert!(samples.iter().all(|sample| sample.contains("cpu_vm_percent")), "{samples:?}");
}

#[test]
fn disabled_statistics_are_not_logged() {
    let logger = MemoryLogger::new();
    drop(with(DeviceStatsMonitor::new().cpu_stats(false).gpus([]), &logger).max_epochs(1).fit(Descent::new(), line_data(2, 1)).unwrap());
    let names: Vec<_> = logger.rows().into_iter().map(|(name, ..)| name).filter(|name| name.starts_with("DeviceStats")).collect();
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn a_monitor_without_a_logger_is_refused() {
    assert_snapshot!(error_text(quiet().max_epochs(1).callback(DeviceStatsMonitor::new()).fit(Descent::new(), line_data(2, 1))), @"
    `logger`: `DeviceStatsMonitor` needs a logger, and this run has none (in `setup` of `DeviceStatsMonitor`)
      hint: add one, or leave the callback out
    ");
    // A rehearsal has none.
    drop(quiet().fast_dev_run(1).callback(DeviceStatsMonitor::new()).fit(Descent::new(), line_data(2, 1)).unwrap());
}
