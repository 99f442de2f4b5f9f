//! The state of a run as it goes into a checkpoint.

use serde_json::Map;
use stormfire_checkpoint::{Manifest, NamedTensors, ParamPaths, Snapshot};
use stormfire_loggers::CheckpointInfo;
use stormfire_module::{Event, LightningModule, Result, moment::Progress, optimizer::OptimizersSnapshot, run::SaveRequest, state, trained};

use crate::{
    accelerator,
    checkpoint_names::Names,
    checkpoint_writer::{Job, RunPart},
    engine::Engine,
    finite_weights::FiniteWeights,
    log_state::LOG_FOLDER,
    run_state::{Kept, RunState},
    saved_log::PendingLog,
    training::Training,
};

use super::state::{newest_of_savers, run_state};

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
    if !whole.is_empty() {
        let names = Names::of(&whole).and_weights(&weights_only);
        let job = take(engine, module, training, None, whole, names)?;
        engine.checkpoints.submit(job)?;
    }
    if !weights_only.is_empty() {
        settle(engine)?;
        let manifest = manifest(engine, module, &engine.run.progress)?;
        let job = weights_job(engine, &manifest, module, weights_only)?;
        engine.checkpoints.submit(job)?;
    }
    if !engine.config.async_checkpointing {
        settle(engine)?;
    }
    engine.stop_time(started, "save_checkpoint");
    Ok(())
}

/// Writes one checkpoint of a fit that has ended in this state, and waits for it.
pub(crate) fn write_state<M: LightningModule>(
    engine: &mut Engine<M>,
    module: &mut M,
    training: &Training,
    state: Option<RunState>,
    request: SaveRequest,
) -> Result<()> {
    settle(engine)?;
    let requests = vec![request];
    let job = if requests.iter().any(|request| request.weights_only) {
        let manifest = manifest(engine, module, &engine.run.progress)?;
        weights_job(engine, &manifest, module, requests)?
    } else {
        let names = Names::of(&requests);
        take(engine, module, training, state, requests, names)?
    };
    engine.checkpoints.submit(job)?;
    settle(engine)
}

