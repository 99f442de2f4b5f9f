//! Interleaved comparison of our loggers with Python's: a million scalars and a million rows.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::system::{self, Workspace};

const COUNT: &str = "1000000";

/// A row of the table: its name, its case in the example `throughput` or in `loggers_bench.py`, and whether it is the
/// Python script.
const CONTESTANTS: &[(&str, &str, bool)] = &[
    ("TensorBoard", "tensorboard", false),
    ("TensorBoard on its own thread", "tensorboard-background", false),
    ("TensorBoard, ten a call", "tensorboard-10-a-call", false),
    ("tensorboardX", "tensorboardX", true),
    ("CSV, 2 columns", "csv", false),
    ("CSV on its own thread", "csv-background", false),
    ("CSV, and 100 columns that appear late", "csv-late", false),
    ("Lightning's CSVLogger, 2 columns", "lightning-csv", true),
];

/// Wall time and processor time in seconds for all values, and the peak memory of the process in MiB.
#[derive(Clone, Copy)]
struct Cost {
    seconds: f64,
    cpu: f64,
    peak: f64,
}

pub(super) fn run(workspace: &Workspace, rounds: usize, python: Option<&Path>) -> Result<()> {
    let target = workspace.target.join("bench");
    let build = ["build", "--quiet", "--release", "--package", "stormfire-loggers", "--example", "throughput", "--target-dir"];
    system::run(workspace.cargo().args(build).arg(&target))?;
    let program = target.join("release/examples/throughput");
    if python.is_none() {
        println!("tensorboardX and Lightning's CSVLogger are left out: `--python PYTHON` names a Python that has them");
    }
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); CONTESTANTS.len()];
    for _ in 0..rounds {
        for ((name, case, is_python), costs) in CONTESTANTS.iter().zip(&mut costs) {
            let interpreter = python.filter(|_| *is_python);
            if *is_python && interpreter.is_none() {
                continue;
            }
            match measure(workspace, &program, case, interpreter) {
                Ok(cost) => costs.push(cost),
                Err(error) => println!("{name} is left out: {error:#}"),
            }
        }
    }
    println!("\n{rounds} rounds of a million values each, medians\n");
    println!("| logger | million/s | million per CPU second | peak MiB |");
    println!("|---|---|---|---|");
    for ((name, ..), costs) in CONTESTANTS.iter().zip(&costs).filter(|(_, costs)| !costs.is_empty()) {
        let of = |part: fn(&Cost) -> f64| median(costs.iter().map(part).collect());
        println!("| {name} | {:.3} | {:.3} | {:.1} |", 1.0 / of(|cost| cost.seconds), 1.0 / of(|cost| cost.cpu), of(|cost| cost.peak));
    }
    Ok(())
}

fn measure(workspace: &Workspace, program: &PathBuf, case: &str, python: Option<&Path>) -> Result<Cost> {
    let mut command = match python {
        Some(python) => workspace.script(python, "loggers_bench.py"),
        None => workspace.command(program),
    };
    let printed = system::output(command.args([case, COUNT]))?;
    let value: Value = serde_json::from_str(&printed)?;
    let number = |key: &str| value[key].as_f64().with_context(|| format!("no `{key}` in {printed}"));
    Ok(Cost { seconds: number("seconds")?, cpu: number("cpu")?, peak: number("peak_kib")? / 1024.0 })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
