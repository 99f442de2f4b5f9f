//! `cargo xtask bench`: what the loop, loggers, trackers and a checkpoint cost, as ratios inside one run.

mod loggers;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::system::{self, Workspace};

#[derive(Args)]
pub(crate) struct Options {
    /// Interleaved rounds; the medians are printed.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Training steps of each contestant in a round.
    #[arg(long, default_value_t = 5000)]
    steps: usize,
    /// Threads of the kernels. One thread shows the loop best.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Rounds of saving and loading 100 million parameters, which needs 5 GB of memory and of disk; 0 leaves them out.
    #[arg(long, default_value_t = 3)]
    checkpoint_rounds: usize,
    /// A Python with torch, to save and load the same beside it.
    #[arg(long, value_name = "PYTHON")]
    torch: Option<PathBuf>,
    /// Measures checkpoints only.
    #[arg(long)]
    only_checkpoint: bool,
    /// Rounds of a million scalars and rows for each logger; 0 leaves them out.
    #[arg(long, default_value_t = 3)]
    logger_rounds: usize,
    /// A Python with tensorboardX or Lightning, to record the same beside our loggers.
    #[arg(long, value_name = "PYTHON")]
    python: Option<PathBuf>,
    /// Measures loggers only.
    #[arg(long)]
    only_loggers: bool,
    /// Rounds of a training with each tracker and a server that is well, slow, down or angry; 0 leaves them out.
    #[arg(long, default_value_t = 3)]
    tracker_rounds: usize,
    /// Measures trainings with trackers only.
    #[arg(long)]
    only_trackers: bool,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    if options.logger_rounds > 0 && !options.only_checkpoint && !options.only_trackers {
        loggers::run(workspace, options.logger_rounds, options.python.as_deref())?;
    }
    if options.only_loggers {
        return Ok(());
    }
    let folder = workspace.root.join("xtask/bench");
    let target = workspace.target.join("bench");
    system::run(
        workspace.cargo().args(["build", "--release", "--manifest-path"]).arg(folder.join("Cargo.toml")).arg("--target-dir").arg(&target),
    )?;
    let program = target.join("release/stormfire-bench");
    let bench = |arguments: &[String]| {
        let mut command = workspace.command(&program);
        command.args(arguments).env("RAYON_NUM_THREADS", options.threads.to_string());
        system::run(&mut command)
    };
    if options.tracker_rounds > 0 && !options.only_checkpoint {
        bench(&["trackers".into(), options.tracker_rounds.to_string()])?;
    }
    if options.only_trackers {
        return Ok(());
    }
    if options.checkpoint_rounds > 0 {
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
    if options.only_checkpoint {
        return Ok(());
    }
    bench(&["overhead".into(), options.rounds.to_string(), options.steps.to_string()])?;
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
    Ok(())
}
