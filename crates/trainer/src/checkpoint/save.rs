//! Takes the state of a run for a checkpoint.

use serde_json::{Map, Value};
use stormfire_checkpoint::{Manifest, NamedTensors, Snapshot};
use stormfire_loggers::{CheckpointInfo, for_trainer::DriveBackground as _};
use stormfire_module::{Event, LightningModule, Result, moment::Progress, requests::SaveRequest, state};
use stormfire_optim::trained;

use crate::{
    accelerator,
    checkpoint_names::Names,
    checkpoint_writer::{Job, RunPart},
    engine::Engine,
    finite_weights::FiniteWeights,
    fit_state::{FitState, RunState, SavedRun, UNFINISHED},
    in_force::Weights,
    saved_log::PendingLog,
    training::Training,
};

use super::{
    at_boundary::{fit_state_of, newest_of_savers, run_state},
    of_ranks,
};

/// Submits the requested checkpoints to the writer.
///
/// # Errors
/// Includes errors of the previous checkpoint, because this waits for it.
pub(crate) fn write_requested<M: LightningModule>(engine: &mut Engine<M>, module: &mut M, training: &Training) -> Result<()> {
    if engine.run.place.requests.saves.is_empty() {
        let written = engine.frame.checkpoints.poll()?;
        return report(engine, &written);
    }
    let started = engine.frame.profiler.start();
    settle(engine)?;
    let requests = std::mem::take(&mut engine.run.place.requests.saves);
    if engine.rank() > 0 {
        // Its weights are those of rank 0.
        return Ok(());
    }
    let (weights_only, whole): (Vec<_>, Vec<_>) = requests.into_iter().partition(|request| request.weights_only);
    if !whole.is_empty() {
        let names = Names::of(&whole).and_weights(&weights_only);
        let (state, extra) = take(engine, module, training, None)?;
        let job = job(engine, state, training, extra, whole, names)?;
        engine.frame.checkpoints.submit(job)?;
    }
    if !weights_only.is_empty() {
        settle(engine)?;
        let (progress, weights) = (engine.run.place.progress.clone(), engine.weights(module)?);
        let job = weights_job(engine, &progress, weights, weights_only)?;
        engine.frame.checkpoints.submit(job)?;
    }
    if !engine.frame.config.async_checkpointing {
        settle(engine)?;
    }
    engine.stop_time(started, "save_checkpoint");
    Ok(())
}

/// Writes a checkpoint of a fit that has ended in this state, and waits for it.
pub(crate) fn write_state<M: LightningModule>(
    engine: &mut Engine<M>,
    module: &mut M,
    training: &Training,
    state: Option<RunState>,
    request: SaveRequest,
) -> Result<()> {
    settle(engine)?;
    if engine.rank() > 0 {
        return Ok(());
    }
    let requests = vec![request];
    let job = if requests.iter().any(|request| request.weights_only) {
        let (progress, weights) = (engine.run.place.progress.clone(), engine.weights(module)?);
        weights_job(engine, &progress, weights, requests)?
    } else {
        let names = Names::of(&requests);
        let (state, extra) = take(engine, module, training, state)?;
        job(engine, state, training, extra, requests, names)?
    };
    engine.frame.checkpoints.submit(job)?;
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
    let (state, extra) = take(engine, module, training, Some(state))?;
    job(engine, state, training, extra, Vec::new(), Names::default())?.read()
}

/// Waits until the checkpoint in progress is durable.
pub(crate) fn settle<M: LightningModule>(engine: &mut Engine<M>) -> Result<()> {
    let written = engine.frame.checkpoints.settle()?;
    report(engine, &written)
}

/// Reports written checkpoints to the loggers.
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

/// The current state of the fit, or its given earlier state, without waiting for the device, and the values added by
/// hooks.
fn take<M: LightningModule>(
    engine: &mut Engine<M>,
    module: &mut M,
    training: &Training,
    run: Option<RunState>,
) -> Result<(FitState<M>, Map<String, Value>)> {
    let weights = engine.weights(module)?;
    let extra = extra(engine, module)?;
    // Taken last, so that values logged by these hooks are in it, and in the logs before the positions that follow.
    let run = run.map_or_else(|| run_state(engine), Ok)?;
    Ok((fit_state_of(weights, training, run)?, extra))
}

fn extra<M: LightningModule>(engine: &mut Engine<M>, module: &mut M) -> Result<Map<String, Value>> {
    let mut extra = Map::new();
    engine.fire(module, Event::SaveCheckpoint { checkpoint: &mut extra })?;
    Ok(extra)
}

