//! Logs to real MLflow servers that run here, and into the folder of its file store.

use anyhow::Result;

use crate::system::{self, Workspace};
use crate::test::Verdict;
use crate::venv::Environment;

pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    if !system::has_program("python3") {
        return Ok(Verdict::Skipped("`python3` is missing (Debian: `apt-get install python3-venv`)".to_owned()));
    }
    let python = Environment { name: "mlflow", python: "python3", above_system: false }.interpreter(workspace)?;
    system::run(workspace.cargo().args(["build", "--quiet", "--workspace", "--example", "mlflow_sample"]))?;
    let sample = workspace.target.join(format!("debug/examples/mlflow_sample{}", std::env::consts::EXE_SUFFIX));
    let folder = workspace.target.join("mlflow-run");
    system::fresh_folder(&folder)?;
    system::run(workspace.script(&python, "mlflow_check.py").arg(folder).arg(sample))?;
    Ok(Verdict::Passed)
}
