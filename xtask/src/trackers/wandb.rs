//! Has W&B's own software read a run, and compares our requests with those of its client.

use anyhow::Result;

use crate::system::{self, Workspace};
use crate::test::Verdict;
use crate::venv::Environment;

pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    if !system::has_program("python3") {
        return Ok(Verdict::Skipped("`python3` is missing (Debian: `apt-get install python3-venv`)".to_owned()));
    }
    system::run(workspace.cargo().args(["build", "--quiet", "--workspace", "--example", "wandb_sample"]))?;
    let sample = workspace.target.join(format!("debug/examples/wandb_sample{}", std::env::consts::EXE_SUFFIX));
    let python = Environment { name: "wandb", python: "python3", above_system: false }.interpreter(workspace)?;
    system::run(workspace.script(&python, "wandb_check.py").arg(sample).arg(workspace.target.join("wandb-run")))?;
    Ok(Verdict::Passed)
}