/// Writes the checkpoints requested after a failure, and waits for them. They contain the state of the last boundary,
/// if it was kept.
pub(crate) fn write_kept<M: LightningModule>(engine: &mut Engine<M>, module: &mut M, training: &Training) -> Result<()> {
    let Some(mut kept) = engine.books.kept.take() else {
        return write_requested(engine, module, training);
    };
    let requests = std::mem::take(&mut engine.run.place.requests.saves);
    let (weights_only, whole): (Vec<_>, Vec<_>) = requests.into_iter().partition(|request| request.weights_only);
    let (progress, weights) = (kept.run.place.progress.clone(), kept.weights.clone());
    if !whole.is_empty() {
        let extra = extra(engine, kept.weights.module_mut())?;
        newest_of_savers(engine, &mut kept.run)?;
        kept.run.place.requests.checkpoints.clone_from(&engine.run.place.requests.checkpoints);
        let names = Names::of(&whole).and_weights(&weights_only);
        let logs = engine.run.loggers.iter().map(|logger| PendingLog::at(logger, logger.marked())).collect();
        let job = job_at(engine, kept, training, extra, logs, whole, names)?;
        engine.frame.checkpoints.submit(job)?;
        settle(engine)?;
    }
    if !weights_only.is_empty() {
        let job = weights_job(engine, &progress, weights, weights_only)?;
        engine.frame.checkpoints.submit(job)?;
        settle(engine)?;
    }
    Ok(())
}

/// The common part of the run's manifests.
fn manifest<M: LightningModule>(engine: &Engine<M>, module: &M, progress: &Progress) -> Result<Manifest> {
    Ok(Manifest {
        run_id: engine.run.id.clone(),
        restarts: engine.books.restarts,
        saved_at: format!("{:.9}", jiff::Timestamp::now()),
        module: std::any::type_name::<M>().into(),
        device: accelerator::describe(&engine.frame.device),
        precision: engine.precision.name(&engine.frame.device),
        seed: engine.seed,
        progress: state::save(progress)?,
        config: state::save(engine.frame.config.as_ref())?,
        hparams: engine.run.internals.hparams(module.hparams()?),
        ..Manifest::default()
    })
}

fn weights_job<M: LightningModule>(
    engine: &Engine<M>,
    progress: &Progress,
    weights: Weights<M>,
    requests: Vec<SaveRequest>,
) -> Result<Job> {
    let names = Names::of(&requests);
    let manifest = manifest(engine, weights.trained(), progress)?.of_weights();
    let finite = FiniteWeights::of(engine.frame.config.on_non_finite, &engine.run, weights.trained());
    engine.frame.device.flush().map_err(stormfire_module::Error::other)?;
    let (weights, snapshot, span) = (weights.later(), Snapshot::default(), tracing::info_span!("save"));
    Ok(Job { manifest, weights, snapshot, finite, run: None, requests, names, span })
}

/// A checkpoint with this state and the current positions of the loggers.
fn job<M: LightningModule>(
    engine: &Engine<M>,
    state: FitState<M>,
    training: &Training,
    extra: Map<String, Value>,
    requests: Vec<SaveRequest>,
    names: Names,
) -> Result<Job> {
    let logs = engine.run.loggers.iter().map(PendingLog::of).collect();
    job_at(engine, state, training, extra, logs, requests, names)
}

fn job_at<M: LightningModule>(
    engine: &Engine<M>,
    state: FitState<M>,
    training: &Training,
    extra: Map<String, Value>,
    loggers: Vec<PendingLog>,
    requests: Vec<SaveRequest>,
    names: Names,
) -> Result<Job> {
    let FitState { weights, optimizers, gradients: mut snapshot, run } = state;
    let mut manifest = manifest(engine, weights.trained(), &run.place.progress)?;
    manifest.extra = extra;
    manifest.frozen = Some(trained::frozen(weights.trained()));
    manifest.names = state::save(&names)?;
    manifest.data = state::save(&engine.books.data)?;
    if let Some(unfinished) = &training.unfinished {
        manifest.unfinished_epoch = state::save(&unfinished.clone().save(UNFINISHED, &mut snapshot)?)?;
    }
    of_ranks::add_windows(engine, &mut snapshot);
    run.pending.add_to(&mut snapshot);
    let SavedRun { place, log, callbacks, data_module, .. } = run.save("", &mut snapshot)?;
    manifest.place = state::save(&place)?;
    (manifest.callbacks, manifest.data_module) = (callbacks, data_module);
    let finite = FiniteWeights::of(engine.frame.config.on_non_finite, &engine.run, weights.trained());
    engine.frame.device.flush().map_err(stormfire_module::Error::other)?;
    let (weights, span) = (weights.later(), tracing::info_span!("save"));
    Ok(Job { manifest, weights, snapshot, finite, run: Some(RunPart { optimizers, log, loggers }), requests, names, span })
}
