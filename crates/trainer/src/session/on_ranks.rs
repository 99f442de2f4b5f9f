//! The start of a fit on several ranks: they must run the same program with the same options, and begin with the same
//! weights.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stormfire_checkpoint::{LoadOptions, Saved, Snapshot, restore};
use stormfire_data::{Loader, for_trainer::DriveLoader as _};
use stormfire_module::{Error, LightningModule, Result, state};
use stormfire_optim::{Optimizers, gradients};

use crate::engine::{
    Engine,
    over_ranks::{of_zero, tensors_of_bytes, tensors_to_bytes},
};

/// The values that rank 0 sends to the others at the start.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct SharedStart {
    pub(super) seed: u64,
    pub(super) log_dir: Option<PathBuf>,
    pub(super) is_logged: bool,
}

/// Properties that must be the same on every rank, by name.
pub(super) type Facts = Vec<(String, String)>;

/// `matters`: which options.
pub(super) fn facts_of<M: LightningModule>(engine: &Engine<M>, module: &M, matters: impl Fn(&str) -> bool) -> Result<Facts> {
    let mut facts = vec![
        ("version of Stormfire".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("module".to_owned(), std::any::type_name::<M>().to_owned()),
    ];
    let config: Value = state::save(engine.frame.config.as_ref())?;
    if let Value::Object(options) = config {
        let options = options.into_iter().filter(|(name, _)| matters(name));
        facts.extend(options.map(|(name, value)| (format!("option `{name}`"), value.to_string())));
    }
    facts.push(("number of parameters".to_owned(), module.num_params().to_string()));
    facts.push(("list of trained parameters".to_owned(), gradients::trained(module).join(", ")));
    Ok(facts)
}

/// Whether the ranks must have the same value of an option. A folder may be mounted elsewhere on another machine.
pub(super) fn must_be_the_same(option: &str) -> bool {
    option != "default_root_dir"
}

/// Refuses facts that differ from rank to rank.
///
/// # Errors
/// The first difference, on every rank.
pub(super) fn require_same<M: LightningModule>(engine: &Engine<M>, facts: impl FnOnce() -> Result<Facts>) -> Result<()> {
    if engine.world() == 1 {
        return Ok(());
    }
    let facts = facts()?;
    let others = engine.gathered(&facts)?.unwrap_or_default();
    let differs = |rank: usize, other: &Facts| {
        let pairs = facts.iter().zip(other).map(|((name, own), (_, others))| (name, own, others));
        let different = pairs.into_iter().find(|(_, own, others)| own != others);
        different.map(|(name, own, others)| format!("the {name} is `{own}` on rank 0 and `{others}` on rank {rank}"))
    };
    let difference = others.iter().zip(1..).find_map(|(other, rank)| differs(rank, other));
    match of_zero(&engine.frame.ranks, difference)? {
        Some(difference) => Err(Error::config("ranks", difference, "start the same program with the same options on every rank")),
        None => Ok(()),
    }
}

/// Compares the ranks, and gives all of them the facts of rank 0.
///
/// # Errors
/// Another program, or other options, on one of the ranks.
pub(super) fn start<M: LightningModule>(engine: &Engine<M>, module: &M, seed: u64, log_dir: Option<PathBuf>) -> Result<SharedStart> {
    require_same(engine, || facts_of(engine, module, must_be_the_same))?;
    of_zero(&engine.frame.ranks, SharedStart { seed, log_dir, is_logged: !engine.run.loggers.is_empty() })
}

/// The optimizers of a fit, with their rates.
pub(super) fn facts_of_optimizers(optimizers: &Optimizers) -> Facts {
    let names: Vec<_> = optimizers.iter().map(stormfire_optim::Optimizer::name).collect();
    let rates: Vec<_> = optimizers.learning_rates().into_iter().map(|(name, rate)| format!("{name}: {rate}")).collect();
    vec![("list of optimizers".to_owned(), names.join(", ")), ("list of learning rates".to_owned(), rates.join(", "))]
}

/// The numbers of batches and items of a run.
pub(super) fn facts_of_data<B: Send + 'static>(loaders: &[Loader<B>], limits: &[Option<usize>]) -> Facts {
    let facts = loaders.iter().zip(limits).enumerate().flat_map(|(index, (loader, limit))| {
        let number = |n: Option<usize>| n.map_or_else(|| "unknown".to_owned(), |n| n.to_string());
        [
            (format!("number of items of loader {index}"), number(loader.dataset_len())),
            (format!("number of batches of loader {index}"), number(loader.len().known())),
            (format!("limit of batches of loader {index}"), number(*limit)),
            (format!("order of loader {index}"), loader.order()),
        ]
    });
    std::iter::once(("number of loaders".to_owned(), loaders.len().to_string())).chain(facts).collect()
}

/// Gives every rank the weights of rank 0.
pub(super) fn share_weights<M: LightningModule>(engine: &Engine<M>, module: &mut M) -> Result<()> {
    let ranks = &engine.frame.ranks;
    if ranks.world() == 1 {
        return Ok(());
    }
    let mut bytes = if ranks.is_global_zero() { tensors_to_bytes(Snapshot::of_module(module)?)? } else { Vec::new() };
    ranks.broadcast(&mut bytes)?;
    if !ranks.is_global_zero() {
        let tensors = tensors_of_bytes("the weights of rank 0", &bytes)?;
        *module = restore(module.clone(), tensors, &LoadOptions::new().adopt_dtype(true))?.0;
    }
    Ok(())
}

/// Gives the callbacks that only rank 0 calls their state on every rank: the best checkpoint, for example.
pub(super) fn share_callbacks<M: LightningModule>(engine: &mut Engine<M>) -> Result<()> {
    let ranks = engine.frame.ranks.clone();
    if ranks.world() == 1 {
        return Ok(());
    }
    let mut states = Vec::new();
    if ranks.is_global_zero() {
        for (callback, key) in engine.callbacks_with_keys().filter(|(callback, _)| callback.rank_zero_only()) {
            let mut state = callback.state()?;
            // Tensors stay on rank 0: nothing reads them after a fit.
            if !state.has_tensors() {
                states.push((key.to_owned(), state.take_json()));
            }
        }
    }
    let states: Vec<(String, Value)> = of_zero(&ranks, states)?;
    if ranks.is_global_zero() {
        return Ok(());
    }
    for (callback, key) in engine.callbacks_with_keys().filter(|(callback, _)| callback.rank_zero_only()) {
        if let Some((_, state)) = states.iter().find(|(known, state)| known == key && !state.is_null()) {
            callback.load_state(Saved::from(state.clone()))?;
        }
    }
    Ok(())
}
