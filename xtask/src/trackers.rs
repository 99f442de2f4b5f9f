//! Checks of the loggers with each tracker's software. A sample program logs every kind of value of the tracker, and
//! `xtask/python/*_check.py` compares the results.

use std::path::PathBuf;

use anyhow::Result;

use crate::step::Verdict;
use crate::system::{self, Workspace};
use crate::venv::{self, Environment};

/// The programs and the folder of a check.
struct Check {
    python: PathBuf,
    /// The program that logs.
    sample: PathBuf,
    /// The program `stormfire`.
    stormfire: PathBuf,
    /// The folder of the logs, which is empty at first.
    folder: PathBuf,
}

/// Prepares the tracker's Python `environment` and its sample program, then runs the check.
fn check(workspace: &Workspace, tracker: &str, environment: &str, body: impl FnOnce(Check) -> Result<()>) -> Result<Verdict> {
    if let Some(skip) = venv::skip_without_python() {
        return Ok(skip);
    }
    let python = Environment { name: environment, python: "python3", above_system: false }.interpreter(workspace)?;
    let folder = workspace.target.join(format!("{tracker}-run"));
    system::fresh_folder(&folder)?;
    let sample = format!("{tracker}_sample");
    let built = system::build(workspace, &["--example", &sample, "--bin", "stormfire"])?;
    let (sample, stormfire) = (system::program(&built.join("examples"), &sample), system::program(&built, "stormfire"));
    body(Check { python, sample, stormfire, folder })?;
    Ok(Verdict::Passed)
}

/// Compares every kind of value with the output of TensorBoard's readers and server.
pub(crate) fn tensorboard(workspace: &Workspace) -> Result<Verdict> {
    check(workspace, "tensorboard", "readers", |Check { python, sample, folder, .. }| {
        let (logs, expected) = (folder.join("logs"), folder.join("expected.json"));
        system::run(workspace.command(sample).arg(&logs).arg(&expected))?;
        let port = system::free_port()?.to_string();
        system::run(workspace.script(&python, "tensorboard_sample_check.py").arg(&logs).arg(&expected).args(["--port", &port]))
    })
}

/// Logs to real MLflow servers on this machine, and into the folder of a file store.
pub(crate) fn mlflow(workspace: &Workspace) -> Result<Verdict> {
    check(workspace, "mlflow", "mlflow", |Check { python, sample, stormfire, folder }| {
        system::run(workspace.script(&python, "mlflow_check.py").arg(folder).arg(sample).arg(stormfire))
    })
}

/// Reads a run with W&B's software, compares our requests with those of its client, and lets its sweep agent drive an
/// example.
pub(crate) fn wandb(workspace: &Workspace) -> Result<Verdict> {
    check(workspace, "wandb", "wandb", |Check { python, sample, folder, .. }| {
        system::run(workspace.script(&python, "wandb_check.py").arg(sample).arg(&folder))?;
        let built = system::build(workspace, &["--example", "custom_logger"])?;
        let program = system::program(&built.join("examples"), "custom_logger");
        system::run(workspace.script(&python, "wandb_agent_check.py").arg(program).arg(folder))
    })
}

/// Logs to a real trackio server on this machine.
pub(crate) fn trackio(workspace: &Workspace) -> Result<Verdict> {
    check(workspace, "trackio", "trackio", |Check { python, sample, stormfire, folder }| {
        let port = system::free_port()?.to_string();
        system::run(workspace.script(&python, "trackio_check.py").arg(folder).arg(port).arg(sample).arg(stormfire))
    })
}

/// Reads the offline files of our logger with Comet's client, and receives its requests.
pub(crate) fn comet(workspace: &Workspace) -> Result<Verdict> {
    check(workspace, "comet", "comet", |Check { python, sample, folder, .. }| {
        system::run(workspace.script(&python, "comet_check.py").arg(sample).arg(folder))
    })
}

/// Reads the files of our logger with Neptune's client, and the files of that client with our reader.
pub(crate) fn neptune(workspace: &Workspace) -> Result<Verdict> {
    check(workspace, "neptune", "neptune", |Check { python, sample, folder, .. }| {
        system::run(workspace.script(&python, "neptune_check.py").arg(sample).arg(folder))
    })
}
