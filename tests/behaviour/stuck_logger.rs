//! A logger that never returns does not block the end of a run after a signal.
#![cfg(unix)]

use std::{path::PathBuf, thread::sleep, time::Duration};

use stormfire::{
    loggers::{Hyperparams, Metrics, Result as LoggerResult, Status},
    prelude::*,
};

use crate::{
    child::{Running, folder, part},
    files::names,
    rig::{Logging, logging},
    support::line_data,
};

/// Hangs in one of its methods.
struct Stuck {
    in_call: String,
    folder: PathBuf,
}

impl Stuck {
    fn hang_in(&self, call: &str) {
        if self.in_call == call {
            std::fs::write(self.folder.join("hangs"), "").unwrap();
            sleep(Duration::from_hours(1));
        }
    }
}

impl Logger for Stuck {
    fn name(&self) -> &'static str {
        "stuck"
    }

    fn version(&self) -> String {
        "0".into()
    }

    fn longest_call(&self) -> Duration {
        Duration::from_millis(300)
    }

    fn log_metrics(&mut self, _metrics: &Metrics, step: Option<u64>) -> LoggerResult<()> {
        if step >= Some(20) {
            self.hang_in("log_metrics");
        }
        Ok(())
    }

    fn log_hyperparams(&mut self, _params: &Hyperparams, _initial_metrics: &Metrics) -> LoggerResult<()> {
        Ok(())
    }

    fn position(&mut self) -> LoggerResult<state::Value> {
        self.hang_in("position");
        Ok(state::Value::Null)
    }

    fn finalize(&mut self, _status: Status) -> LoggerResult<()> {
        self.hang_in("finalize");
        Ok(())
    }
}

/// Helper test for a child process. Trains with a hanging logger until a signal arrives.
#[test]
#[ignore = "a part of `a_signal_ends_a_run_even_if_a_logger_hangs`"]
fn trains() {
    let Some(work_in) = folder() else { return };
    let in_call = std::fs::read_to_string(work_in.join("call")).unwrap();
    Logging::in_step(|step| {
        if step > 20 {
            sleep(Duration::from_micros(200));
        }
    });
    let stuck = Stuck { in_call, folder: work_in.clone() };
    let status = crate::signals::StatusFile::new(&work_in);
    let mut trainer = logging(&work_in).logger(stuck).logger(status).max_epochs(usize::MAX);
    let fit = trainer.fit(Logging::new(), line_data(200, 2)).unwrap();
    drop(trainer);
    std::process::exit(fit.stop.exit_code().into());
}

#[test]
fn a_signal_ends_a_run_even_if_a_logger_hangs() {
    for call in ["log_metrics", "position", "finalize"] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("call"), call).unwrap();
        let mut running = Running::start(part("stuck_logger::trains", folder.path()));
        let hangs = || names(folder.path()).iter().any(|name| name == "hangs");
        let checkpoints = || folder.path().join("checkpoints").exists();
        running.wait_until("a call that never returns", || if call == "finalize" { checkpoints() } else { hangs() });
        // With this case, the queue of the logger is full and blocks the training.
        sleep(Duration::from_millis(if call == "log_metrics" { 1500 } else { 0 }));
        running.signal("TERM");
        assert_eq!(running.wait().code(), Some(143), "{call}");
        assert!(hangs(), "{call}");
        // The other loggers are finalized.
        assert_eq!(std::fs::read_to_string(folder.path().join("status")).unwrap(), "Interrupted", "{call}");
    }
}
