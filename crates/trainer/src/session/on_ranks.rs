//! The start of a fit on several ranks: they must run the same program with the same options, and begin with the same
//! weights.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stormfire_checkpoint::{Checkpoint, Encoder, LoadOptions, Manifest, Saved, Snapshot, restore};
use stormfire_module::{Error, LightningModule, Result, state};
use stormfire_optim::gradients;

use crate::engine::{Engine, over_ranks::of_zero};

/// What rank 0 tells the others at the start.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) seed: u64,
    pub(super) log_dir: Option<PathBuf>,
    pub(super) is_logged: bool,
}

/// Properties that must be the same on every rank, by name.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Facts(Vec<(String, String)>);

impl Facts {
    fn of<M: LightningModule>(engine: &Engine<M>, module: &M) -> Result<Self> {
        let mut facts = vec![
            ("version of Stormfire".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("module".to_owned(), std::any::type_name::<M>().to_owned()),
        ];
        let config: Value = state::save(engine.frame.config.as_ref())?;
        if let Value::Object(options) = config {
            // A folder may be mounted elsewhere on another machine.
            let options = options.into_iter().filter(|(name, _)| name != "default_root_dir");
            facts.extend(options.map(|(name, value)| (format!("option `{name}`"), value.to_string())));
        }
        facts.push(("number of parameters".to_owned(), module.num_params().to_string()));
        facts.push(("trained parameters".to_owned(), gradients::trained(module).join(", ")));
        Ok(Self(facts))
    }

    /// The first difference.
    fn difference(&self, other: &Self, rank: usize) -> Option<String> {
        let differs = |((name, own), (_, others)): (&(String, String), &(String, String))| {
            (own != others).then(|| format!("the {name} is `{own}` on rank 0 and `{others}` on rank {rank}"))
        };
        self.0.iter().zip(&other.0).find_map(differs)
    }
}

/// Compares the ranks, and gives all of them the facts of rank 0.
///
/// # Errors
/// Another program, or other options, on one of the ranks.
pub(super) fn start<M: LightningModule>(engine: &Engine<M>, module: &M, seed: u64, log_dir: Option<PathBuf>) -> Result<Start> {
    let is_logged = !engine.run.loggers.is_empty();
    let own = Start { seed, log_dir, is_logged };
    if engine.world() == 1 {
        return Ok(own);
    }
    let facts = Facts::of(engine, module)?;
    let others = engine.gathered(&facts)?.unwrap_or_default();
    let difference = others.iter().zip(1..).find_map(|(other, rank)| facts.difference(other, rank));
    let (difference, start) = of_zero(&engine.frame.ranks, (difference, own))?;
    match difference {
        Some(difference) => Err(Error::config("ranks", difference, "start the same program with the same options on every rank")),
        None => Ok(start),
    }
}

/// Gives every rank the weights of rank 0.
pub(super) fn share_weights<M: LightningModule>(engine: &Engine<M>, module: &mut M) -> Result<()> {
    let ranks = &engine.frame.ranks;
    if ranks.world() == 1 {
        return Ok(());
    }
    let mut bytes = Vec::new();
    if ranks.is_global_zero() {
        let tensors = Snapshot::of_module(module)?.read()?;
        Encoder::new(&Manifest::default(), &tensors)?.write_to(&mut bytes)?;
    }
    ranks.broadcast(&mut bytes)?;
    if !ranks.is_global_zero() {
        let (_, tensors) = Checkpoint::from_bytes("the weights of rank 0", &bytes)?.into_parts();
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
            states.push((key.to_owned(), callback.state()?.take_json()));
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
