//! `cargo xtask gpu`: one file for a machine with a GPU and without a network. Its script checks the results of the
//! GPU, then measures.
//!
//! The program is linked with the stubs of `cargo xtask test --only cuda` in place of LLVM. On the GPU machine, burn
//! compiles its kernels from CUDA C++, with NVRTC and the headers of a CUDA toolkit or of PyTorch.

use anyhow::{Result, ensure};

use crate::cuda;
use crate::system::{self, Workspace};

/// The limit of what such machines take.
const MIB: u64 = 60;

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let target = workspace.target.join("gpu-bundle");
    let folder = target.join("stormfire-gpu");
    system::fresh_folder(&folder)?;
    let stubs = cuda::stubs(workspace, &target)?;
    let mut build = workspace.cargo();
    build.args(["rustc", "--release", "--package", "stormfire-accelerator-tests", "--bin", "accelerator-tests"]);
    build.args(["--features", "cuda-cpp", "--target-dir"]).arg(&target);
    // A driver knows the functions of older versions of CUDA.
    build.env("CUDARC_CUDA_VERSION", "12080");
    cuda::without_llvm(&mut build, &stubs);
    build.args(["-C", "strip=symbols"]);
    system::run(&mut build)?;
    fs_err::copy(target.join("release/accelerator-tests"), folder.join("accelerator-tests"))?;
    for script in ["gpu_run.sh", "torch_throughput.py"] {
        fs_err::copy(workspace.root.join("xtask/python").join(script), folder.join(script))?;
    }
    let bundle = target.join("stormfire-gpu.tar.xz");
    system::run(workspace.command("tar").args(["-C"]).arg(&target).arg("-cJf").arg(&bundle).arg("stormfire-gpu"))?;
    let size = fs_err::metadata(&bundle)?.len() >> 20;
    ensure!(size < MIB, "the bundle has {size} MiB, {MIB} are allowed");
    println!("{} ({size} MiB): unpack it on the machine with the GPU, and run `sh stormfire-gpu/gpu_run.sh`", bundle.display());
    cuda::refuses(workspace.command(folder.join("accelerator-tests")).arg("cuda"), 1, &cuda::WITHOUT_A_DEVICE)
}