/// The same in memory: the manifest and the tensors.
pub(crate) fn in_memory<M: LightningModule>(
    engine: &mut Engine<M>,
    module: &mut M,
    training: &Training,
    state: RunState,
) -> Result<(Manifest, NamedTensors)> {
    settle(engine)?;
    take(engine, module, training, Some(state), Vec::new(), Names::default())?.read()
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

/// The run as it stands, or stood in this state, without waiting for the device.
fn take<M: LightningModule>(
    engine: &mut Engine<M>,
    module: &mut M,
    training: &Training,
    state: Option<RunState>,
    requests: Vec<SaveRequest>,
    names: Names,
) -> Result<Job> {
    let mut gradients = Snapshot::default();
    training.accumulated.save(module, &mut gradients);
    let snapshot = gradients.with_module(module)?;
    let mut extra = Map::new();
    engine.fire(module, Event::SaveCheckpoint { checkpoint: &mut extra })?;
    let optimizers = training.optimizers.snapshot(&ParamPaths::of(module))?;
    // Last of all: what hooks have logged until now is in it, and in the logs before these positions.
    let run = state.map_or_else(|| run_state(engine), Ok)?;
    let loggers = engine.run.loggers.iter().map(PendingLog::of).collect();
    let mut manifest = manifest(engine, module, &run.progress)?;
    manifest.extra = extra;
    manifest.frozen = Some(trained::frozen(module));
    let finite = FiniteWeights::of(engine.config.on_non_finite, &engine.run, module);
    if let Some(unfinished) = &training.unfinished {
        manifest.unfinished_epoch = unfinished.save()?;
    }
    job(engine, manifest, snapshot, Parts { finite, run, optimizers, loggers }, requests, names)
}

/// Writes what was asked for after a failure: the state of the last boundary, if it was kept, and waits for it.
pub(crate) fn write_kept<M: LightningModule>(engine: &mut Engine<M>, module: &mut M, training: &Training) -> Result<()> {
    let Some(Kept { module: mut kept_module, optimizers, gradients, mut run, .. }) = engine.kept.take() else {
        return write_requested(engine, module, training);
    };
    let progress = run.progress.clone();
    let requests = std::mem::take(&mut engine.run.requests.saves);
    let (weights_only, whole): (Vec<_>, Vec<_>) = requests.into_iter().partition(|request| request.weights_only);
    if !whole.is_empty() {
        let loggers = engine.run.loggers.iter().map(|logger| PendingLog::at(logger, logger.marked())).collect();
        let mut extra = Map::new();
        engine.fire(&mut kept_module, Event::SaveCheckpoint { checkpoint: &mut extra })?;
        newest_of_savers(engine, &mut run)?;
        run.loops.requests.checkpoints.clone_from(&engine.run.requests.checkpoints);
        let mut manifest = manifest(engine, &kept_module, &run.progress)?;
        manifest.extra = extra;
        manifest.frozen = Some(trained::frozen(&kept_module));
        let names = Names::of(&whole).and_weights(&weights_only);
        let finite = FiniteWeights::of(engine.config.on_non_finite, &engine.run, &kept_module);
        let parts = Parts { finite, run, optimizers, loggers };
        let job = job(engine, manifest, gradients.with_module(&kept_module)?, parts, whole, names)?;
        engine.checkpoints.submit(job)?;
        settle(engine)?;
    }
    if !weights_only.is_empty() {
        let manifest = manifest(engine, &kept_module, &progress)?;
        let job = weights_job(engine, &manifest, &kept_module, weights_only)?;
        engine.checkpoints.submit(job)?;
        settle(engine)?;
    }
    Ok(())
}

/// What every checkpoint says of its run.
fn manifest<M: LightningModule>(engine: &Engine<M>, module: &M, progress: &Progress) -> Result<Manifest> {
    Ok(Manifest {
        run_id: engine.run.id.clone(),
        restarts: engine.restarts,
        saved_at: format!("{:.9}", jiff::Timestamp::now()),
        module: std::any::type_name::<M>().into(),
        device: accelerator::describe(&engine.device),
        precision: "32-true".into(),
        seed: engine.seed,
        progress: state::save(progress)?,
        config: state::save(engine.config.as_ref())?,
        hparams: module.hparams()?,
        ..Manifest::default()
    })
}

fn weights_job<M: LightningModule>(engine: &Engine<M>, manifest: &Manifest, module: &M, requests: Vec<SaveRequest>) -> Result<Job> {
    let names = Names::of(&requests);
    let snapshot = Snapshot::of_module(module)?;
    let finite = FiniteWeights::of(engine.config.on_non_finite, &engine.run, module);
    engine.device.flush().map_err(stormfire_module::Error::other)?;
    let span = tracing::info_span!("save");
    Ok(Job { manifest: manifest.of_weights(), snapshot, finite, run: None, requests, names, span })
}

/// What a checkpoint to continue from takes beside the manifest and the weights.
struct Parts {
    finite: Option<FiniteWeights>,
    run: RunState,
    optimizers: OptimizersSnapshot,
    loggers: Vec<PendingLog>,
}

fn job<M: LightningModule>(
    engine: &Engine<M>,
    mut manifest: Manifest,
    mut snapshot: Snapshot,
    parts: Parts,
    requests: Vec<SaveRequest>,
    names: Names,
) -> Result<Job> {
    let Parts { finite, run: RunState { mut loops, log, pending, callbacks, data_module, .. }, optimizers, loggers } = parts;
    loops.names = names.clone();
    manifest.loops = state::save(&loops)?;
    manifest.callbacks = callbacks;
    manifest.data = state::save(&engine.data)?;
    manifest.data_module = data_module;
    for (index, tensor) in pending.tensors().iter().enumerate() {
        snapshot.add(format!("{LOG_FOLDER}{index}"), tensor.clone());
    }
    engine.device.flush().map_err(stormfire_module::Error::other)?;
    let span = tracing::info_span!("save");
    Ok(Job { manifest, snapshot, finite, run: Some(RunPart { optimizers, log, loggers }), requests, names, span })
}
