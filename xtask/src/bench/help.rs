//! The time in which a program prints its help: the start-up of every command.

use std::process::Stdio;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::system::{self, Workspace};

const RUNS: usize = 50;

pub(super) fn run(workspace: &Workspace) -> Result<()> {
    system::run(workspace.cargo().args(["build", "--release", "--example", "mnist"]))?;
    let program = workspace.target.join("release/examples/mnist");
    println!("\n| `mnist`, {RUNS} runs | least ms | median ms |");
    println!("|---|---|---|");
    for flag in ["--help", "--help=all", "--print-config", "--print-schema"] {
        let mut times = Vec::new();
        for _ in 0..RUNS {
            let began = Instant::now();
            let status = workspace.command(&program).arg(flag).stdout(Stdio::null()).status()?;
            times.push(began.elapsed().as_secs_f64() * 1e3);
            if !status.success() {
                bail!("`mnist {flag}` ended with {status}");
            }
        }
        times.sort_by(f64::total_cmp);
        println!("| `{flag}` | {:.1} | {:.1} |", times[0], times[RUNS / 2]);
    }
    Ok(())
}
