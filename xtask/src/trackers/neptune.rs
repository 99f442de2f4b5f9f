//! Reads what our logger leaves with Neptune's own client, and what that client leaves with ours.

use anyhow::Result;

use crate::system::{self, Workspace};
use crate::test::Verdict;
use crate::venv::Environment;

pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    if !system::has_program("python3") {
        return Ok(Verdict::Skipped("`python3` is missing (Debian: `apt-get install python3-venv`)".to_owned()));
    }
    let python = Environment { name: "neptune", python: "python3", above_system: false }.interpreter(workspace)?;
    let folder = workspace.target.join("neptune-run");
    system::fresh_folder(&folder)?;
    system::run(workspace.cargo().args(["build", "--quiet", "--workspace", "--example", "neptune_sample"]))?;
    let sample = workspace.target.join(format!("debug/examples/neptune_sample{}", std::env::consts::EXE_SUFFIX));
    system::run(workspace.script(&python, "neptune_check.py").arg(sample).arg(folder))?;
    Ok(Verdict::Passed)
}
