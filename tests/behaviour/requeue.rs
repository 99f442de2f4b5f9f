//! A SLURM job that is about to end is saved, queued again, and continued: in a process of its own, with a `scontrol` that
//! only takes notes.
#![cfg(target_os = "linux")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::Duration,
};

use stormfire::RequeueSignal;

use crate::{
    child::{Running, folder, part},
    files::names,
    rig::{Logging, run_of},
    signals::endless,
    support::line_data,
};

/// Not a test of its own: trains until the signal comes or `max_steps` are reached, and writes down where it began and
/// how it ended.
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

/// The part as a job, with nothing on its path but a `scontrol` of this text.
fn job(folder: &Path, scontrol: Option<&str>, id: Option<&str>) -> Command {
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).unwrap();
    if let Some(text) = scontrol {
        fs::write(bin.join("scontrol"), format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(bin.join("scontrol"), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = part("requeue::trains", folder);
    for name in ["SLURM_JOB_ID", "SLURM_JOB_NAME", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"] {
        command.env_remove(name);
    }
    command.env("PATH", bin).envs(id.map(|id| ("SLURM_JOB_ID", id)));
    command
}

/// Starts a job, sends it a signal after its first logged steps, and returns its exit code and how it said it ended.
fn interrupted(folder: &Path, scontrol: Option<&str>, id: Option<&str>, signal: &str) -> (Option<i32>, String) {
    let mut running = Running::start(job(folder, scontrol, id));
    let table = run_of(folder).join("metrics.csv");
    running.wait_until("the first logged steps", || fs::read_to_string(&table).is_ok_and(|table| table.lines().count() > 5));
    running.signal(signal);
    let code = running.wait().code();
    (code, read(folder, "end"))
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

/// The checkpoints for a requeue in a folder.
fn saved(folder: &Path) -> Vec<String> {
    names(folder).into_iter().filter(|name| name.starts_with("requeue")).collect()
}

const TAKES_NOTES: &str = r#"echo "$@" >> "$STORMFIRE_TEST_PART_FOLDER/called""#;

#[test]
fn a_job_is_saved_queued_again_and_continued() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (code, end) = interrupted(folder, Some(TAKES_NOTES), Some("77"), "USR1");
    assert_eq!(code, Some(138), "{end}");
    let steps: u64 = end.strip_prefix("interrupted by SIGUSR1 after ").unwrap().parse().unwrap();
    assert_eq!(read(folder, "called"), "requeue 77\n");
    assert_eq!(read(folder, "status"), "Interrupted");
    assert_eq!(saved(folder), ["requeue-77.ckpt"]);

    // SLURM starts the job again: it goes on where it was, and leaves nothing behind at its end.
    fs::remove_file(folder.join("first")).unwrap();
    fs::write(folder.join("max_steps"), (steps + 3).to_string()).unwrap();
    let code = Running::start(job(folder, Some(TAKES_NOTES), Some("77"))).wait().code();
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
fn outside_of_a_job_the_fit_is_only_saved() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("usr2"), "").unwrap();
    let (code, end) = interrupted(folder.path(), Some(TAKES_NOTES), None, "USR2");
    assert_eq!(code, Some(140), "{end}");
    assert!(end.starts_with("interrupted by SIGUSR2 after "), "{end}");
    assert_eq!(saved(folder.path()), ["requeue.ckpt"]);
    assert!(!folder.path().join("called").exists());
}
