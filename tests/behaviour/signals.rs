//! Ctrl-C, SIGTERM and `kill -9`, in a child process.
#![cfg(unix)]

use std::{
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::sleep,
    time::Duration,
};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use stormfire::{
    RequeueSignal,
    checkpoint::Checkpoint,
    loggers::{Hyperparams, Metrics, Result as LoggerResult, RunDir, Status},
    prelude::*,
};

use crate::{
    child::{Running, folder, part, part_under, play},
    files::{names, read_csv, read_csv_of_the_killed, read_events, read_events_of_the_killed, session_ended, steps_of},
    rig::{Logging, Watched, Witness, checkpoint_of, logging, resumes_from, run_of, step_of},
    support::{line_data, quiet},
};

/// Records the end of a run.
pub(crate) struct StatusFile(PathBuf);

impl StatusFile {
    pub(crate) fn new(folder: &Path) -> Self {
        Self(folder.into())
    }
}

impl Logger for StatusFile {
    fn name(&self) -> &'static str {
        "status"
    }

    fn version(&self) -> String {
        "0".into()
    }

    fn log_metrics(&mut self, _metrics: &Metrics, _step: Option<u64>) -> LoggerResult<()> {
        Ok(())
    }

    fn log_hyperparams(&mut self, _params: &Hyperparams, _initial_metrics: &Metrics) -> LoggerResult<()> {
        Ok(())
    }

    fn finalize(&mut self, status: Status) -> LoggerResult<()> {
        Ok(std::fs::write(self.0.join("status"), format!("{status:?}"))?)
    }
}

/// A Trainer without a limit, which logs below the folder.
pub(crate) fn endless(folder: &Path) -> Trainer<Logging> {
    let dir = RunDir::new(folder).with_name("lightning_logs");
    let loggers = logging(folder).logger(TensorBoardLogger::in_dir(dir.clone())).logger(CsvLogger::in_dir(dir));
    loggers.logger(StatusFile(folder.into())).max_epochs(usize::MAX)
}

/// Sends a signal to this thread. The signal has arrived when the function returns, unlike a signal to the process.
pub(crate) fn kill_self(name: &str) {
    let signals = [("INT", SIGINT), ("TERM", SIGTERM), ("USR1", SIGUSR1), ("USR2", SIGUSR2), ("HUP", SIGHUP)];
    let number = signals.iter().find(|(known, _)| *known == name).unwrap().1;
    signal_hook::low_level::raise(number).unwrap();
}

/// Helper test for a child process. Trains until a signal arrives, and ends with its exit code.
#[test]
#[ignore = "the process that others send signals to"]
fn trains() {
    let Some(folder) = folder() else { return };
    Logging::in_step(|_| sleep(Duration::from_millis(1)));
    let witness = Witness::default();
    let mut trainer = endless(&folder).callback(witness.clone());
    let data = Watched { train: line_data(200, 2), witness: witness.clone() };
    let fit = trainer.fit(Logging::new(), data).unwrap();
    // The Trainer refuses to run again, with an error.
    let again = trainer.test(&fit.module, line_data(8, 2)).unwrap_err();
    let seen = witness.seen().join("\n");
    std::fs::write(folder.join("end"), format!("{}\n{again}\n{seen}", fit.stop)).unwrap();
    std::process::exit(fit.stop.exit_code().into());
}

/// Helper test for a child process. Trains to the end or until a signal arrives, and resumes from the checkpoint of the
/// signal.
#[test]
#[ignore = "the process that others send signals to"]
fn saves_when_interrupted() {
    let Some(folder) = folder() else { return };
    if folder.join("slow").exists() {
        Logging::in_step(|_| sleep(Duration::from_millis(2)));
    }
    let saving = ModelCheckpoint::new().every(Every::Epochs(100)).save_on_exception(true);
    let trainer = Trainer::new().default_root_dir(&folder).max_epochs(2).seed(3).log_every_n_steps(1).ckpt_path("last").callback(saving);
    let mut trainer = trainer.enable_progress_bar(false).enable_model_summary(false);
    let fit = trainer.fit(Logging::new(), line_data(300, 2).shuffle(true)).unwrap();
    if !fit.stop.is_interrupted() {
        trainer.save_checkpoint(&fit.module, folder.join("end.ckpt")).unwrap();
    }
    std::process::exit(fit.stop.exit_code().into());
}

