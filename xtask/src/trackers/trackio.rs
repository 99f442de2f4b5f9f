//! Logs to a real trackio server that runs here.

use anyhow::Result;

use crate::system::{self, Workspace};
use crate::test::Verdict;
use crate::venv::Environment;

pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    if !system::has_program("python3") {
        return Ok(Verdict::Skipped("`python3` is missing (Debian: `apt-get install python3-venv`)".to_owned()));
    }
    let python = Environment { name: "trackio", python: "python3", above_system: false }.interpreter(workspace)?;
    system::run(workspace.cargo().args(["build", "--quiet", "--workspace", "--example", "trackio_sample"]))?;
    let sample = workspace.target.join(format!("debug/examples/trackio_sample{}", std::env::consts::EXE_SUFFIX));
    let port = system::free_port()?.to_string();
    let mut check = workspace.script(&python, "trackio_check.py");
    system::run(check.arg(workspace.target.join("trackio-run")).arg(port).arg(sample))?;
    Ok(Verdict::Passed)
}
