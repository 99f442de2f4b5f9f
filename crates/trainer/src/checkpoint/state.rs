//! The state of a run at a boundary of its loop, as a checkpoint takes it.

use serde_json::Map;
use stormfire_checkpoint::{ParamPaths, Snapshot};
use stormfire_data::Stage;
use stormfire_loggers::Background;
use stormfire_module::{LightningModule, Order, Result, run::Boundary, state};

use crate::{
    engine::Engine,
    log_state::{LOG_FOLDER, Pending},
    loop_state::LoopState,
    run_state::{Kept, RunState, UnfinishedEpoch},
    saved_log::PendingLog,
    training::Training,
};

/// The small state as it is now.
pub(crate) fn run_state<M: LightningModule>(engine: &mut Engine<M>) -> Result<RunState> {
    let mut callbacks = Map::new();
    for callback in engine.callbacks() {
        let state = callback.state()?;
        if !state.is_null() {
            callbacks.insert(callback.state_key(), state);
        }
    }
    let loops = LoopState::of(&engine.clock, &engine.run);
    let mut pending = Pending::default();
    let log = engine.store.state(&mut pending);
    let data_module = engine.data_module.clone();
    Ok(RunState { progress: engine.run.progress.clone(), loops, log, pending, callbacks, data_module })
}

/// The newest state of the callbacks that save: they know which files there are.
pub(super) fn newest_of_savers<M: LightningModule>(engine: &Engine<M>, state: &mut RunState) -> Result<()> {
    for callback in engine.callbacks().iter().filter(|callback| callback.order() == Order::Save) {
        let newest = callback.state()?;
        if !newest.is_null() {
            state.callbacks.insert(callback.state_key(), newest);
        }
    }
    Ok(())
}

/// Keeps the state of this boundary, if a callback saves on failures.
pub(crate) fn keep<M: LightningModule>(engine: &mut Engine<M>, module: &M, training: &Training) -> Result<()> {
    if !engine.run.keeps_state {
        return Ok(());
    }
    let mut gradients = Snapshot::default();
    training.accumulated.save(module, &mut gradients);
    let optimizers = training.optimizers.snapshot(&ParamPaths::of(module))?;
    let run = run_state(engine)?;
    engine.kept = Some(Kept { module: module.valid(), optimizers, gradients, run, saves: engine.run.requests.saves.len() });
    engine.run.loggers.iter().for_each(Background::mark);
    Ok(())
}

/// The same between two batches of a validation, which changes no optimizer.
pub(crate) fn keep_place<M: LightningModule>(engine: &mut Engine<M>, module: &M) -> Result<()> {
    let Some(mut kept) = engine.kept.take() else { return Ok(()) };
    kept.run = run_state(engine)?;
    kept.module = module.valid();
    kept.saves = engine.run.requests.saves.len();
    engine.kept = Some(kept);
    engine.run.loggers.iter().for_each(Background::mark);
    Ok(())
}

/// After a failure: what is saved now is the state of the last boundary. Callbacks that save are put back there, too: what
/// they have asked for since is not written.
pub(crate) fn go_back<M: LightningModule>(engine: &mut Engine<M>) -> Result<()> {
    let Some(kept) = engine.kept.take() else {
        let is_in_validation = engine.run.stage == Stage::Fit && engine.clock.evaluating.is_some();
        engine.run.boundary = Some(Boundary { progress: engine.run.progress.clone(), is_in_validation });
        return Ok(());
    };
    engine.run.requests.saves.truncate(kept.saves);
    engine.run.requests.checkpoints.clone_from(&kept.run.loops.requests.checkpoints);
    let progress = kept.run.progress.clone();
    engine.run.boundary = Some(Boundary { progress, is_in_validation: kept.run.loops.is_in_validation() });
    let states = kept.run.callbacks.clone();
    engine.kept = Some(kept);
    for callback in engine.callbacks_mut().iter_mut().filter(|callback| callback.order() == Order::Save) {
        if let Some(state) = states.get(&callback.state_key()) {
            callback.load_state(state.clone())?;
        }
    }
    Ok(())
}

/// Notes where the fit is before its last epoch ends early. Waits for the device and for the loggers.
pub(crate) fn unfinished_epoch<M: LightningModule>(engine: &mut Engine<M>) -> Result<UnfinishedEpoch> {
    let RunState { progress, loops, mut log, pending, mut callbacks, data_module } = run_state(engine)?;
    for saver in engine.callbacks().iter().filter(|callback| callback.order() == Order::Save) {
        callbacks.remove(&saver.state_key());
    }
    let mut values = Snapshot::default();
    for (index, tensor) in pending.tensors().iter().enumerate() {
        values.add(format!("{LOG_FOLDER}{index}"), tensor.clone());
    }
    log.fill(&values.read()?.into_iter().map(|(_, data)| data).collect::<Vec<_>>());
    let loggers = engine.run.loggers.iter().map(|logger| PendingLog::of(logger).wait()).collect::<Result<_>>()?;
    Ok(UnfinishedEpoch { progress, loops, log, callbacks, loggers, data_module })
}

impl UnfinishedEpoch {
    /// As it goes into a checkpoint.
    pub(super) fn save(&self) -> Result<serde_json::Value> {
        state::save(self)
    }
}