#[test]
fn a_fit_saved_by_a_signal_resumes_like_an_uninterrupted_one() {
    let [whole, broken] = [0; 2].map(|_| tempfile::tempdir().unwrap());
    let run = |folder: &Path| Running::start(part("signals::saves_when_interrupted", folder)).wait().code();
    assert_eq!(run(whole.path()), Some(0));
    let slow = broken.path().join("slow");
    std::fs::write(&slow, "").unwrap();
    let mut interrupted = 0;
    for signal in ["INT", "TERM", "INT"] {
        let logged = || std::fs::read_to_string(run_of(broken.path()).join("metrics.csv")).map_or(0, |table| table.lines().count());
        let before = logged();
        let mut running = Running::start(part("signals::saves_when_interrupted", broken.path()));
        running.wait_until("the next logged steps", || logged() > before + 5);
        running.signal(signal);
        assert_eq!(running.wait().code(), Some(if signal == "INT" { 130 } else { 143 }));
        interrupted += 1;
        // The newer checkpoint replaces the older one.
        assert_eq!(names(&run_of(broken.path()).join("checkpoints")).len(), 1);
    }
    std::fs::remove_file(slow).unwrap();
    assert_eq!(run(broken.path()), Some(0));
    let end = |folder: &Path| Checkpoint::read(folder.join("end.ckpt")).unwrap();
    let [whole_end, broken_end] = [whole.path(), broken.path()].map(end);
    assert_eq!(broken_end.manifest().progress, whole_end.manifest().progress);
    assert_eq!(broken_end.into_parts().1, whole_end.into_parts().1);
    let [mut continued, uninterrupted] = [broken.path(), whole.path()].map(|folder| read_csv(&run_of(folder)));
    // `on_exception` logged a row before the checkpoint.
    assert_eq!(continued.column("at_the_end").len(), interrupted);
    let extra = continued.columns.iter().position(|column| column == "at_the_end").unwrap();
    continued.columns.remove(extra);
    for row in &mut continued.rows {
        row.remove(extra);
    }
    assert_eq!(continued.columns, uninterrupted.columns);
    assert_eq!(continued.column("train_loss"), uninterrupted.column("train_loss"));
}

/// Helper test for a child process. Hangs in its 20th step.
#[test]
#[ignore = "the process that others send signals to"]
fn hangs() {
    let Some(work_in) = folder() else { return };
    Logging::in_step(|step| {
        if step == 20 {
            std::fs::write(folder().unwrap().join("hangs"), "").unwrap();
            sleep(Duration::from_hours(1));
        }
    });
    let _ = endless(&work_in).fit(Logging::new(), line_data(200, 2));
}

/// Helper test for a child process. Sends itself a signal after the fit.
#[test]
#[ignore = "a part of `signals_have_their_default_effect_after_a_run`"]
fn outlives_its_fit() {
    let Some(folder) = folder() else { return };
    let mut trainer = quiet().max_epochs(1).requeue_signal(RequeueSignal::Usr1);
    let _ = trainer.fit(Logging::new(), line_data(8, 2)).unwrap();
    let _ = trainer.fit(Logging::new(), line_data(8, 2)).unwrap();
    std::fs::write(folder.join("fitted"), "").unwrap();
    kill_self(names(&folder)[0].as_str());
    sleep(Duration::from_mins(10));
}

/// Helper test for a child process. Installs handlers before the fit.
#[test]
#[ignore = "a part of `a_program_keeps_its_own_handlers`"]
fn has_its_own_handlers() {
    let Some(_) = folder() else { return };
    let handlers = [("INT", 2), ("TERM", 15)].map(|(name, number)| {
        let heard = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(number, Arc::clone(&heard)).unwrap();
        (name, heard)
    });
    for (name, heard) in handlers {
        let hears = |what: &str| {
            kill_self(name);
            assert!(heard.swap(false, Ordering::SeqCst), "{name} {what}");
        };
        hears("before the run");
        // Without its own handler, the second signal would end the program at once.
        Logging::in_step(match name {
            "INT" => |step| (0..if step == 2 { 3 } else { 0 }).for_each(|_| kill_self("INT")),
            _ => |step| (0..if step == 2 { 3 } else { 0 }).for_each(|_| kill_self("TERM")),
        });
        let fit = quiet().max_epochs(1).fit(Logging::new(), line_data(40, 2)).unwrap();
        assert!(fit.stop.is_interrupted(), "{name}: {}", fit.stop);
        assert_eq!(fit.progress.global_step, 3);
        assert!(heard.swap(false, Ordering::SeqCst), "{name} during the run");
        assert!(stormfire::forget_interrupt().is_some());
        hears("after the run");
    }
}

/// Helper test for a child process, which starts with SIGINT ignored.
#[test]
#[ignore = "a part of `an_ignored_signal_stays_ignored`"]
fn ignores_a_signal() {
    let Some(_) = folder() else { return };
    Logging::in_step(|_| kill_self("INT"));
    let fit = quiet().max_epochs(1).fit(Logging::new(), line_data(8, 2)).unwrap();
    assert_eq!((fit.stop, fit.progress.global_step), (Stop::MaxEpochs(1), 4));
    kill_self("INT");
}

