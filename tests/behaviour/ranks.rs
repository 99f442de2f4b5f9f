//! Several ranks train together. The law: `W` ranks equal one rank with `accumulate_grad_batches(W)`.
//!
//! The ranks are threads here, since their communicator adds up as that of MPI does. burn has one random generator for
//! all threads, so nothing here draws from it.

mod agreement;
mod data;
mod failures;
mod law;
mod resumed;
mod set_ups;
mod steps;
mod strategies;
mod values;

use std::path::Path;

use stormfire::{Error, checkpoint::Checkpoint, loggers::MemoryLogger, prelude::*, ranks::threads};

use crate::{
    devices::{self, Logged, net::Net},
    support::recording,
};

/// The end of a fit on one rank.
#[derive(Clone, Debug)]
struct Ended {
    weights: Vec<f32>,
    /// The average of the weights, if there is one.
    in_force: Vec<f32>,
    progress: stormfire::module::moment::Progress,
    stop: Stop,
    logged: Vec<Logged>,
}

/// A fit on this rank.
fn fit<M: LightningModule>(
    module: M,
    data: impl DataModule<Batch = M::Batch>,
    set: impl FnOnce(Trainer<M>) -> Trainer<M>,
) -> Result<Ended, Error> {
    let logger = MemoryLogger::new();
    let trainer = recording(&logger).max_epochs(2).log_every_n_steps(1).num_sanity_val_steps(0).handle_signals(false);
    let mut trainer = set(trainer);
    let fit = trainer.fit(module, data)?;
    Ok(Ended {
        weights: devices::values(&fit.module),
        in_force: devices::values(&trainer.weights_in_force(&fit.module)?),
        progress: fit.progress,
        stop: fit.stop,
        logged: logger.rows().into_iter().map(|(name, value, step)| (name, step, value)).collect(),
    })
}

/// The same on several ranks, with the text of each error. Each rank needs a module with its own leaves.
fn tried_on_ranks<M: LightningModule, D: DataModule<Batch = M::Batch>>(
    world: usize,
    module: impl Fn() -> M + Sync,
    data: impl Fn() -> D + Sync,
    set: impl Fn(usize, Trainer<M>) -> Trainer<M> + Sync,
) -> Vec<Result<Ended, String>> {
    let ended = threads::run(world, |rank| fit(module(), data(), |trainer| set(rank, trainer)));
    ended.into_iter().map(|ended| ended.map_err(|error| error.to_string())).collect()
}

/// The same for clones of a net, without a failure.
#[track_caller]
fn on_ranks<D: DataModule<Batch = devices::net::Digits>>(
    world: usize,
    net: &Net,
    data: impl Fn() -> D + Sync,
    set: impl Fn(usize, Trainer<Net>) -> Trainer<Net> + Sync,
) -> Vec<Ended> {
    let ended = tried_on_ranks(world, || net.of_its_own(), data, set);
    ended.into_iter().map(|ended| ended.unwrap()).collect()
}

/// All tensors of a checkpoint that the ranks share, and the plain values that do not depend on the number of ranks.
fn contents(path: &Path) -> (Vec<(String, Vec<f32>)>, String) {
    let (manifest, tensors) = Checkpoint::read(path).unwrap().into_parts();
    let numbers = tensors.into_iter().filter(|(name, _)| !name.starts_with("ranks/"));
    let numbers = numbers.map(|(name, data)| (name, data.iter::<f32>().collect())).collect();
    (numbers, format!("{} {:?}", manifest.progress, manifest.optimizers))
}
