//! The memory of the process and of the device.

use insta::assert_snapshot;
use stormfire::prelude::*;

use super::{Descent, MemoryLogger, line_data, with};
#[cfg(target_os = "linux")]
use super::{device_stats::kernel, logged};
#[cfg(target_os = "linux")]
use crate::kept_state::SaveAt;
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

#[cfg(target_os = "linux")]
fn steps(logger: &MemoryLogger, name: &str) -> Vec<u64> {
    logged(logger, name).into_iter().map(|(step, _)| step).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn runs_at_the_same_time_log_their_own_steps_and_the_peak_of_the_process() {
    let fit = |logger: &MemoryLogger, epochs: usize| {
        let mut trainer = with(MemoryMonitor::new(), logger).log_every_n_steps(2).max_epochs(epochs);
        drop(trainer.fit(Descent::new(), line_data(4, 1)).unwrap());
    };
    let loggers = [MemoryLogger::new(), MemoryLogger::new()];
    std::thread::scope(|scope| {
        for (logger, epochs) in loggers.iter().zip([1, 2]) {
            scope.spawn(move || fit(logger, epochs));
        }
    });
    for name in ["MemoryMonitor/process_rss_bytes", "MemoryMonitor/process_peak_rss_bytes"] {
        assert_eq!(loggers.each_ref().map(|logger| steps(logger, name)), [vec![1, 3], vec![1, 3, 5, 7]], "{name}");
    }
    // A later run does not start with a new peak. The kernel counts pages of a thread with a delay.
    let later = MemoryLogger::new();
    fit(&later, 1);
    let peaks = |logger: &MemoryLogger| logged(logger, "MemoryMonitor/process_peak_rss_bytes").into_iter().map(|(_, peak)| peak);
    let before = loggers.iter().flat_map(peaks).fold(0.0, f64::max);
    assert!(peaks(&later).all(|peak| peak > 0.9 * before), "{:?}, before {before}", logged(&later, "MemoryMonitor/process_peak_rss_bytes"));
}

#[test]
#[cfg(target_os = "linux")]
fn a_resumed_run_logs_the_memory_at_the_steps_that_are_left() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, resumed] = [MemoryLogger::new(), MemoryLogger::new()];
    let trainer = |logger: &MemoryLogger| with(MemoryMonitor::new(), logger).log_every_n_steps(2).max_epochs(2);
    let data = || (line_data(4, 1), line_data(2, 1));
    drop(trainer(&whole).callback(SaveAt(vec![3], folder.path().into())).fit(Descent::new(), data()).unwrap());
    drop(trainer(&resumed).ckpt_path(folder.path().join("3.ckpt")).fit(Descent::new(), data()).unwrap());
    let both = |name| [steps(&whole, name), steps(&resumed, name)];
    assert_eq!(both("MemoryMonitor/process_rss_bytes"), [vec![1, 3, 5, 7], vec![3, 5, 7]]);
    let [of_whole, of_resumed] = both("MemoryMonitor.on_validation_end/process_rss_bytes");
    assert_eq!((of_whole.len(), of_whole), (2, of_resumed), "each epoch ends with a validation");
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
    `logger`: `MemoryMonitor` needs a logger, and this run has none (in `setup` of `MemoryMonitor`)
      hint: add one, or leave the callback out
    ");
}
