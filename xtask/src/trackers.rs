//! Each tracker's own software reads what our logger wrote or sent. A sample program logs all that the tracker can hold;
//! `xtask/python/*_check.py` compares.

use std::path::PathBuf;

use anyhow::Result;

use crate::step::Verdict;
use crate::system::{self, Workspace};
use crate::venv::Environment;

/// What a check is made with.
struct Check {
    python: PathBuf,
    /// The program that logs.
    sample: PathBuf,
    /// The program `stormfire`.
    stormfire: PathBuf,
    /// Where it logs to; empty.
    folder: PathBuf,
}

/// Has the tracker's `environment` of Python and its sample program ready, and checks.
fn check(workspace: &Workspace, tracker: &str, environment: &str, body: impl FnOnce(Check) -> Result<()>) -> Result<Verdict> {
    if !system::has_program("python3") {
        return Ok(Verdict::Skipped("`python3` is missing (Debian: `apt-get install python3-venv`)".to_owned()));
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

/// Compares every kind of value with what TensorBoard's own readers and its server find in the files.
pub(crate) fn tensorboard(workspace: &Workspace) -> Result<Verdict> {
    check(workspace, "tensorboard", "readers", |Check { python, sample, folder, .. }| {
        let (logs, expected) = (folder.join("logs"), folder.join("expected.json"));
        system::run(workspace.command(sample).arg(&logs).arg(&expected))?;
        let port = system::free_port()?.to_string();
        system::run(workspace.script(&python, "tensorboard_sample_check.py").arg(&logs).arg(&expected).args(["--port", &port]))
    })
}

/// Logs to real MLflow servers that run here, and into the folder of its file store.
pub(crate) fn mlflow(workspace: &Workspace) -> Result<Verdict> {
    check(workspace, "mlflow", "mlflow", |Check { python, sample, stormfire, folder }| {
        system::run(workspace.script(&python, "mlflow_check.py").arg(folder).arg(sample).arg(stormfire))
    })
}

/// Has W&B's own software read a run, and compares our requests with those of its client.
pub(crate) fn wandb(workspace: &Workspace) -> Result<Verdict> {
    check(workspace, "wandb", "wandb", |Check { python, sample, folder, .. }| {
        system::run(workspace.script(&python, "wandb_check.py").arg(sample).arg(folder))
    })
}

/// Logs to a real trackio server that runs here.
pub(crate) fn trackio(workspace: &Workspace) -> Result<Verdict> {
    check(workspace, "trackio", "trackio", |Check { python, sample, stormfire, folder }| {
        let port = system::free_port()?.to_string();
        system::run(workspace.script(&python, "trackio_check.py").arg(folder).arg(port).arg(sample).arg(stormfire))
    })
}

/// Reads what our logger leaves for Comet, and hears what it sends, with Comet's own client.
pub(crate) fn comet(workspace: &Workspace) -> Result<Verdict> {
    check(workspace, "comet", "comet", |Check { python, sample, folder, .. }| {
        system::run(workspace.script(&python, "comet_check.py").arg(sample).arg(folder))
    })
}

/// Reads what our logger leaves with Neptune's own client, and what that client leaves with ours.
pub(crate) fn neptune(workspace: &Workspace) -> Result<Verdict> {
    check(workspace, "neptune", "neptune", |Check { python, sample, folder, .. }| {
        system::run(workspace.script(&python, "neptune_check.py").arg(sample).arg(folder))
    })
}
