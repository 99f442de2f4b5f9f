//! The memory of the process and of the device.

use insta::assert_snapshot;
use stormfire::prelude::*;

use super::{Descent, MemoryLogger, line_data, with};
#[cfg(target_os = "linux")]
use super::{device_stats::kernel, logged};
use crate::{error_text::error_text, support::quiet};

#[test]
#[cfg(target_os = "linux")]
fn the_memory_of_the_process_equals_that_of_the_kernel() {
    let logger = MemoryLogger::new();
    let mut trainer = with(MemoryMonitor::new(), &logger).log_every_n_steps(2).max_epochs(1);
    let fit = trainer.fit(Descent::new(), (line_data(4, 1), line_data(2, 1))).unwrap();
    trainer.test(&fit.module, line_data(2, 1)).unwrap();
    let rss = logged(&logger, "MemoryMonitor/process_rss_bytes");
    let peak = logged(&logger, "MemoryMonitor/process_peak_rss_bytes");
    assert_eq!(rss.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [1, 3]);
    let now = kernel("/proc/self/status", "VmRSS");
    assert!(rss.iter().all(|(_, rss)| (now / 4.0..now * 4.0).contains(rss)), "{rss:?}, now {now}");
    let now = kernel("/proc/self/status", "VmHWM");
    assert!(peak.len() == 2 && peak.iter().all(|(_, peak)| (now / 4.0..now * 4.0).contains(peak)), "{peak:?}, now {now}");
    for stage in ["validation", "test"] {
        let at_end = logged(&logger, &format!("MemoryMonitor.on_{stage}_end/process_rss_bytes"));
        assert_eq!(at_end.len(), 1, "{stage}: the sanity check logs nothing");
    }
}

/// burn has no pool on the CPU.
#[test]
fn a_device_without_a_pool_has_no_values() {
    let logger = MemoryLogger::new();
    drop(with(MemoryMonitor::new(), &logger).max_epochs(1).fit(Descent::new(), line_data(2, 1)).unwrap());
    let names: Vec<_> = logger.rows().into_iter().map(|(name, ..)| name).filter(|name| name.contains("device")).collect();
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn a_monitor_without_a_logger_is_refused() {
    assert_snapshot!(error_text(quiet().max_epochs(1).callback(MemoryMonitor::new()).fit(Descent::new(), line_data(2, 1))), @"
    `MemoryMonitor`: there is no logger to log to (in `on_train_start` of `MemoryMonitor`)
      hint: add one, or leave this callback out
    ");
}
