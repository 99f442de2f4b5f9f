//! Saves and resumes a run with its logs in S3, on a local server.

use std::env;

use anyhow::Result;

use crate::step::Verdict;
use crate::system::{self, Workspace};
use crate::venv::{self, Environment};

const TEST: &str = "remote_folders::a_run_in_s3_resumes_like_one_on_a_disk";

pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    if let Some(skip) = venv::skip_without_python() {
        return Ok(skip);
    }
    let python = Environment { name: "s3", python: "python3", above_system: false }.interpreter(workspace)?;
    let mut check = workspace.script(&python, "s3_check.py");
    // The same build as in the step `test`, so nothing is left to build.
    check.arg(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    check.arg("test").args(system::ALL).args(["--test", "behaviour", "--", "--ignored", "--exact", TEST]);
    system::run(&mut check)?;
    let program = system::program(&system::build(workspace, &["--example", "remote_logs"])?.join("examples"), "remote_logs");
    let mut check = workspace.script(&python, "s3_check.py");
    system::run(check.arg("--logs").arg(workspace.target.join("remote-logs-run")).arg(program))?;
    Ok(Verdict::Passed)
}
