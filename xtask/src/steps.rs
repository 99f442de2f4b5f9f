//! The steps of `cargo xtask test`, in order. The quick ones come first.

use anyhow::Result;

use crate::step::{Step, Verdict};
use crate::system::{self, Workspace};
use crate::{crash, cuda, docs, examples, fresh, linters, metrics, mpi, package, pages, python, s3, tidy, torch, trackers, wgpu};

pub(crate) const STEPS: &[Step] = &[
    Step { name: "fmt", about: "the code is formatted", body: fmt },
    Step { name: "tidy", about: "project rules: layers, file lengths, links, commit subjects", body: tidy::step },
    Step { name: "typos", about: "no word is misspelled", body: linters::typos },
    Step { name: "deny", about: "licences, versions, sources and security advisories of the dependencies", body: linters::deny },
    Step { name: "package", about: "the crates can be packaged, and name the version of Rust that they need", body: package::step },
    Step { name: "clippy", about: "no warning of the compiler or of clippy", body: clippy },
    Step { name: "features", about: "each logger alone builds without a warning", body: features },
    Step { name: "test", about: "unit, integration and doc tests", body: test },
    Step { name: "docs", about: "the documentation builds without a warning, and the links of the book are valid", body: docs::step },
    Step { name: "examples", about: "every example runs on real data", body: examples::step },
    Step {
        name: "readers",
        about: "TensorBoard, its server, pandas and safetensors read the files of the MNIST example",
        body: python::step,
    },
    Step { name: "tensorboard", about: "TensorBoard shows every kind of logged value", body: trackers::tensorboard },
    Step { name: "pages", about: "a browser shows the page of `stormfire report` without an error", body: pages::step },
    Step { name: "torch", about: "PyTorch computes with our weights, and we compute with those of PyTorch Lightning", body: torch::step },
    Step { name: "metrics", about: "metrics equal those of torchmetrics, scikit-learn and others", body: metrics::step },
    Step { name: "mlflow", about: "MLflow's servers, client and migration read the data of MlflowLogger", body: trackers::mlflow },
    Step { name: "s3", about: "a run that is saved in S3 resumes from there", body: s3::step },
    Step {
        name: "wandb",
        about: "W&B's reader and `wandb sync` read every row, our requests equal those of its client, and its agent drives an example",
        body: trackers::wandb,
    },
    Step { name: "trackio", about: "a trackio server has every value of a killed and resumed run once", body: trackers::trackio },
    Step {
        name: "comet",
        about: "Comet's client reads and uploads our archives, and our requests equal those of the client",
        body: trackers::comet,
    },
    Step { name: "neptune", about: "Neptune's client reads our runs, and we read its runs", body: trackers::neptune },
    Step {
        name: "wgpu",
        about: "the MNIST example and the suite of the accelerators compute through wgpu as on the CPU",
        body: wgpu::step,
    },
    Step { name: "mpi", about: "real processes under `mpirun` sum, agree, and end when one of them dies", body: mpi::step },
    Step { name: "cuda", about: "the MNIST example links with `cuda` and runs without a GPU", body: cuda::step },
];

/// Steps that take too long for every change. `--full` adds them.
pub(crate) const FULL_STEPS: &[Step] = &[
    Step {
        name: "fresh",
        about: "new projects, of the README and of `stormfire new`, build with optimizations and train",
        body: fresh::step,
    },
    Step { name: "rust-version", about: "all crates compile with the least version of Rust", body: package::least_rust },
    Step { name: "first", about: "the first command of the README builds with optimizations and trains", body: examples::first },
    Step { name: "long-examples", about: "the examples that train for minutes reach their usual quality", body: examples::long_step },
    Step { name: "burn-train", about: "the program of burn-train in the book compiles", body: docs::burn_train },
    Step { name: "gpu-features", about: "the features `vulkan` and `metal` compile", body: cuda::others_compile },
    Step { name: "mpich", about: "real processes under MPICH's launcher equal one process", body: mpi::mpich },
    Step { name: "configs", about: "no damaged configuration makes the readers panic, in 20,000 cases of each property", body: configs },
    Step { name: "crash", about: "a training that is killed 2,000 times ends like an uninterrupted one", body: crash::step },
];

fn fmt(workspace: &Workspace) -> Result<Verdict> {
    system::run(workspace.cargo().args(["fmt", "--all", "--check"]))?;
    Ok(Verdict::Passed)
}

fn clippy(workspace: &Workspace) -> Result<Verdict> {
    system::run(workspace.cargo().arg("clippy").args(system::ALL).args(["--all-targets", "--", "-D", "warnings"]))?;
    Ok(Verdict::Passed)
}

/// The crate of the loggers does not depend on burn, so this is quick.
fn features(workspace: &Workspace) -> Result<Verdict> {
    for logger in ["comet", "csv", "mlflow", "neptune", "tensorboard", "trackio", "wandb"] {
        let only = ["clippy", "--quiet", "--package", "stormfire-loggers", "--no-default-features", "--features", logger];
        system::run(workspace.cargo().args(only).args(["--", "-D", "warnings"]))?;
    }
    Ok(Verdict::Passed)
}

/// The properties of the command line's readers, with many more cases than in the step `test`.
fn configs(workspace: &Workspace) -> Result<Verdict> {
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--package", "stormfire-cli", "--lib"]).args(system::ALL).args([
        "--",
        "panic",
        "any_division",
        "a_printed",
        "in_all_of_its_forms",
    ]);
    system::run(cargo.env("PROPTEST_CASES", "20000"))?;
    Ok(Verdict::Passed)
}

fn test(workspace: &Workspace) -> Result<Verdict> {
    system::run(workspace.cargo().arg("test").args(system::ALL).arg("--no-fail-fast"))?;
    Ok(Verdict::Passed)
}
