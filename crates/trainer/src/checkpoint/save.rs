//! The state of a run as it goes into a checkpoint.

use serde_json::Map;
use stormfire_checkpoint::{Manifest, ParamPaths, Snapshot};
use stormfire_loggers::CheckpointInfo;
use stormfire_module::{Event, LightningModule, Result, gradients, run::SaveRequest, state};

use crate::{
    checkpoint_names::Names,
    checkpoint_writer::{Job, RunPart},
    engine::Engine,
    log_state::{LOG_FOLDER, Pending},
    loop_state::LoopState,
    saved_log::PendingLog,
    training::Training,
};

/// Hands the checkpoints that callbacks have asked for to the writer.
///
/// # Errors
/// Also those of the checkpoint before: it is on its way no longer than until here.
pub(crate) fn write_requested<M: LightningModule>(engine: &mut Engine<M>, module: &mut M, training: &Training) -> Result<()> {
    if engine.run.requests.saves.is_empty() {
        let written = engine.checkpoints.poll()?;
        return report(engine, &written);
    }
    let started = engine.profiler.start();
    settle(engine)?;
    let requests = std::mem::take(&mut engine.run.requests.saves);
    let (weights_only, whole): (Vec<_>, Vec<_>) = requests.into_iter().partition(|request| request.weights_only);
    for requests in [whole, weights_only].into_iter().filter(|requests| !requests.is_empty()) {
        settle(engine)?;
        let job = take(engine, module, training, requests)?;
        engine.checkpoints.submit(job)?;
    }
    if !engine.config.async_checkpointing {
        settle(engine)?;
    }
    engine.stop_time(started, "save_checkpoint");
    Ok(())
}

/// Waits until the checkpoint that is on its way is durable.
pub(crate) fn settle<M: LightningModule>(engine: &mut Engine<M>) -> Result<()> {
    let written = engine.checkpoints.settle()?;
    report(engine, &written)
}

/// Tells the loggers what has been written.
fn report<M: LightningModule>(engine: &Engine<M>, written: &[SaveRequest]) -> Result<()> {
    for request in written {
        tracing::debug!("saved `{}`", request.path.display());
        let info = CheckpointInfo::new(&request.path);
        let info = match (&request.monitor, request.score) {
            (Some(monitor), Some(score)) => info.scored(monitor, score, request.is_best),
            _ => info,
        };
        engine.after_save_checkpoint(&info)?;
    }
    Ok(())
}

/// The run as it stands, without waiting for the device.
fn take<M: LightningModule>(engine: &mut Engine<M>, module: &mut M, training: &Training, requests: Vec<SaveRequest>) -> Result<Job> {
    let weights_only = requests.iter().all(|request| request.weights_only);
    let names = Names::of(&requests);
    let mut snapshot = Snapshot::of_module(module)?;
    let mut manifest = Manifest {
        weights_only,
        run_id: engine.run.id.clone(),
        saved_at: format!("{:.9}", jiff::Timestamp::now()),
        module: std::any::type_name::<M>().into(),
        device: format!("{:?}", engine.device),
        precision: "32-true".into(),
        seed: engine.seed,
        progress: state::save(&engine.run.progress)?,
        config: state::save(engine.config.as_ref())?,
        hparams: module.hparams()?,
        ..Manifest::default()
    };
    let mut run = None;
    if !weights_only {
        if let Some(accumulated) = &training.accumulated {
            gradients::save(accumulated, module, &mut snapshot);
        }
        for callback in engine.callbacks() {
            let state = callback.state()?;
            if !state.is_null() {
                manifest.callbacks.insert(callback.state_key(), state);
            }
        }
        let mut extra = Map::new();
        engine.fire(module, Event::SaveCheckpoint { checkpoint: &mut extra })?;
        manifest.extra = extra;
        manifest.loops = state::save(&LoopState::of(&engine.clock, &engine.run, names.clone()))?;
        manifest.data = state::save(&engine.data)?;
        // Last of all: what hooks have logged until now is in it, and in the logs before these positions.
        let mut pending = Pending::default();
        let log = engine.store.state(&mut pending);
        for (index, tensor) in pending.tensors().iter().enumerate() {
            snapshot.add(format!("{LOG_FOLDER}{index}"), tensor.clone());
        }
        let loggers = engine.run.loggers.iter().map(PendingLog::of).collect();
        run = Some(RunPart { optimizers: training.optimizers.snapshot(&ParamPaths::of(module))?, log, loggers });
    }
    engine.device.flush().map_err(stormfire_module::Error::other)?;
    Ok(Job { manifest, snapshot, run, requests, names, span: tracing::info_span!("save") })
}
