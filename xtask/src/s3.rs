//! Saves and resumes a run with its logs in S3, on a local server.

use std::env;

use anyhow::Result;

use crate::step::Verdict;
use crate::system::{self, Workspace};
use crate::venv::Environment;

const TEST: &str = "remote_folders::a_run_in_s3_is_continued_as_one_on_a_disk";

pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    if !system::has_program("python3") {
        return Ok(Verdict::Skipped("`python3` is missing (Debian: `apt-get install python3-venv`)".to_owned()));
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
