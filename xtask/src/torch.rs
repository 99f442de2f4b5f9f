//! Compares results with PyTorch: PyTorch computes with weights that we saved, and we compute with weights that
//! Lightning saved.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::examples;
use crate::step::Verdict;
use crate::system::{self, Workspace};
use crate::venv::Environment;

/// Debian's package is built for the CPU and is a download of 150 MB. pip would download 5 GB with CUDA.
const DEBIAN: [&str; 2] = ["python3-torch", "python3-venv"];
const IMPORT: &str = "import numpy, torch, yaml";
/// The tests of `crates/checkpoint` that read files of Lightning.
const TESTS: &str = "pytorch::tests::";
const MUST_RUN: &str = "pytorch::tests::a_module_answers_as_in_pytorch ... ok";

pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    let python = match environment(workspace, "torch")? {
        Ok(python) => python,
        Err(skipped) => return Ok(skipped),
    };
    we_read_theirs(workspace, &python)?;
    they_read_ours(workspace, &python)?;
    Ok(Verdict::Passed)
}

/// The interpreter of an environment with these pins and PyTorch. The verdict says why there is none.
pub(crate) fn environment(workspace: &Workspace, name: &str) -> Result<Result<PathBuf, Verdict>> {
    let mut system_python = python_with_torch(workspace);
    if system_python.is_none() {
        if let Some(command) = system::install(workspace, &DEBIAN)? {
            return Ok(Err(Verdict::Skipped(format!("no Python can `{IMPORT}`; on Debian {command} brings it"))));
        }
        system_python = python_with_torch(workspace);
    }
    let Some(system_python) = system_python else { bail!("PyTorch is installed, but no Python can `{IMPORT}`") };
    Ok(Ok(Environment { name, python: system_python, above_system: true }.interpreter(workspace)?))
}

/// The first `python3` on the search path may come from another source, which does not see Debian's packages.
fn python_with_torch(workspace: &Workspace) -> Option<&'static str> {
    ["python3", "/usr/bin/python3"].into_iter().find(|python| system::output(workspace.command(python).args(["-c", IMPORT])).is_ok())
}

fn we_read_theirs(workspace: &Workspace, python: &Path) -> Result<()> {
    let folder = workspace.target.join("torch-run");
    system::fresh_folder(&folder)?;
    system::run(workspace.script(python, "pytorch_checkpoint.py").arg(&folder))?;
    let mut tests = workspace.cargo();
    tests.arg("test").args(system::ALL).args(["--lib", "--", TESTS]).env("STORMFIRE_PYTORCH_FILES", &folder);
    let printed = system::output(&mut tests)?;
    printed.lines().filter(|line| line.contains(TESTS)).for_each(|line| println!("{line}"));
    // cargo does not fail if a filter matches no test.
    if !printed.contains(MUST_RUN) {
        bail!("`{MUST_RUN}` is not in what the tests printed");
    }
    // The tests have exported the weights again.
    system::run(workspace.script(python, "export_check.py").arg(&folder))
}

fn they_read_ours(workspace: &Workspace, python: &Path) -> Result<()> {
    let (checkpoint, logs) = (examples::mnist_checkpoint(workspace)?, examples::mnist_logs(workspace)?);
    let mut check = workspace.script(python, "mnist_check.py");
    check.arg("docs/checkpoints.md").arg(checkpoint).arg(logs.join("metrics.csv")).arg(examples::MNIST_DATA);
    system::run(&mut check)
}