/// Helper test for a child process. Sends itself a signal without a handler.
#[test]
#[ignore = "a part of `handle_signals_false_installs_no_handler`"]
fn leaves_signals_alone() {
    let Some(folder) = folder() else { return };
    Logging::in_step(|step| {
        if step == 2 {
            kill_self("INT");
        }
    });
    let _ = quiet().max_epochs(1).handle_signals(false).fit(Logging::new(), line_data(8, 2));
    std::fs::write(folder.join("fitted"), "").unwrap();
}

/// Starts a part and waits until the table on disk contains its first steps.
fn start(name: &str, folder: &Path) -> Running {
    let mut running = Running::start(part(name, folder));
    let table = run_of(folder).join("metrics.csv");
    running.wait_until("the first logged steps", || std::fs::read_to_string(&table).is_ok_and(|table| table.lines().count() > 12));
    running
}

#[test]
fn a_first_signal_ends_a_run_cleanly() {
    for (signal, code, name) in [("INT", 130, "Ctrl-C"), ("TERM", 143, "SIGTERM")] {
        let folder = tempfile::tempdir().unwrap();
        let mut running = start("signals::trains", folder.path());
        running.signal(signal);
        assert_eq!(running.wait().code(), Some(code), "{signal}");

        let said = format!("interrupted by {name}");
        let expected =
            format!("{said}\n{said} before this run started\nexception: {said}\ndata: exception\nteardown: fit\ndata: teardown: fit");
        assert_eq!(std::fs::read_to_string(folder.path().join("end")).unwrap(), expected);
        assert_eq!(std::fs::read_to_string(folder.path().join("status")).unwrap(), "Interrupted");
        let run = run_of(folder.path());
        let table = read_csv(&run);
        let logged = table.column("train_loss").len() as u64;
        // `on_exception` logged a last row.
        assert!(logged >= 11);
        assert_eq!(table.column("at_the_end").len(), 1);
        let events = read_events(&run);
        assert_eq!(steps_of(&events, "train_loss"), (0..logged).collect::<Vec<_>>());
        assert!(session_ended(&events));
        let checkpoint = checkpoint_of(&run);
        assert_eq!(step_of(checkpoint.to_str().unwrap()), logged - logged % 5, "the newest save point");
        resumes_from(&checkpoint);
    }
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let folder = tempfile::tempdir().unwrap();
        let mut running = Running::start(part("signals::hangs", folder.path()));
        running.wait_until("a step that never ends", || folder.path().join("hangs").exists());
        running.signal(signal);
        // The test can only check that the process has not ended yet.
        sleep(Duration::from_millis(300));
        assert!(running.try_wait().is_none(), "the first {signal} waits for the batch");
        // The kernel merges signals that arrive together, so they are repeated.
        let status = crate::child::wait_for("the end of the part", || {
            running.try_wait().or_else(|| {
                running.signal(signal);
                sleep(Duration::from_millis(20));
                None
            })
        });
        assert_eq!(status.code(), Some(code), "{signal}");
        assert!(!folder.path().join("status").exists(), "nothing was finalized");
        is_readable(&run_of(folder.path()), 1);
    }
}

/// Checks the files of a run that was not finalized.
#[track_caller]
fn is_readable(run: &Path, at_least: usize) {
    let steps = read_csv_of_the_killed(run).steps();
    assert!(steps.len() >= at_least, "{steps:?}");
    assert_eq!(steps, (0..steps.len() as u64).collect::<Vec<_>>());
    let events = steps_of(&read_events_of_the_killed(run), "train_loss");
    assert_eq!(events, (0..events.len() as u64).collect::<Vec<_>>());
    resumes_from(&checkpoint_of(run));
}

#[test]
fn a_kill_leaves_readable_files() {
    for _ in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let mut running = start("signals::trains", folder.path());
        running.signal("KILL");
        assert_eq!(running.wait().signal(), Some(9));
        assert!(!folder.path().join("end").exists());
        is_readable(&run_of(folder.path()), 11);
    }
}

#[test]
fn signals_have_their_default_effect_after_a_run() {
    for (name, number) in [("INT", 2), ("TERM", 15), ("USR1", signal_hook::consts::SIGUSR1)] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), "").unwrap();
        let mut running = Running::start(part("signals::outlives_its_fit", folder.path()));
        assert_eq!(running.wait().signal(), Some(number));
        assert!(folder.path().join("fitted").exists());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_program_keeps_its_own_handlers() {
    play(part("signals::has_its_own_handlers", tempfile::tempdir().unwrap().path()));
}

#[test]
#[cfg(target_os = "linux")]
fn an_ignored_signal_stays_ignored() {
    let folder = tempfile::tempdir().unwrap();
    play(part_under(&["sh"], r#"trap '' INT; exec "$@""#, "signals::ignores_a_signal", folder.path()));
}

#[test]
fn handle_signals_false_installs_no_handler() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = Running::start(part("signals::leaves_signals_alone", folder.path()));
    assert_eq!(running.wait().signal(), Some(2));
    assert!(!folder.path().join("fitted").exists());
}
