//! Builds with the cargo feature `mpi`, and runs ranks that are real processes under `mpirun`.

use std::process::Command;

use anyhow::{Result, ensure};

use crate::step::Verdict;
use crate::system::{self, Workspace};

const DEBIAN: [&str; 3] = ["libopenmpi-dev", "openmpi-bin", "libclang-dev"];

/// Everything with the feature. All packages are selected as in the other steps, so nothing below the workspace's
/// own crates is compiled again.
const ALL: [&str; 3] = ["--workspace", "--features", "stormfire-examples/trackers,stormfire-examples/vision,stormfire-examples/mpi"];

/// The tests that start processes. The others do not know the feature.
const TESTS: [&str; 4] = ["--test", "processes", "--test", "under_mpirun"];

pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    if let Some(skipped) = without(workspace, ["mpicc", "mpirun"], &DEBIAN)? {
        return Ok(skipped);
    }
    let mut clippy = cargo(workspace, "clippy");
    system::run(clippy.args(["--lib"]).args(TESTS).args(["--", "-D", "warnings"]))?;
    build_programs(workspace)?;
    system::run(cargo(workspace, "test").args(TESTS))?;
    on_two_ranks(workspace, "char_gpt", &CHAR_GPT)?;
    on_two_ranks(workspace, "several_ranks", &["progress_bar=false", "--root"])?;
    Ok(Verdict::Passed)
}

/// The verdict on a machine that lacks a compiler or launcher of MPI, and on which they cannot be installed.
fn without(workspace: &Workspace, programs: [&str; 2], packages: &[&str]) -> Result<Option<Verdict>> {
    if !cfg!(target_os = "linux") {
        return Ok(Some(Verdict::Skipped("MPI is tested on Linux only".to_owned())));
    }
    if programs.into_iter().all(system::has_program) {
        return Ok(None);
    }
    let command = system::install(workspace, packages)?;
    Ok(command.map(|command| Verdict::Skipped(format!("no MPI; {command} installs it"))))
}

/// The other family of MPI.
pub(crate) fn mpich(workspace: &Workspace) -> Result<Verdict> {
    if let Some(skipped) = without(workspace, ["mpicc.mpich", "mpirun.mpich"], &["mpich", "libmpich-dev", "libclang-dev"])? {
        return Ok(skipped);
    }
    for (package, example, test) in [("stormfire-ranks", "ranks", "processes"), ("stormfire", "ranked", "under_mpirun")] {
        system::run(with_mpich(workspace, "build").args(["--package", package, "--example", example]))?;
        let mut tests = with_mpich(workspace, "test");
        tests.args(["--package", package, "--test", test, "--"]);
        system::run(tests.args(OPEN_MPI_ONLY.iter().flat_map(|name| ["--skip", name])))?;
    }
    Ok(Verdict::Passed)
}

/// MPICH ends all ranks as soon as one of them ends badly, so the others cannot say which one it was.
const OPEN_MPI_ONLY: [&str; 2] = ["a_killed_rank_is_named_by_the_others", "a_stopped_rank_is_named_by_the_others"];

/// The bindings are compiled for one family, so this has a separate target folder.
fn with_mpich(workspace: &Workspace, command: &str) -> Command {
    let mut cargo = workspace.cargo();
    cargo.args([command, "--features", "mpi"]).env("CARGO_TARGET_DIR", workspace.target.join("mpich"));
    cargo.env("MPICC", "mpicc.mpich").env("STORMFIRE_TEST_LAUNCHER", "mpirun.mpich");
    cargo
}

/// Kills a training of several ranks again and again.
pub(crate) fn crash(workspace: &Workspace, kills: u32, seed: u64, ranks: u32) -> Result<()> {
    let test = "ranks_that_are_killed_end_like_uninterrupted_ones";
    let mut command = cargo(workspace, "test");
    build_programs(workspace)?;
    command.args(["--test", "under_mpirun", "--", test, "--exact", "--nocapture"]);
    command.env("STORMFIRE_CRASH_KILLS", kills.to_string()).env("STORMFIRE_CRASH_SEED", seed.to_string());
    system::run(command.env("STORMFIRE_CRASH_RANKS", ranks.to_string()))
}

/// Builds the programs that are started below. `cargo test` builds no examples if tests are named.
fn build_programs(workspace: &Workspace) -> Result<()> {
    system::run(cargo(workspace, "build").args([
        "--example",
        "ranks",
        "--example",
        "ranked",
        "--example",
        "char_gpt",
        "--example",
        "several_ranks",
    ]))
}

/// The arguments of a short training. The folder follows.
const CHAR_GPT: [&str; 8] = [
    "trainer.max_steps=4",
    "model.layers=1",
    "model.width=16",
    "data.context=16",
    "data.batch_size=6",
    "model.dropout=0.1",
    "trainer.enable_progress_bar=false",
    "--trainer.default_root_dir",
];

/// An example on two ranks. They write the files of one run.
fn on_two_ranks(workspace: &Workspace, example: &str, arguments: &[&str]) -> Result<()> {
    let root = workspace.target.join("mpi-run").join(example);
    system::fresh_folder(&root)?;
    let mut ranks = workspace.command("mpirun");
    ranks.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", "2"]);
    ranks.arg(workspace.target.join("debug/examples").join(example)).args(arguments);
    system::run(ranks.arg(&root))?;
    let runs = root.join("lightning_logs").read_dir()?.count();
    ensure!(runs == 1, "two ranks of `{example}` left {runs} runs");
    Ok(())
}

fn cargo(workspace: &Workspace, command: &str) -> Command {
    let mut cargo = workspace.cargo();
    cargo.arg(command).args(ALL);
    cargo
}
