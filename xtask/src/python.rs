//! Reads the logs of the MNIST example with software that we did not write.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::examples;
use crate::system::{self, Workspace};
use crate::test::Verdict;

pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    if !system::has_program("python3") {
        return Ok(Verdict::Skipped("`python3` is missing (Debian: `apt-get install python3-venv`)".to_owned()));
    }
    let logs = examples::mnist_logs(workspace)?;
    let python = environment(workspace, "readers")?;
    let port = system::free_port()?.to_string();
    let dump = workspace.target.join("examples-run/tensorboard.json");
    let script = |name: &str| {
        let mut command = workspace.command(&python);
        command.arg(Path::new("xtask/python").join(name));
        command
    };
    system::run(script("tensorboard_check.py").arg("raw").arg(&logs))?;
    system::run(script("tensorboard_check.py").arg("dump").arg(&logs).arg("--output").arg(&dump))?;
    system::run(script("tensorboard_check.py").arg("http").arg(&logs).args(["--port", &port]))?;
    system::run(script("csv_check.py").arg(logs.join("metrics.csv")).arg(&dump))?;
    Ok(Verdict::Passed)
}

/// A virtual environment with the packages pinned in `requirements-NAME.txt`; gives its interpreter. It is built again when
/// the pins change.
pub(crate) fn environment(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let pins = workspace.root.join(format!("xtask/requirements-{name}.txt"));
    let wanted = fs_err::read_to_string(&pins)?;
    let folder = workspace.target.join(format!("venv-{name}"));
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python3" });
    // Written last: without it the installation was cut short.
    let installed = folder.join("installed.txt");
    if fs_err::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return Ok(python);
    }
    system::fresh_folder(&folder)?;
    system::run(workspace.command("python3").args(["-m", "venv"]).arg(&folder))
        .context("could not create a virtual environment (Debian: `apt-get install python3-venv`)")?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    system::run(workspace.command(&python).args(pip).arg(&pins))?;
    fs_err::write(&installed, wanted)?;
    Ok(python)
}
