//! Saves and continues a run in S3, on a server that runs here.

use std::env;

use anyhow::Result;

use crate::system::{self, Workspace};
use crate::test::Verdict;
use crate::venv::Environment;

const TEST: &str = "remote_folders::a_run_in_s3_is_continued_as_one_on_a_disk";

pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    if !system::has_program("python3") {
        return Ok(Verdict::Skipped("`python3` is missing (Debian: `apt-get install python3-venv`)".to_owned()));
    }
    let python = Environment { name: "s3", python: "python3", above_system: false }.interpreter(workspace)?;
    let mut check = workspace.command(python);
    // Built as in the step `test`, so there is nothing left to build.
    check.arg("xtask/python/s3_check.py").arg(env::var_os("CARGO").unwrap_or_else(|| "cargo".into())).args([
        "test",
        "--workspace",
        "--test",
        "behaviour",
        "--",
        "--ignored",
        "--exact",
        TEST,
    ]);
    system::run(&mut check)?;
    Ok(Verdict::Passed)
}
