//! Trains the MNIST example for a few steps through wgpu and compares its losses with the CPU's. Then runs the suite of
//! the accelerators.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::step::Verdict;
use crate::system::{self, Workspace};
use crate::{cuda, losses};

const STEPS: usize = 5;
const DEBIAN: [&str; 2] = ["mesa-vulkan-drivers", "libvulkan1"];

pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    if let Some(reason) = missing_driver(workspace)? {
        return Ok(Verdict::Skipped(reason));
    }
    let program = cuda::link(workspace)?;
    let cpu = train(workspace, &program, "cpu")?;
    let wgpu = train(workspace, &program, "wgpu")?;
    let difference = losses::compare(&losses::read(&cpu)?, &losses::read(&wgpu)?, STEPS, cuda::TOLERANCE)?;
    println!("largest relative difference of {STEPS} losses: {difference:.1e}");
    let mut suite = on_wgpu(workspace, &cuda::link_suite(workspace)?)?;
    system::run(suite.args(["wgpu", "small"]))?;
    Ok(Verdict::Passed)
}

/// A program on the software driver.
fn on_wgpu(workspace: &Workspace, program: &Path) -> Result<Command> {
    let runtime = workspace.target.join("wgpu-run/runtime");
    fs_err::create_dir_all(&runtime)?;
    let mut command = workspace.command(program);
    // Mesa prints a warning at every start without the first variable. Autotuning on a software rasterizer takes
    // minutes and does not change the result.
    command.env("XDG_RUNTIME_DIR", &runtime).env("CUBECL_AUTOTUNE_LEVEL", "minimal");
    Ok(command)
}

/// One program does both runs, so that only the device differs.
fn train(workspace: &Workspace, program: &Path, accelerator: &str) -> Result<PathBuf> {
    let root = workspace.target.join("wgpu-run").join(accelerator);
    system::fresh_folder(&root)?;
    let mut mnist = on_wgpu(workspace, program)?;
    mnist
        .args(["--accelerator", accelerator, "--trainer.max_steps", &STEPS.to_string(), "trainer.seed=1"])
        .args(["trainer.log_every_n_steps=1", "trainer.limit_val_batches=0", "trainer.enable_progress_bar=false"])
        .arg("--trainer.default_root_dir")
        .arg(&root);
    system::run(&mut mnist)?;
    Ok(root.join("lightning_logs/version_0/metrics.csv"))
}

/// Returns the reason if no Vulkan driver is available and none can be installed.
fn missing_driver(workspace: &Workspace) -> Result<Option<String>> {
    if !cfg!(target_os = "linux") || has_driver() {
        return Ok(None);
    }
    Ok(system::install(workspace, &DEBIAN)?.map(|command| format!("no Vulkan driver; {command} has a software one")))
}

/// The places where the Vulkan loader searches for drivers.
fn has_driver() -> bool {
    let named = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()));
    let folders = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
    named || folders.iter().any(|folder| has_entry(Path::new(folder)))
}

fn has_entry(folder: &Path) -> bool {
    folder.read_dir().is_ok_and(|mut entries| entries.next().is_some())
}
