//! Builds the MNIST example with the cargo features for GPUs, and runs it on a machine without a usable GPU.
//!
//! burn compiles CUDA kernels with an LLVM that a build script downloads. With `DOCS_RS` set, the script skips the
//! download. `llvm_stubs.c` then replaces LLVM at link time, so no network is needed. Such a program cannot compute on
//! a GPU.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::losses;
use crate::step::Verdict;
use crate::system::{self, Workspace};

const STEPS: usize = 3;
/// A loss is a mean of f32 values over a batch. Each device sums them in a different order.
pub(crate) const TOLERANCE: f64 = 1e-3;
/// Optimization and debug information would add two minutes to the build, more than these few steps take to run.
pub(crate) const CHEAP: [&str; 5] = [
    "profile.dev.debug=0",
    "profile.dev.package.burn-flex.opt-level=0",
    "profile.dev.package.gemm.opt-level=0",
    "profile.dev.package.gemm-common.opt-level=0",
    "profile.dev.package.gemm-f32.opt-level=0",
];

/// The program runs on a machine without a usable GPU.
pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    if !cfg!(target_os = "linux") {
        return Ok(Verdict::Skipped("`cuda` is linked and run on Linux only".to_owned()));
    }
    let program = link(workspace)?;
    refuses_without_a_device(workspace, &program)?;
    survives_a_crashing_driver(workspace, &program)?;
    let cpu = losses::read(&train(workspace, &program, "cpu")?)?;
    let auto = losses::read(&train(workspace, &program, "auto")?)?;
    losses::compare(&cpu, &auto, STEPS, TOLERANCE).context("`--accelerator auto` does not train as the CPU does")?;
    Ok(Verdict::Passed)
}

/// The other features for GPUs compile. Their programs do not run here: `vulkan` crashes the only driver that CI can
/// install, and `metal` needs an Apple machine.
pub(crate) fn others_compile(workspace: &Workspace) -> Result<Verdict> {
    system::run(cargo(workspace, "check", "stormfire-examples").args(["--all-targets", "--features", "vulkan,metal"]))?;
    Ok(Verdict::Passed)
}

/// The folder of the files of the runs.
fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("cuda-run")
}

/// A cargo command for a package without the features that only some of its programs need. The builds for GPU features
/// share a folder. The programs for the CPU have another one.
pub(crate) fn cargo(workspace: &Workspace, command: &str, package: &str) -> Command {
    let mut cargo = workspace.cargo();
    cargo.args([command, "--package", package]).args(CHEAP.iter().flat_map(|setting| ["--config", setting]));
    cargo.env("CARGO_TARGET_DIR", target(workspace));
    cargo
}

/// The folder in which `cargo` builds.
pub(crate) fn target(workspace: &Workspace) -> PathBuf {
    workspace.target.join("gpu")
}

/// The object that replaces LLVM, in this folder.
pub(crate) fn stubs(workspace: &Workspace, folder: &Path) -> Result<PathBuf> {
    fs_err::create_dir_all(folder)?;
    let stubs = folder.join("llvm_stubs.o");
    // The same compiler that rustc uses for linking.
    system::run(workspace.command("cc").args(["-c", "xtask/llvm_stubs.c", "-o"]).arg(&stubs))?;
    Ok(stubs)
}

/// Builds the MNIST example for the CPU, wgpu and CUDA, and returns its path. It is not optimized, because an optimized
/// build of the kernel compilers alone would take longer than all runs here.
pub(crate) fn link(workspace: &Workspace) -> Result<PathBuf> {
    build(workspace, "stormfire-examples", &["--example", "mnist"], &[])?;
    Ok(system::program(&target(workspace).join("debug/examples"), "mnist"))
}

/// Builds the suite of the accelerators like the MNIST example, and with its features, so that both share a build.
pub(crate) fn link_suite(workspace: &Workspace) -> Result<PathBuf> {
    build(workspace, "stormfire-accelerator-tests", &["--bin", "accelerator-tests"], &["cli"])?;
    Ok(system::program(&target(workspace).join("debug"), "accelerator-tests"))
}

