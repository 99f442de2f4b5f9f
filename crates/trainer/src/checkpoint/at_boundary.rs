//! Takes the state of a fit at a boundary of its loop.

use std::collections::BTreeMap;

use stormfire_checkpoint::{ParamPaths, Snapshot};
use stormfire_loggers::{Background, for_trainer::DriveBackground as _};
use stormfire_module::{Error, LightningModule, Order, Result};
use stormfire_optim::for_trainer::SaveOptimizers as _;

use super::of_ranks;
use crate::{
    engine::Engine,
    fit_state::{FitState, RunState},
    in_force::Weights,
    log_state::Pending,
    saved_log::PendingLog,
    training::Training,
};

/// The current state of the fit.
fn fit_state<M: LightningModule>(engine: &mut Engine<M>, module: &M, training: &Training) -> Result<FitState<M>> {
    let weights = engine.weights(module)?;
    let run = run_state(engine)?;
    fit_state_of(weights, training, run)
}

/// The state of a fit with these weights and this small state, which were taken before.
pub(super) fn fit_state_of<M: LightningModule>(weights: Weights<M>, training: &Training, run: RunState) -> Result<FitState<M>> {
    let mut gradients = Snapshot::default();
    // Weights that hooks put into the module for a validation may have other ids.
    training.accumulated.save(weights.trained(), &mut gradients);
    let optimizers = training.optimizers.snapshot(&ParamPaths::of(weights.trained()))?;
    Ok(FitState { weights, optimizers, gradients, run })
}

/// The current small state.
pub(crate) fn run_state<M: LightningModule>(engine: &mut Engine<M>) -> Result<RunState> {
    let mut callbacks = BTreeMap::new();
    for (callback, key) in engine.callbacks_with_keys() {
        let state = callback.state()?;
        if !state.is_empty() && callbacks.insert(key.to_owned(), state).is_some() {
            return Err(Error::config(
                format!("{}::state_key", callback.name()),
                format!("two callbacks save their state as `{key}`"),
                "give one of them another `state_key`",
            ));
        }
    }
    let mut pending = Pending::default();
    let (log, mut place) = of_ranks::state(engine, &mut pending)?;
    let data_module = engine.books.data_module.clone();
    place.last_validation.stop();
    Ok(RunState { place, log, pending, callbacks, data_module, loggers: Vec::new() })
}

/// Updates the states of the callbacks that save, because they know which files exist.
pub(super) fn newest_of_savers<M: LightningModule>(engine: &mut Engine<M>, state: &mut RunState) -> Result<()> {
    for (callback, key) in engine.callbacks_with_keys().filter(|(callback, _)| callback.order() == Order::Save) {
        let newest = callback.state()?;
        if !newest.is_empty() {
            state.callbacks.insert(key.to_owned(), newest);
        }
    }
    Ok(())
}

/// Keeps the state of this boundary, if a callback saves on failures.
pub(crate) fn keep<M: LightningModule>(engine: &mut Engine<M>, module: &M, training: &Training) -> Result<()> {
    if engine.run.internals.keeps_state {
        engine.books.kept = Some(fit_state(engine, module, training)?);
        engine.run.loggers.iter().for_each(Background::mark);
    }
    Ok(())
}

/// As [`keep`], between two batches of a validation, which changes no optimizer.
pub(crate) fn keep_place<M: LightningModule>(engine: &mut Engine<M>, module: &M) -> Result<()> {
    let Some(kept) = engine.books.kept.take() else { return Ok(()) };
    let (weights, run) = (engine.weights(module)?, run_state(engine)?);
    engine.books.kept = Some(FitState { weights, run, ..kept });
    engine.run.loggers.iter().for_each(Background::mark);
    Ok(())
}

/// After a failure: a save now writes the state of the last boundary. Callbacks that save are also restored to it,
/// because their later requests are not written.
pub(crate) fn go_back<M: LightningModule>(engine: &mut Engine<M>) -> Result<()> {
    let Some(kept) = engine.books.kept.take() else {
        engine.run.boundary = Some(engine.run.place.clone());
        return Ok(());
    };
    let asked = &mut engine.run.place.requests;
    asked.saves.truncate(kept.run.place.requests.saves.len());
    asked.checkpoints.clone_from(&kept.run.place.requests.checkpoints);
    engine.run.boundary = Some(kept.run.place.clone());
    let states = kept.run.callbacks.clone();
    engine.books.kept = Some(kept);
    for (callback, key) in engine.callbacks_with_keys().filter(|(callback, _)| callback.order() == Order::Save) {
        if let Some(state) = states.get(key) {
            callback.load_state(state.clone())?;
        }
    }
    Ok(())
}

/// Takes the state of a fit before its last epoch ends early. Waits for the device and for the loggers.
pub(crate) fn unfinished_epoch<M: LightningModule>(engine: &mut Engine<M>) -> Result<RunState> {
    let mut run = run_state(engine)?;
    for (_, key) in engine.callbacks_with_keys().filter(|(callback, _)| callback.order() == Order::Save) {
        // These know which files exist.
        run.callbacks.remove(key);
    }
    run.log.read(&std::mem::take(&mut run.pending))?;
    run.loggers = engine.run.loggers.iter().map(|logger| PendingLog::of(logger).wait()).collect();
    Ok(run)
}
