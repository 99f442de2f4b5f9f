//! Ranks that are real processes, started by `mpirun`.
//!
//! The program is the example `ranks`. No rank may hang: `mpirun` is killed after a generous time, and that fails.
#![cfg(all(feature = "mpi", target_os = "linux"))]
#![cfg(test)]

use std::{
    env, fs,
    io::{BufRead, BufReader, Read as _},
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// Far more than passes between two lines of output.
const LIMIT: Duration = Duration::from_mins(1);
/// The seconds after which a stopped rank is gone.
const SILENCE: &str = "5";

fn program() -> PathBuf {
    let mut path = env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.join("examples/ranks")
}

fn mpirun(ranks: usize, words: &[&str]) -> Command {
    let mut command = Command::new("mpirun");
    command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", &ranks.to_string()]);
    command.arg(program()).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

struct Ended {
    status: ExitStatus,
    text: String,
}

/// Runs the command to its end. Calls `on_line` with each line that it prints.
fn run(mut command: Command, mut on_line: impl FnMut(&str)) -> Ended {
    let mut child = command.spawn().unwrap_or_else(|error| panic!("`mpirun` cannot be started: {error}"));
    let (sender, lines) = mpsc::channel();
    let (out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let reader = thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
    let errors = thread::spawn(move || {
        let mut text = Vec::new();
        err.read_to_end(&mut text).map(|_| String::from_utf8_lossy(&text).into_owned())
    });
    let mut text = String::new();
    loop {
        match lines.recv_timeout(LIMIT) {
            Ok(line) => {
                on_line(&line);
                text = text + &line + "\n";
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let ranks_live = has_children(child.id());
                child.kill().unwrap();
                assert!(!ranks_live, "it hangs: {text}");
                // `mpirun` of Open MPI 4.1 sometimes hangs after the last of its processes has been killed.
                eprintln!("`mpirun` was killed");
            }
        }
    }
    let status = child.wait().unwrap();
    reader.join().unwrap();
    text += &errors.join().unwrap().unwrap();
    Ended { status, text }
}

/// Whether a process has children that have not ended.
fn has_children(parent: u32) -> bool {
    let is_child = |stat: &str| {
        let mut fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        fields.next() != Some("Z") && fields.next() == Some(&parent.to_string())
    };
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes.filter_map(|process| fs::read_to_string(process.path().join("stat")).ok()).any(|stat| is_child(&stat))
}

fn ends(ranks: usize, words: &[&str]) -> Ended {
    run(mpirun(ranks, words), |_| {})
}

/// Checks that the run has failed, and that each of the named errors came so often.
fn assert_failed(ended: &Ended, errors: &[(&str, usize)]) {
    assert!(!ended.status.success(), "{}", ended.text);
    for (error, count) in errors {
        assert_eq!(ended.text.matches(error).count(), *count, "`{error}` in: {}", ended.text);
    }
}

/// Sends a signal to a rank when all ranks are at work. Returns when all processes are gone.
fn hit(ranks: usize, rank: usize, signal: &str) -> Ended {
    let mut processes: Vec<(usize, String)> = Vec::new();
    let mut command = mpirun(ranks, &["loop"]);
    command.env("STORMFIRE_RANK_TIMEOUT", SILENCE);
    let ended = run(command, |line| {
        if let Some((rank, process)) = line.strip_prefix("rank ").and_then(|rest| rest.split_once(" is process ")) {
            processes.push((rank.parse().unwrap(), process.to_owned()));
        }
        if processes.len() == ranks && line.contains(" is process ") {
            let process = &processes.iter().find(|(number, _)| *number == rank).unwrap().1;
            assert!(Command::new("kill").args([signal, process]).status().unwrap().success());
        }
    });
    for (rank, process) in processes {
        // A process that has ended may wait for its parent for a moment.
        let lives = || fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| !stat.contains(") Z"));
        for _ in 0..300 {
            if lives() {
                thread::sleep(Duration::from_millis(100));
            }
        }
        assert!(!lives(), "rank {rank} lives on");
    }
    ended
}

#[test]
fn all_calls_are_right_with_any_number_of_ranks() {
    for ranks in [1, 2, 3, 5] {
        let ended = ends(ranks, &["all"]);
        assert!(ended.status.success(), "{}", ended.text);
        assert_eq!(ended.text, format!("all is right with {ranks} ranks\n"));
    }
}

#[test]
fn ranks_without_a_call_end_quietly() {
    let ended = ends(3, &["nothing"]);
    assert!(ended.status.success(), "{}", ended.text);
    assert_eq!(ended.text, "");
}

#[test]
fn a_rank_that_fails_ends_the_others_with_its_reason() {
    for rank in ["0", "2"] {
        let told = format!("rank says: rank {rank} has failed: the lamp fell over\n");
        assert_failed(&ends(3, &["fail", rank]), &[(&told, 2), ("rank says: the lamp fell over\n", 1)]);
    }
}

#[test]
fn a_rank_that_panics_or_leaves_ends_the_others() {
    for what in ["panic", "leave"] {
        assert_failed(&ends(3, &[what, "1"]), &[("rank says: rank 1 has failed: it has ended, and others still wait for it\n", 2)]);
    }
}

#[test]
fn a_rank_that_fails_leaves_the_others_time_to_end() {
    let ended = ends(3, &["busy", "1"]);
    let told = "rank says: rank 1 has failed: the lamp fell over\n";
    assert_failed(&ended, &[("rank 0 has saved\n", 1), ("rank 2 has saved\n", 1), (told, 2)]);
}

#[test]
fn different_calls_are_an_error_on_every_rank() {
    let told = "rank says: the ranks are out of step: rank 0 calls `agree`, and rank 2 calls `barrier`\n";
    assert_failed(&ends(3, &["differ", "2"]), &[(told, 3)]);
}

#[test]
fn a_killed_rank_is_named_by_the_others() {
    for rank in [0, 2] {
        let told = format!("rank says: rank {rank} has failed: its process is gone: it was killed, or ended by itself\n");
        assert_failed(&hit(3, rank, "-KILL"), &[(&told, 2)]);
    }
}

#[test]
fn a_stopped_rank_is_named_by_the_others() {
    for rank in [0, 1] {
        let told = format!("rank says: rank {rank} has failed: there was no sign of life from it for {SILENCE}s\n");
        let ended = hit(3, rank, "-STOP");
        assert!(!ended.status.success(), "{}", ended.text);
        // Before it is killed, the stopped rank may wake and read of it.
        assert!(ended.text.matches(&told).count() >= 2, "{}", ended.text);
    }
}

#[test]
fn tasks_of_srun_that_mpi_does_not_connect_are_refused() {
    let variables = [("SLURM_JOB_ID", "7"), ("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "1"), ("SLURM_LOCALID", "1")];
    let mut command = Command::new(program());
    command.args(["nothing"]).envs(variables).env("SLURM_STEP_NUM_TASKS", "2");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    assert_failed(&run(command, |_| {}), &[("rank says: started as rank 1 of 2 by srun, but MPI sees rank 0 of 1\n", 1)]);
}

#[test]
fn a_batch_script_of_slurm_is_one_rank() {
    let variables = [("SLURM_JOB_ID", "7"), ("SLURM_PROCID", "0"), ("SLURM_NTASKS", "2"), ("SLURM_LOCALID", "0")];
    let mut command = Command::new(program());
    command.args(["all"]).envs(variables).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = run(command, |_| {});
    assert_eq!(ended.text, "all is right with 1 ranks\n");
}
