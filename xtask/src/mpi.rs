//! Builds with the cargo feature `mpi`, and runs ranks that are real processes under `mpirun`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::cuda;
use crate::step::Verdict;
use crate::system::{self, Workspace};

const DEBIAN: [&str; 3] = ["libopenmpi-dev", "openmpi-bin", "libclang-dev"];

/// The packages with tests that start ranks.
const PACKAGES: [&str; 6] = ["--package", "stormfire-ranks", "--package", "stormfire", "--features", "mpi"];

/// Not the documentation, whose programs are slow to build and the same without the feature.
const TESTS: [&str; 5] = ["--lib", "--test", "processes", "--test", "under_mpirun"];

pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    if !cfg!(target_os = "linux") {
        return Ok(Verdict::Skipped("MPI is tested on Linux only".to_owned()));
    }
    if !(system::has_program("mpicc") && system::has_program("mpirun"))
        && let Some(command) = system::install(workspace, &DEBIAN)?
    {
        return Ok(Verdict::Skipped(format!("no MPI; {command} installs it")));
    }
    let mut clippy = cargo(workspace, "clippy");
    system::run(clippy.args(PACKAGES).args(["--all-targets", "--", "-D", "warnings"]))?;
    build_ranks(workspace)?;
    system::run(cargo(workspace, "test").args(PACKAGES).args(TESTS))?;
    char_gpt(workspace)?;
    Ok(Verdict::Passed)
}

/// Kills a training of several ranks again and again.
pub(crate) fn crash(workspace: &Workspace, kills: u32, seed: u64, ranks: u32) -> Result<()> {
    let test = "ranks_that_are_killed_end_like_uninterrupted_ones";
    let mut command = cargo(workspace, "test");
    build_ranks(workspace)?;
    command.args(PACKAGES).args(["--test", "under_mpirun", "--", test, "--exact", "--nocapture"]);
    command.env("STORMFIRE_CRASH_KILLS", kills.to_string()).env("STORMFIRE_CRASH_SEED", seed.to_string());
    system::run(command.env("STORMFIRE_CRASH_RANKS", ranks.to_string()))
}

/// Builds the programs that the tests start. `cargo test` builds no examples if tests are named.
fn build_ranks(workspace: &Workspace) -> Result<()> {
    system::run(cargo(workspace, "build").args(PACKAGES).args(["--example", "ranks", "--example", "ranked"]))
}

/// The example on two ranks.
fn char_gpt(workspace: &Workspace) -> Result<()> {
    let root = workspace.target.join("mpi-run");
    system::fresh_folder(&root)?;
    system::run(
        cargo(workspace, "build").args(["--quiet", "--package", "stormfire-examples", "--features", "mpi"]).args(["--example", "char_gpt"]),
    )?;
    let mut ranks = workspace.command("mpirun");
    ranks.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", "2"]);
    ranks.arg(target(workspace).join("debug/examples/char_gpt"));
    ranks.args(["trainer.max_steps=4", "model.layers=1", "model.width=16", "data.context=16", "data.batch_size=6", "model.dropout=0.1"]);
    ranks.args(["trainer.enable_progress_bar=false", "--trainer.default_root_dir"]);
    system::run(ranks.arg(&root))?;
    let runs = root.join("lightning_logs").read_dir()?.count();
    ensure!(runs == 1, "two ranks left {runs} runs");
    Ok(())
}

/// A cargo command with a folder of its own: the feature would change how everything else is built.
fn cargo(workspace: &Workspace, command: &str) -> Command {
    let mut cargo = workspace.cargo();
    cargo.arg(command).args(cuda::CHEAP.iter().flat_map(|setting| ["--config", setting]));
    cargo.env("CARGO_TARGET_DIR", target(workspace));
    cargo
}

fn target(workspace: &Workspace) -> PathBuf {
    workspace.target.join("mpi")
}
