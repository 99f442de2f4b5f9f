//! `cargo xtask crash`: compares a long training that is killed at random instants with an uninterrupted one.

use anyhow::Result;
use clap::Args;

use crate::mpi;
use crate::step::Verdict;
use crate::system::{self, Workspace};

#[derive(Args)]
pub(crate) struct Options {
    /// The number of kills, by default 2000, or 200 with `--ranks`. The training takes longer with more kills.
    #[arg(long)]
    kills: Option<u32>,
    /// The seed of the instants. Runs are repeatable only as far as the timing of the machine is.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Train on several processes under `mpirun`, and kill a random one each time.
    #[arg(long)]
    ranks: Option<u32>,
}

/// The check with the default number of kills.
pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    run(workspace, &Options { kills: None, seed: 1, ranks: None })?;
    Ok(Verdict::Passed)
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    if let Some(ranks) = options.ranks {
        return mpi::crash(workspace, options.kills.unwrap_or(200), options.seed, ranks);
    }
    let test = "crash::a_killed_training_ends_like_an_uninterrupted_one";
    let mut command = workspace.cargo();
    command.arg("test").args(system::ALL).args(["--test", "behaviour", "--", test, "--exact", "--nocapture"]);
    command.env("STORMFIRE_CRASH_KILLS", options.kills.unwrap_or(2000).to_string()).env("STORMFIRE_CRASH_SEED", options.seed.to_string());
    system::run(&mut command)
}
