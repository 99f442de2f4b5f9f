//! Ranks that are real processes, started by `mpirun`.
//!
//! The program is the example `ranks`.
#![cfg(all(feature = "mpi", target_os = "linux"))]
#![cfg(test)]

mod mpirun;

use std::process::Command;

use mpirun::{Ended, Processes, mpirun, program, run, send};

/// The seconds after which a stopped rank counts as failed.
const SILENCE: &str = "5";

fn ends(ranks: usize, words: &[&str]) -> Ended {
    run(mpirun(ranks, "ranks", words), |_| {})
}

/// Checks that the run has failed, and that each of the named errors came so often.
fn assert_failed(ended: &Ended, errors: &[(&str, usize)]) {
    assert!(!ended.status.success(), "{}", ended.text);
    for (error, count) in errors {
        assert_eq!(ended.text.matches(error).count(), *count, "`{error}` in: {}", ended.text);
    }
}

/// Sends a signal to a rank when all ranks are at work. Returns when all processes have ended.
fn hit(ranks: usize, rank: usize, signal: &str) -> Ended {
    let mut command = mpirun(ranks, "ranks", &["loop"]);
    command.env("STORMFIRE_RANK_TIMEOUT", SILENCE);
    let mut processes = Processes::default();
    let ended = run(command, |line| {
        if processes.read(line, ranks) {
            send(signal, &[processes.of(rank)]);
        }
    });
    processes.assert_ended();
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
        let told = format!("rank says: rank {rank} has failed: its process has exited or was killed\n");
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
    let mut command = Command::new(program("ranks"));
    command.args(["nothing"]).envs(variables).env("SLURM_STEP_NUM_TASKS", "2");
    assert_failed(&run(command, |_| {}), &[("rank says: started as rank 1 of 2 by srun, but MPI sees rank 0 of 1\n", 1)]);
}

#[test]
fn a_batch_script_of_slurm_is_one_rank() {
    let variables = [("SLURM_JOB_ID", "7"), ("SLURM_PROCID", "0"), ("SLURM_NTASKS", "2"), ("SLURM_LOCALID", "0")];
    let mut command = Command::new(program("ranks"));
    command.args(["all"]).envs(variables);
    let ended = run(command, |_| {});
    assert_eq!(ended.text, "all is right with 1 ranks\n");
}
