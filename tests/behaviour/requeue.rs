//! A SLURM job near its time limit saves a checkpoint, is requeued, and resumes. It runs in a child process, with a
//! fake `scontrol` that records its arguments.
#![cfg(target_os = "linux")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::Duration,
};

use insta::assert_snapshot;
use stormfire::{RequeueSignal, prelude::*};

use crate::{
    child::{Running, folder, part},
    files::names,
    rig::{Logging, run_of},
    signals::{endless, kill_self},
    support::{line_data, quiet},
    told::told,
};

/// Helper test for a child process. Trains until a signal arrives or `max_steps` is reached, and records its first step
/// and its end.
#[test]
#[ignore = "the process that others send signals to"]
fn trains() {
    let Some(work_in) = folder() else { return };
    Logging::in_step(|step| {
        let first = folder().unwrap().join("first");
        if !first.exists() {
            fs::write(first, step.to_string()).unwrap();
        }
        sleep(Duration::from_millis(1));
    });
    let mut trainer = endless(&work_in).enable_checkpointing(true);
    if let Ok(steps) = fs::read_to_string(work_in.join("max_steps")) {
        trainer = trainer.max_steps(steps.parse().unwrap());
    }
    if work_in.join("usr2").exists() {
        trainer = trainer.requeue_signal(RequeueSignal::Usr2);
    }
    let (end, code) = match trainer.fit(Logging::new(), line_data(2000, 2)) {
        Ok(fit) => (format!("{} after {}", fit.stop, fit.progress.global_step), fit.stop.exit_code()),
        Err(error) => (format!("{error:?}"), 1),
    };
    fs::write(work_in.join("end"), end).unwrap();
    std::process::exit(code.into());
}

/// The command of the helper as a job. Its path contains only a `scontrol` with this text.
fn job(name: &str, folder: &Path, scontrol: Option<&str>, id: Option<&str>) -> Command {
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).unwrap();
    if let Some(text) = scontrol {
        fs::write(bin.join("scontrol"), format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(bin.join("scontrol"), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = part(name, folder);
    for name in ["SLURM_JOB_ID", "SLURM_JOB_NAME", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"] {
        command.env_remove(name);
    }
    command.env("PATH", bin).envs(id.map(|id| ("SLURM_JOB_ID", id)));
    command
}

/// Starts a job, sends it a signal after its first logged steps, and returns its exit code and its recorded end.
fn interrupted(folder: &Path, scontrol: Option<&str>, id: Option<&str>, signal: &str) -> (Option<i32>, String) {
    let mut running = Running::start(job("requeue::trains", folder, scontrol, id));
    let table = run_of(folder).join("metrics.csv");
    running.wait_until("the first logged steps", || fs::read_to_string(&table).is_ok_and(|table| table.lines().count() > 5));
    running.signal(signal);
    let code = running.wait().code();
    (code, read(folder, "end"))
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

/// The requeue checkpoints in a folder.
fn saved(folder: &Path) -> Vec<String> {
    names(folder).into_iter().filter(|name| name.starts_with("requeue")).collect()
}

const TAKES_NOTES: &str = r#"echo "$@" >> "$STORMFIRE_TEST_PART_FOLDER/called""#;

#[test]
fn a_job_is_saved_requeued_and_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (code, end) = interrupted(folder, Some(TAKES_NOTES), Some("77"), "USR1");
    assert_eq!(code, Some(138), "{end}");
    let steps: u64 = end.strip_prefix("interrupted by SIGUSR1 after ").unwrap().parse().unwrap();
    assert_eq!(read(folder, "called"), "requeue 77\n");
    assert_eq!(read(folder, "status"), "Interrupted");
    assert_eq!(saved(folder), ["requeue-77.ckpt"]);

    // SLURM starts the job again. It resumes, and leaves no requeue checkpoint at its end.
    fs::remove_file(folder.join("first")).unwrap();
    fs::write(folder.join("max_steps"), (steps + 3).to_string()).unwrap();
    let code = Running::start(job("requeue::trains", folder, Some(TAKES_NOTES), Some("77"))).wait().code();
    assert_eq!((code, read(folder, "end")), (Some(0), format!("`max_steps = {0}` reached after {0}", steps + 3)));
    assert_eq!(read(folder, "first"), steps.to_string());
    assert_eq!((read(folder, "called").lines().count(), saved(folder).len()), (1, 0));
}

#[test]
fn a_scheduler_that_refuses_is_an_error_and_the_checkpoint_stays() {
    for (scontrol, reason) in [
        (Some("echo 'Requested operation is presently disabled' >&2; exit 1"), "exit status: 1: Requested operation is presently disabled"),
        (None, "No such file or directory (os error 2)"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let (code, end) = interrupted(folder, scontrol, Some("77"), "USR1");
        let file: PathBuf = folder.join("requeue-77.ckpt");
        let hint = format!("the fit is saved: submit the job again with `ckpt_path(\"{}\")`", file.display());
        assert_eq!(end, format!("`requeue_signal`: `scontrol requeue 77` failed: {reason}\n  hint: {hint}"));
        assert_eq!((code, read(folder, "status").as_str(), file.exists()), (Some(1), "Interrupted", true));
    }
}

#[test]
fn outside_of_a_job_the_signal_only_saves() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("usr2"), "").unwrap();
    let (code, end) = interrupted(folder.path(), Some(TAKES_NOTES), None, "USR2");
    assert_eq!(code, Some(140), "{end}");
    assert!(end.starts_with("interrupted by SIGUSR2 after "), "{end}");
    assert_eq!(saved(folder.path()), ["requeue.ckpt"]);
    assert!(!folder.path().join("called").exists());
}

/// An event in the middle of a fit, and the checkpoints that the fit can resume from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Inside {
    /// The signal arrives, and the callback starts another run, which is refused. The fit has saved every fifth step.
    Refused,
    /// As `Refused`, in a fit that keeps its state for failures.
    RefusedAndKept,
    /// As `Refused`, in a fit that has saved nothing.
    RefusedUnsaved,
    /// The signal arrives in an inner fit below the same folder, which ends normally.
    Ended,
}

