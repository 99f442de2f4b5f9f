//! Compares metrics with torchmetrics, scikit-learn, `SciPy`, sacreBLEU and others.

use anyhow::{Result, bail};

use crate::step::Verdict;
use crate::system::{self, Workspace};
use crate::torch;

/// A test that must have run: cargo does not fail if it has compiled other ones.
const MUST_RUN: &str = "multiclass_equals_torchmetrics ... ok";

pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    let python = match torch::environment(workspace, "metrics")? {
        Ok(python) => python,
        Err(skipped) => return Ok(skipped),
    };
    let folder = workspace.target.join("metrics-run");
    system::fresh_folder(&folder)?;
    system::run(workspace.script(&python, "metrics/cases.py").arg(&folder))?;
    let mut tests = workspace.cargo();
    tests.arg("test").args(system::ALL).args(["--test", "oracle"]).env("STORMFIRE_METRICS_CASES", &folder);
    let printed = system::output(&mut tests)?;
    printed.lines().filter(|line| line.starts_with("test ")).for_each(|line| println!("{line}"));
    if !printed.contains(MUST_RUN) {
        bail!("`{MUST_RUN}` is not in what the tests printed");
    }
    Ok(Verdict::Passed)
}
