//! `cargo xtask bench`: what the loop, loggers, trackers, a checkpoint, threads and the first build cost, as ratios
//! inside one run.

mod builds;
mod help;
mod loggers;
mod scaling;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::system::{self, Workspace};

/// A subject that can be measured alone.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// The loop, compared with a hand-written one and burn-train, and a process of one step.
    Loop,
    /// The cost of each default of the loop per step. Only measured if requested.
    Parts,
    Checkpoint,
    /// Threads that share each batch, compared with one device, a hand-written loop and PyTorch.
    Devices,
    /// The time in which an example prints its help. Builds it. Only measured if requested.
    Help,
    Loggers,
    /// Metrics, compared with torchmetrics.
    Metrics,
    /// One and two ranks, by threads and by MPI, and a simulation of larger clusters. Only measured if requested.
    Scaling,
    /// Trainings with trackers.
    Trackers,
    /// The first build of a new user, compared with a build of burn alone. Takes half an hour on two cores. Only
    /// measured if requested.
    Builds,
}

#[derive(Args)]
pub(crate) struct Options {
    /// Measure only this.
    #[arg(long, value_enum)]
    only: Option<Subject>,
    /// Interleaved rounds. The medians are printed.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Training steps of each contestant in a round.
    #[arg(long, default_value_t = 5000)]
    steps: usize,
    /// Threads of the kernels. One thread shows the loop best.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Rounds of saving and loading 100 million parameters. Needs 5 GB of memory and of disk. 0 omits them.
    #[arg(long, default_value_t = 3)]
    checkpoint_rounds: usize,
    /// A Python with torch, to save and load the same tensors for comparison.
    #[arg(long, value_name = "PYTHON")]
    torch: Option<PathBuf>,
    /// Rounds of a million scalars and rows for each logger. 0 omits them.
    #[arg(long, default_value_t = 3)]
    logger_rounds: usize,
    /// A Python with tensorboardX or Lightning, to log the same values for comparison.
    #[arg(long, value_name = "PYTHON")]
    python: Option<PathBuf>,
    /// Rounds of a training with each tracker and a server that is healthy, slow, down or answers with errors. 0 omits
    /// them.
    #[arg(long, default_value_t = 3)]
    tracker_rounds: usize,
}

impl Options {
    fn measures(&self, subject: Subject) -> bool {
        match self.only {
            Some(only) => only == subject,
            None => !matches!(subject, Subject::Parts | Subject::Builds | Subject::Help | Subject::Scaling),
        }
    }
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    if options.measures(Subject::Builds) {
        builds::run(workspace)?;
    }
    if options.measures(Subject::Help) {
        help::run(workspace)?;
    }
    if options.measures(Subject::Loggers) && options.logger_rounds > 0 {
        loggers::run(workspace, options.logger_rounds, options.python.as_deref())?;
    }
    if matches!(options.only, Some(Subject::Builds | Subject::Help | Subject::Loggers)) {
        return Ok(());
    }
    let target = workspace.target.join("bench");
    let program = build(workspace, options, &target)?;
    let bench = |arguments: &[String]| {
        let mut command = workspace.command(&program);
        command.args(arguments).env("RAYON_NUM_THREADS", options.threads.to_string());
        system::run(&mut command)
    };
    if options.measures(Subject::Scaling) {
        scaling::run(workspace, options.rounds, &program)?;
    }
    let overhead = ["overhead".into(), options.rounds.to_string(), options.steps.to_string()];
    if options.measures(Subject::Parts) {
        bench(&[overhead.as_slice(), &["--parts".into()]].concat())?;
    }
    if options.measures(Subject::Trackers) && options.tracker_rounds > 0 {
        bench(&["trackers".into(), options.tracker_rounds.to_string()])?;
    }
    if options.measures(Subject::Checkpoint) && options.checkpoint_rounds > 0 {
        let mut arguments =
            vec!["checkpoint".into(), target.join("checkpoints").display().to_string(), options.checkpoint_rounds.to_string()];
        match &options.torch {
            Some(python) => {
                let script = workspace.root.join("xtask/python/torch_checkpoint.py");
                arguments.extend([python, &script].map(|path| path.display().to_string()));
            }
            None => println!("torch.save and torch.load are left out: `--torch PYTHON` names a Python that has torch"),
        }
        bench(&arguments)?;
    }
    if options.measures(Subject::Devices) {
        devices(workspace, options, &program)?;
    }
    if options.measures(Subject::Metrics) {
        metrics(workspace, options, &program)?;
    }
    if options.measures(Subject::Loop) {
        bench(&overhead)?;
        println!("\nWhat a logged name costs when there are many:");
        bench(&["names".into()])?;
        println!("\nA whole process that makes one training step (three times each):");
        for name in ["startup", "startup-raw"] {
            for _ in 0..3 {
                print!("{name}: ");
                std::io::Write::flush(&mut std::io::stdout())?;
                bench(&[name.into()])?;
            }
        }
    }
    Ok(())
}

/// Measures with one kernel thread per core on the single device.
fn devices(workspace: &Workspace, options: &Options, program: &Path) -> Result<()> {
    let mut command = workspace.command(program);
    command.args(["devices", &options.rounds.to_string()]);
    match &options.torch {
        Some(python) => drop(command.arg(python).arg(workspace.root.join("xtask/python/torch_throughput.py"))),
        None => println!("PyTorch and Lightning are left out: `--torch PYTHON` names a Python that has torch and pytorch_lightning"),
    }
    system::run(&mut command)
}

fn metrics(workspace: &Workspace, options: &Options, program: &Path) -> Result<()> {
    let mut command = workspace.command(program);
    command.args(["metrics", &options.rounds.to_string()]).env("RAYON_NUM_THREADS", options.threads.to_string());
    match &options.torch {
        Some(python) => drop(command.arg(python).arg(workspace.root.join("xtask/python/metrics_bench.py"))),
        None => println!("torchmetrics is left out: `--torch PYTHON` names a Python that has it, as in `target/venv-metrics`"),
    }
    system::run(&mut command)
}

/// Builds only the needed features, because burn-train doubles the build time.
fn build(workspace: &Workspace, options: &Options, target: &Path) -> Result<PathBuf> {
    let mut build = workspace.cargo();
    build.args(["build", "--release", "--manifest-path"]).arg(workspace.root.join("xtask/bench/Cargo.toml"));
    build.arg("--target-dir").arg(target);
    for (subject, feature) in [(Subject::Loop, "rival"), (Subject::Trackers, "trackers"), (Subject::Scaling, "mpi")] {
        if options.measures(subject) && (feature != "mpi" || scaling::has_mpi()) {
            build.args(["--features", feature]);
        }
    }
    system::run(&mut build)?;
    Ok(target.join("release/stormfire-bench"))
}
