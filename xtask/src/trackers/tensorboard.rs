//! Logs every kind of value that TensorBoard shows, and compares what its own readers and its server find in the files.

use anyhow::Result;

use crate::system::{self, Workspace};
use crate::test::Verdict;
use crate::venv::Environment;

const SAMPLE: &str = "tensorboard_sample";

pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    if !system::has_program("python3") {
        return Ok(Verdict::Skipped("`python3` is missing (Debian: `apt-get install python3-venv`)".to_owned()));
    }
    let python = Environment { name: "readers", python: "python3", above_system: false }.interpreter(workspace)?;
    let folder = workspace.target.join("tensorboard-run");
    system::fresh_folder(&folder)?;
    let (logs, expected) = (folder.join("logs"), folder.join("expected.json"));
    // As in the step `test`, so there is little left to build.
    system::run(workspace.cargo().args(["build", "--quiet", "--workspace", "--example", SAMPLE]))?;
    let sample = workspace.target.join("debug/examples").join(format!("{SAMPLE}{}", std::env::consts::EXE_SUFFIX));
    system::run(workspace.command(sample).arg(&logs).arg(&expected))?;
    let port = system::free_port()?.to_string();
    system::run(workspace.script(&python, "tensorboard_sample_check.py").arg(&logs).arg(&expected).args(["--port", &port]))?;
    Ok(Verdict::Passed)
}
