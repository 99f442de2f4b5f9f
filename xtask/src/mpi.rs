//! Builds with the cargo feature `mpi`, and runs ranks that are real processes under `mpirun`.

use std::process::Command;

use anyhow::Result;

use crate::cuda;
use crate::step::Verdict;
use crate::system::{self, Workspace};

const DEBIAN: [&str; 3] = ["libopenmpi-dev", "openmpi-bin", "libclang-dev"];

pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    if !cfg!(target_os = "linux") {
        return Ok(Verdict::Skipped("MPI is tested on Linux only".to_owned()));
    }
    if !(system::has_program("mpicc") && system::has_program("mpirun"))
        && let Some(command) = system::install(workspace, &DEBIAN)?
    {
        return Ok(Verdict::Skipped(format!("no MPI; {command} installs it")));
    }
    system::run(cargo(workspace, "clippy").args(["--all-targets", "--", "-D", "warnings"]))?;
    system::run(cargo(workspace, "test").args(["--lib", "--examples", "--tests"]))?;
    Ok(Verdict::Passed)
}

/// A cargo command for the ranks. They are built in a folder of their own: the feature would change how everything else is
/// built.
fn cargo(workspace: &Workspace, command: &str) -> Command {
    let mut cargo = workspace.cargo();
    cargo.args([command, "--package", "stormfire-ranks", "--features", "mpi"]);
    cargo.args(cuda::CHEAP.iter().flat_map(|setting| ["--config", setting])).env("CARGO_TARGET_DIR", workspace.target.join("mpi"));
    cargo
}
