//! Builds with the cargo features for GPUs: checks them; links the MNIST example with `cuda` and runs it where no GPU can be used.
//!
//! burn compiles CUDA kernels with an LLVM that a build script downloads. `DOCS_RS` makes the script leave it out, and
//! `llvm_stubs.c` takes its place at the link, so that no network is needed. Such a program computes nothing on a GPU.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::losses;
use crate::step::Verdict;
use crate::system::{self, Workspace};

const STEPS: usize = 3;
/// What would make the program fast or debuggable takes two minutes longer to build than these few steps take to run.
const CHEAP: [&str; 5] = [
    "profile.dev.debug=0",
    "profile.dev.package.burn-flex.opt-level=0",
    "profile.dev.package.gemm.opt-level=0",
    "profile.dev.package.gemm-common.opt-level=0",
    "profile.dev.package.gemm-f32.opt-level=0",
];

/// The features for GPUs compile. Nothing of these runs here: `vulkan` crashes the only driver that CI can install, `metal`
/// needs an Apple, and `cuda` a GPU.
pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    system::run(cargo(workspace, "check").args(["--all-targets", "--features", "cuda,vulkan,metal"]).env("DOCS_RS", "1"))?;
    Ok(Verdict::Passed)
}

/// Links the program and runs it.
pub(crate) fn link_and_run(workspace: &Workspace) -> Result<Verdict> {
    if !cfg!(target_os = "linux") {
        return Ok(Verdict::Skipped("`cuda` is linked and run on Linux only".to_owned()));
    }
    let program = link(workspace)?;
    refuses_without_a_device(workspace, &program)?;
    survives_a_crashing_driver(workspace, &program)?;
    let cpu = losses::read(&train(workspace, &program, "cpu")?)?;
    let auto = losses::read(&train(workspace, &program, "auto")?)?;
    losses::compare(&cpu, &auto, STEPS, 0.0).context("`--accelerator auto` does not train as the CPU does")?;
    Ok(Verdict::Passed)
}

/// Where the runs leave their files.
fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("cuda-run")
}

/// Cargo with a command for the examples, and nothing of what only some of them need. What one feature for a GPU has had
/// built, macros and build scripts above all, the others find: they share a folder, which is not that of the CPU's programs.
pub(crate) fn cargo(workspace: &Workspace, command: &str) -> Command {
    let mut cargo = workspace.cargo();
    cargo.args([command, "--package", "stormfire-examples"]).args(CHEAP.iter().flat_map(|setting| ["--config", setting]));
    cargo.env("CARGO_TARGET_DIR", target(workspace));
    cargo
}

/// The folder in which `cargo` builds.
pub(crate) fn target(workspace: &Workspace) -> PathBuf {
    workspace.target.join("gpu")
}

fn link(workspace: &Workspace) -> Result<PathBuf> {
    let folder = folder(workspace);
    fs_err::create_dir_all(&folder)?;
    let stubs = folder.join("llvm_stubs.o");
    // The compiler that rustc links with.
    system::run(workspace.command("cc").args(["-c", "xtask/llvm_stubs.c", "-o"]).arg(&stubs))?;
    let mut cargo = cargo(workspace, "rustc");
    cargo.env("DOCS_RS", "1");
    cargo.args(["--example", "mnist", "--features", "cuda", "--", "-C"]).arg(format!("link-arg={}", stubs.display()));
    system::run(&mut cargo)?;
    Ok(target(workspace).join("debug/examples/mnist"))
}

/// With our error, which names the cure, and not with a panic of burn.
fn refuses_without_a_device(workspace: &Workspace, program: &Path) -> Result<()> {
    let missing = "no device for accelerator `cuda` on this machine";
    // Where there is a GPU: using it ends in a stub.
    let unusable = "the driver of accelerator `cuda` is broken";
    refuses(workspace.command(program), &[missing, unusable])
}

/// A library of the driver's name that ends every process that loads it ends none but the child that asks it.
fn survives_a_crashing_driver(workspace: &Workspace, program: &Path) -> Result<()> {
    let folder = folder(workspace).join("crashing-driver");
    system::fresh_folder(&folder)?;
    let source = folder.join("driver.c");
    fs_err::write(&source, "#include <stdlib.h>\n__attribute__((constructor)) static void loaded(void) { abort(); }\n")?;
    system::run(workspace.command("cc").args(["-shared", "-fPIC", "-o"]).arg(folder.join("libcuda.so")).arg(source))?;
    let mut command = workspace.command(program);
    command.env("LD_LIBRARY_PATH", &folder);
    refuses(command, &["the driver of accelerator `cuda` is broken: it ended the process that tried it with signal: 6"])
}

fn refuses(mut program: Command, errors: &[&str]) -> Result<()> {
    let output = program.args(["--accelerator", "cuda"]).output()?;
    let shown = String::from_utf8_lossy(&output.stderr);
    println!("{}", shown.trim());
    if output.status.code() != Some(1) || !errors.iter().any(|error| shown.contains(error)) || !shown.contains("nvidia-smi") {
        bail!("`--accelerator cuda` ended with {}, expected: {} and a hint", output.status, errors.join(", or "));
    }
    Ok(())
}

fn train(workspace: &Workspace, program: &Path, accelerator: &str) -> Result<PathBuf> {
    let root = folder(workspace).join(accelerator);
    system::fresh_folder(&root)?;
    let mut train = workspace.command(program);
    train
        .args(["--accelerator", accelerator, "--max-steps", &STEPS.to_string(), "--batch-size", "16", "--seed", "1"])
        .args(["--log-every-n-steps", "1", "--limit-val-batches", "0", "--no-progress-bar", "--root"])
        .arg(&root);
    system::run(&mut train)?;
    Ok(root.join("lightning_logs/version_0/metrics.csv"))
}
