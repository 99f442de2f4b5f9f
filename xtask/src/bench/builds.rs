//! The cost of a new user's first build, compared with a build of burn alone with the same features. It is measured in
//! processor time, because the wall time depends on the number of cores.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::system::{self, Workspace};

struct Build {
    packages: usize,
    cpu: f64,
    seconds: f64,
}

pub(super) fn run(workspace: &Workspace) -> Result<()> {
    let folder = workspace.target.join("bench/builds");
    system::fresh_folder(&folder)?;
    let alone = folder.join("burn");
    fs_err::create_dir_all(alone.join("src"))?;
    let ours = fs_err::read_to_string(workspace.root.join("Cargo.toml"))?;
    let burn = ours.lines().find(|line| line.starts_with("burn = ")).context("Cargo.toml has no line for burn")?;
    let package = "[package]\nname = \"burn-alone\"\nedition = \"2024\"\n";
    fs_err::write(alone.join("Cargo.toml"), format!("{package}\n[dependencies]\n{burn}\n\n[workspace]\n"))?;
    fs_err::write(alone.join("src/main.rs"), "fn main() {}\n")?;
    fs_err::copy(workspace.root.join("Cargo.lock"), alone.join("Cargo.lock"))?;
    let burn = build(workspace.cargo().args(["build", "--release"]).current_dir(&alone), &folder.join("target-burn"))?;
    let mnist = build(workspace.cargo().args(["build", "--release", "--example", "mnist"]), &folder.join("target-mnist"))?;
    println!("\n| first build, optimized | packages | CPU seconds | ratio | seconds |");
    println!("|---|---|---|---|---|");
    for (name, built) in [("burn alone, with the features of the examples", &burn), ("`cargo run --release --example mnist`", &mnist)] {
        println!("| {name} | {} | {:.0} | {:.2} | {:.0} |", built.packages, built.cpu, built.cpu / burn.cpu, built.seconds);
    }
    Ok(())
}

fn build(cargo: &mut Command, target: &Path) -> Result<Build> {
    let (began, cpu) = (Instant::now(), cpu_of_children()?);
    cargo.args(["--message-format", "json"]).env("CARGO_TARGET_DIR", target).stderr(Stdio::inherit());
    let output = cargo.output()?;
    if !output.status.success() {
        bail!("`cargo build` ended with {}", output.status);
    }
    let messages = String::from_utf8(output.stdout)?;
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let built = messages.filter(|message| message["reason"] == "compiler-artifact");
    let packages: BTreeSet<String> = built.map(|message| message["package_id"].to_string()).collect();
    Ok(Build { packages: packages.len(), cpu: cpu_of_children()? - cpu, seconds: began.elapsed().as_secs_f64() })
}

/// User and system time of all child processes that have ended. Linux counts it in hundredths of a second.
fn cpu_of_children() -> Result<f64> {
    let stat = fs_err::read_to_string("/proc/self/stat").context("processor time is measured on Linux only")?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |i: usize| after_name.split_whitespace().nth(i).and_then(|n| n.parse::<f64>().ok()).unwrap_or(f64::NAN);
    Ok((ticks(13) + ticks(14)) / 100.0)
}
