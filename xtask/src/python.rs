//! Reads the logs, the checkpoint and the schema of the MNIST example with third-party software.

use std::path::Path;

use anyhow::Result;

use crate::examples;
use crate::step::Verdict;
use crate::system::{self, Workspace};
use crate::venv::{self, Environment};

pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    if let Some(skip) = venv::skip_without_python() {
        return Ok(skip);
    }
    let logs = examples::mnist_logs(workspace)?;
    let python = Environment { name: "readers", python: "python3", above_system: false }.interpreter(workspace)?;
    read_logs(workspace, &python, &logs)?;
    read_million(workspace, &python)?;
    read_checkpoints(workspace, &python)?;
    read_schema(workspace, &python)?;
    Ok(Verdict::Passed)
}

fn read_logs(workspace: &Workspace, python: &Path, logs: &Path) -> Result<()> {
    let port = system::free_port()?.to_string();
    let dump = workspace.target.join("examples-run/tensorboard.json");
    let tensorboard = |mode: &str| {
        let mut command = workspace.script(python, "tensorboard_check.py");
        command.arg(mode).arg(logs);
        command
    };
    system::run(&mut tensorboard("raw"))?;
    system::run(tensorboard("dump").arg("--output").arg(&dump))?;
    system::run(tensorboard("http").args(["--port", &port]))?;
    system::run(workspace.script(python, "csv_check.py").arg(logs.join("metrics.csv")).arg(&dump))
}

/// Reads a table of the maximum length.
fn read_million(workspace: &Workspace, python: &Path) -> Result<()> {
    let folder = workspace.target.join("million-run");
    system::fresh_folder(&folder)?;
    let program = system::program(&system::build(workspace, &["--example", "csv_million"])?.join("examples"), "csv_million");
    let memory = system::output(workspace.command(program).arg(&folder))?;
    system::run(workspace.script(python, "csv_check.py").arg("--million").arg(&folder).arg(memory.trim()))
}

/// Reads a checkpoint with every dtype, and the checkpoint of a real fit.
fn read_checkpoints(workspace: &Workspace, python: &Path) -> Result<()> {
    let checkpoint = examples::mnist_checkpoint(workspace)?;
    let folder = workspace.target.join("checkpoints-run");
    system::fresh_folder(&folder)?;
    let (sample, inspected) = (folder.join("sample.ckpt"), folder.join("inspect.json"));
    let built = system::build(workspace, &["--bin", "stormfire", "--example", "sample"])?;
    system::run(workspace.command(system::program(&built.join("examples"), "sample")).arg(&sample))?;
    let mut inspect = workspace.command(system::program(&built, "stormfire"));
    fs_err::write(&inspected, system::output(inspect.arg("inspect").arg(&checkpoint).arg("--json"))?)?;
    system::run(workspace.script(python, "checkpoint_check.py").arg("sample").arg(&sample))?;
    system::run(workspace.script(python, "checkpoint_check.py").arg("fit").arg(&checkpoint).arg(&inspected))
}

/// Checks configurations with the schema that the example prints for editors.
fn read_schema(workspace: &Workspace, python: &Path) -> Result<()> {
    let program = examples::mnist_program(workspace)?;
    system::run(workspace.script(python, "schema_check.py").arg(program))
}
