//! Set-ups of real processes: threads on each rank, ranks that were started differently, a full disk, a job of SLURM.

use std::{env, fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use crate::{
    mpirun::{Ended, Processes, launcher, mpirun, program, run},
    results, tensors, train,
};

#[test]
fn ranks_may_use_threads() {
    for ranks in [2, 3] {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        train(folders[0].path(), 1, &[&ranks.to_string(), "3", "0", "threads"]);
        let ended = train(folders[1].path(), ranks, &["1", "3", "0", "threads"]);
        assert_eq!(ended.text.matches(" ends after 75 batches with MaxEpochs(3)").count(), ranks, "{}", ended.text);
        let [one, several] = folders.each_ref().map(|folder| tensors(&folder.path().join("end.ckpt")));
        assert!(one == several, "the weights differ");
    }
}

/// Two ranks that were started with these programs and arguments.
fn two(folder: &Path, programs: [&str; 2], words: [&[&str]; 2]) -> Ended {
    let mut command = launcher();
    for (index, (name, words)) in programs.iter().zip(words).enumerate() {
        command.args((index > 0).then_some(":")).args(["-n", "1"]).arg(program(name));
        command.args((*name == "ranked").then_some(folder)).args(words);
    }
    run(command, |_| {})
}

#[test]
fn ranks_that_were_started_differently_end_with_the_difference() {
    let options = "the option `accumulate_grad_batches` is `1` on rank 0 and `2` on rank 1";
    let data = "the number of items of loader 0 is `98` on rank 0 and `90` on rank 1";
    let program = "the ranks are out of step: rank 0 calls `broadcast`, and rank 1 calls `all_reduce";
    for (programs, words, told) in [
        (["ranked", "ranked"], [&["1", "2", "0"][..], &["2", "2", "0"]], options),
        (["ranked", "ranked"], [&["1", "2", "0"], &["1", "2", "0", "fewer"]], data),
        (["ranked", "ranks"], [&["1", "2", "0"], &["loop"]], program),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let ended = two(folder.path(), programs, words);
        assert!(!ended.status.success() && ended.text.matches(told).count() == 2, "`{told}` in: {}", ended.text);
        assert!(!folder.path().join("end.ckpt").exists());
    }
}

#[test]
fn a_full_disk_ends_all_ranks_and_the_next_run_continues() {
    let [whole, disk, copy] = [0; 3].map(|_| tempfile::tempdir().unwrap());
    // The disk exists only for this process and its children.
    let shell = ["unshare", "--map-root-user", "--user", "--mount", "sh"];
    let possible = Command::new(shell[0]).args(&shell[1..]).args(["-c", "mount -t tmpfs tmpfs /mnt"]).status();
    if !possible.is_ok_and(|status| status.success()) {
        eprintln!("no small disk can be mounted here");
        return;
    }
    let words = ["1", "4", "0"];
    train(whole.path(), 3, &words);
    let script = r#"
        mount -t tmpfs -o size=2m tmpfs "$DISK" || exit 77
        "$@" fills && exit 78
        rm "$DISK/fill"
        echo "again"
        "$@" || exit 79
        cp -r "$DISK/." "$COPY"
    "#;
    let mut command = Command::new(shell[0]);
    let again = mpirun(3, "ranked", &[&[disk.path().to_str().unwrap()], &words[..]].concat());
    command.args(&shell[1..]).args(["-c", script, "sh"]).arg(again.get_program()).env("DISK", disk.path()).env("COPY", copy.path());
    let ended = run(
        {
            command.args(again.get_args());
            command
        },
        |_| {},
    );
    assert!(ended.status.success(), "{:?}: {}", ended.status, ended.text);
    assert_eq!(ended.text.matches("rank 0 has failed").count(), 2, "the others get the failure: {}", ended.text);
    assert_eq!(ended.text.matches("no space is left for").count(), 3, "{}", ended.text);
    assert_eq!(ended.text.matches("with MaxEpochs(4)").count(), 3, "{}", ended.text);
    assert_eq!(fs::read_dir(copy.path().join("lightning_logs")).unwrap().count(), 1, "the second run continues the first");
    let [(one, log), (other, other_log)] = [whole.path(), copy.path()].map(results);
    assert!(one == other, "the weights differ");
    assert_eq!(log, other_log);
}

/// A signal of SLURM, which reaches all ranks or one of them.
#[test]
fn a_requeue_signal_saves_once_and_the_job_continues() {
    let words = ["1", "6", "20"];
    let whole = tempfile::tempdir().unwrap();
    train(whole.path(), 3, &words);
    for to in [&[2][..], &[0, 1, 2]] {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        fs::write(bin.join("scontrol"), "#!/bin/sh\necho \"$@\" >> \"${0%/*}/called\"\n").unwrap();
        fs::set_permissions(bin.join("scontrol"), fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("PATH={}:{}", bin.display(), env::var("PATH").unwrap());
        let job = || {
            // Only the ranks are in the job: `mpirun` itself would ask SLURM for processes.
            let mut command = launcher();
            command.args(["-n", "3", "env", "SLURM_JOB_ID=77", &path]).arg(program("ranked")).arg(folder.path()).args(words);
            command
        };
        let mut processes = Processes::default();
        let mut is_hit = false;
        let ended = run(job(), |line| {
            processes.read(line, 3);
            if line.starts_with("epoch ") && !is_hit {
                is_hit = true;
                // All at once: after the end of its run, a process dies of the signal.
                Command::new("kill").arg("-USR1").args(to.iter().map(|rank| processes.of(*rank))).status().unwrap();
            }
        });
        assert_eq!(ended.text.matches("with Interrupted(").count(), 3, "{}", ended.text);
        assert_eq!(fs::read_to_string(bin.join("called")).unwrap(), "requeue 77\n", "{}", ended.text);
        let saved = |folder: &Path| {
            let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.filter(|name| name.starts_with("requeue")).collect::<Vec<_>>()
        };
        assert_eq!(saved(folder.path()), ["requeue-77.ckpt"]);
        let ended = run(job(), |_| {});
        assert!(ended.status.success(), "{}", ended.text);
        assert!(saved(folder.path()).is_empty());
        let [(one, log), (other, other_log)] = [whole.path(), folder.path()].map(results);
        assert!(one == other, "the weights differ");
        assert_eq!(log, other_log);
    }
}