fn build(workspace: &Workspace, package: &str, program: &[&str], more_features: &[&str]) -> Result<()> {
    let mut cargo = cargo(workspace, "rustc", package);
    let own: &[&str] = if cfg!(target_os = "linux") { &["wgpu", "cuda"] } else { &["wgpu"] };
    cargo.arg("--quiet").args(program).arg("--features").arg([more_features, own].concat().join(","));
    if cfg!(target_os = "linux") {
        without_llvm(&mut cargo, &stubs(workspace, &folder(workspace))?);
    }
    system::run(&mut cargo)
}

/// Ends a `cargo rustc`: links the stubs in place of LLVM. Arguments that follow are those of the compiler.
pub(crate) fn without_llvm(cargo: &mut Command, stubs: &Path) {
    cargo.env("DOCS_RS", "1").args(["--", "-C"]).arg(format!("link-arg={}", stubs.display()));
}

/// The errors of a program without a usable GPU. On a machine with one, its first use ends in a stub.
pub(crate) const WITHOUT_A_DEVICE: [&str; 2] =
    ["no device for accelerator `cuda` on this machine", "the driver of accelerator `cuda` is broken"];

/// The program must fail with our error, which names a remedy, and not with a panic of burn.
fn refuses_without_a_device(workspace: &Workspace, program: &Path) -> Result<()> {
    refuses(workspace.command(program).args(["--accelerator", "cuda"]), 2, &WITHOUT_A_DEVICE)
}

/// A library with the driver's name ends every process that loads it. Only the probing child process may end.
fn survives_a_crashing_driver(workspace: &Workspace, program: &Path) -> Result<()> {
    let folder = folder(workspace).join("crashing-driver");
    system::fresh_folder(&folder)?;
    let source = folder.join("driver.c");
    fs_err::write(&source, "#include <stdlib.h>\n__attribute__((constructor)) static void loaded(void) { abort(); }\n")?;
    system::run(workspace.command("cc").args(["-shared", "-fPIC", "-o"]).arg(folder.join("libcuda.so")).arg(source))?;
    let mut command = workspace.command(program);
    command.env("LD_LIBRARY_PATH", &folder);
    command.args(["--accelerator", "cuda"]);
    refuses(&mut command, 2, &["the driver of accelerator `cuda` is broken: the process that tried it ended with signal: 6"])
}

/// The program must end with this exit code, one of the errors, and a hint.
pub(crate) fn refuses(program: &mut Command, code: i32, errors: &[&str]) -> Result<()> {
    let output = program.output()?;
    let shown = String::from_utf8_lossy(&output.stderr);
    println!("{}", shown.trim());
    if output.status.code() != Some(code) || !errors.iter().any(|error| shown.contains(error)) || !shown.contains("nvidia-smi") {
        bail!("`--accelerator cuda` ended with {}, expected: {code}, {} and a hint", output.status, errors.join(", or "));
    }
    Ok(())
}

fn train(workspace: &Workspace, program: &Path, accelerator: &str) -> Result<PathBuf> {
    let root = folder(workspace).join(accelerator);
    system::fresh_folder(&root)?;
    let mut train = workspace.command(program);
    train
        .args(["--accelerator", accelerator, "--trainer.max_steps", &STEPS.to_string(), "data.batch_size=16", "trainer.seed=1"])
        .args(["trainer.log_every_n_steps=1", "trainer.limit_val_batches=0", "trainer.enable_progress_bar=false"])
        .arg("--trainer.default_root_dir")
        .arg(&root);
    // Autotuning on a software rasterizer takes minutes and does not change the result.
    system::run(train.env("CUBECL_AUTOTUNE_LEVEL", "minimal"))?;
    Ok(root.join("lightning_logs/version_0/metrics.csv"))
}