const INSIDE: [Inside; 4] = [Inside::Refused, Inside::RefusedAndKept, Inside::RefusedUnsaved, Inside::Ended];

/// Helper test for a child process: at the end of the eighth batch, another run starts and a signal arrives.
#[test]
#[ignore = "the process that others send signals to"]
fn trains_with_another_run_inside() {
    let Some(work_in) = folder() else { return };
    let inside = INSIDE[fs::read_to_string(work_in.join("inside")).unwrap().parse::<usize>().unwrap()];
    let is_first = !work_in.join("called").exists();
    Logging::in_step(|step| {
        let first = folder().unwrap().join("first");
        if !first.exists() {
            fs::write(first, step.to_string()).unwrap();
        }
    });
    let root = work_in.clone();
    let another = LambdaCallback::new().on_train_batch_end(move |_, module: &mut Logging, _, batch_idx| {
        if batch_idx != 7 {
            return Ok(());
        }
        let inner = || quiet().default_root_dir(&root).max_epochs(1);
        if inside == Inside::Ended {
            let signal = LambdaCallback::new().on_train_batch_end(move |_, _: &mut Logging, _, batch_idx| {
                if is_first && batch_idx == 1 {
                    kill_self("USR1");
                }
                Ok(())
            });
            inner().callback(signal).fit(Logging::new(), line_data(8, 2)).map(drop)
        } else {
            if is_first {
                kill_self("USR1");
            }
            inner().fit(module.clone(), line_data(8, 2)).map(drop)
        }
    });
    let saving = ModelCheckpoint::new().every(Every::Steps(5)).save_on_exception(inside == Inside::RefusedAndKept);
    let trainer = Trainer::new().default_root_dir(&work_in).max_steps(12).enable_progress_bar(false).enable_model_summary(false);
    let trainer = trainer.callback(another);
    let mut trainer = if inside == Inside::RefusedUnsaved { trainer.enable_checkpointing(false) } else { trainer.callback(saving) };
    let mut end = None;
    let told = told(|| end = Some(trainer.fit(Logging::new(), line_data(2000, 2)).map(|fit| fit.stop)));
    let (end, code) = match end.unwrap() {
        Ok(stop) => (stop.to_string(), stop.exit_code()),
        Err(error) => (format!("{error:?}"), 1),
    };
    let told: Vec<_> = told.into_iter().filter(|line| line.contains("requeued")).collect();
    fs::write(work_in.join("end"), end).unwrap();
    fs::write(work_in.join("told"), told.join("\n")).unwrap();
    std::process::exit(code.into());
}

#[test]
fn a_signal_in_a_hook_requeues_the_job_from_the_last_complete_state() {
    for (index, inside) in INSIDE.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fs::write(folder.join("inside"), index.to_string()).unwrap();
        let job = || job("requeue::trains_with_another_run_inside", folder, Some(TAKES_NOTES), Some("77"));
        let run = || Running::start(job()).wait().code();
        assert_eq!(run(), Some(138), "{inside:?}: {}", read(folder, "end"));
        assert_eq!(read(folder, "end"), "interrupted by SIGUSR1", "{inside:?}");
        let expected = match inside {
            Inside::Refused => 5,
            Inside::RefusedAndKept => 7,
            Inside::Ended => 8,
            Inside::RefusedUnsaved => {
                assert!(!folder.join("called").exists() && saved(folder).is_empty());
                assert_snapshot!(read(folder, "told").replace(&folder.display().to_string(), "[folder]"), @"WARN the job is not requeued: the signal ended a run inside a hook of this fit, where the state is incomplete, and the fit has no checkpoint yet to resume from; save more often, or set `ModelCheckpoint::save_on_exception`");
                continue;
            }
        };
        assert_eq!((read(folder, "called"), saved(folder)), ("requeue 77\n".into(), vec!["requeue-77.ckpt".to_owned()]), "{inside:?}");
        // The same batch again. Its inner run starts from scratch.
        fs::remove_file(folder.join("first")).unwrap();
        assert_eq!((run(), read(folder, "end")), (Some(0), "`max_steps = 12` reached".into()), "{inside:?}");
        assert_eq!(read(folder, "first").parse(), Ok(expected), "{inside:?}");
        assert_eq!((read(folder, "called").lines().count(), saved(folder).len()), (1, 0), "{inside:?}");
    }
}
