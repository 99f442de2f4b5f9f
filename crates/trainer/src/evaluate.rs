//! Validation and test: the loop without optimizers.
//!
//! ```text
//!                                       ValidationStart, ValidationEpochStart
//! for each loader, for each batch:
//!                                       ValidationBatchStart
//!     output = module.validation_step(batch)
//!                                       ValidationBatchEnd
//!     log step metrics
//!                                       ValidationEpochEnd
//! read the epoch's metrics, once; log them
//!                                       ValidationEnd
//! ```

mod events;

use std::sync::Arc;

use stormfire_data::{Batch, Loaders, Position, Stage};
use stormfire_module::{
    Error, LightningModule, Result, RunningStage, StepOutput,
    for_trainer::{parts, scope},
    place::EvaluationPosition,
};

use crate::{
    checkpoint,
    engine::{Engine, RandomPart},
    flags::Flags,
    log_store::{EpochMetrics, Sent},
};

/// Loaders, with the number of batches to take from each.
pub(crate) struct Evaluated<B> {
    pub(crate) loaders: Loaders<B>,
    pub(crate) limits: Vec<Option<usize>>,
}

impl<B> Evaluated<B> {
    pub(crate) fn new(loaders: Loaders<B>, limits: Vec<Option<usize>>) -> Self {
        Self { loaders, limits }
    }

    /// Whether there is nothing to evaluate.
    pub(crate) fn is_empty(&self) -> bool {
        self.limits.iter().all(|&limit| limit == Some(0))
    }
}

/// Evaluates a module that is already in evaluation mode. The stage distinguishes a sanity check.
///
/// If a signal requests the run to end, it stops between two batches with [`Error::Interrupted`]. The position stays in
/// `place`, and the next call continues from there.
pub(crate) fn evaluate<M: LightningModule>(
    engine: &mut Engine<M>,
    module: &mut M,
    data: &mut Evaluated<M::Batch>,
    stage: RunningStage,
) -> Result<EpochMetrics> {
    let _span = (engine.run.stage == Stage::Fit).then(|| tracing::info_span!("validation", stage = stage.name()).entered());
    let outer = std::mem::replace(&mut engine.run.moment.stage, stage);
    let outer_batch = (engine.run.moment.batch_idx, engine.run.moment.num_dataloaders);
    let outer_items = engine.run.batch_items.replace(1);
    engine.run.moment.num_dataloaders = data.loaders.len();
    engine.run.place.evaluated.resize(data.loaders.len(), 0);
    let result = evaluate_in_stage(engine, module, data, stage);
    engine.run.moment.stage = outer;
    (engine.run.moment.batch_idx, engine.run.moment.num_dataloaders) = outer_batch;
    engine.run.moment.dataloader_idx = 0;
    engine.run.batch_items = outer_items;
    result
}

fn evaluate_in_stage<M: LightningModule>(
    engine: &mut Engine<M>,
    module: &mut M,
    data: &mut Evaluated<M::Batch>,
    stage: RunningStage,
) -> Result<EpochMetrics> {
    let is_sanity_check = stage == RunningStage::SanityCheck;
    let start = engine.run.place.evaluating.unwrap_or_default();
    let begins = engine.run.place.evaluating.is_none() || engine.books.in_force.is_to_swap_again();
    if engine.run.stage == Stage::Fit {
        engine.books.in_force.note_before(module);
    }
    if begins {
        engine.reseed(RandomPart::Evaluation);
        engine.fire(module, events::start(stage))?;
        engine.fire(module, events::epoch_start(stage))?;
    }
    engine.books.in_force.note_started(module);
    for dataloader_idx in start.dataloader_idx..data.loaders.len() {
        let first = if dataloader_idx == start.dataloader_idx { start.batch_idx } else { 0 };
        evaluate_loader(engine, module, data, stage, EvaluationPosition { dataloader_idx, batch_idx: first })?;
    }
    engine.run.place.evaluating = None;
    engine.books.in_force.note_ended(module);
    engine.run.moment.dataloader_idx = 0;
    engine.store.reach_epoch_end(stage)?;
    engine.sync_values(Sent::Epoch(stage))?;
    engine.reseed(RandomPart::EvaluationEnd);
    engine.fire(module, events::epoch_end(stage))?;
    let metrics = engine.time("epoch_metrics", |engine| engine.store.end_epoch(stage))?;
    if !is_sanity_check {
        let place = &engine.run.place;
        let sent = metrics.send(&engine.run.loggers, place.logger_step, place.progress.epoch);
        engine.note_logged(sent);
    }
    engine.fire(module, events::end(stage))?;
    Ok(metrics)
}

fn evaluate_loader<M: LightningModule>(
    engine: &mut Engine<M>,
    module: &mut M,
    data: &mut Evaluated<M::Batch>,
    stage: RunningStage,
    start: EvaluationPosition,
) -> Result<()> {
    let EvaluationPosition { dataloader_idx, batch_idx: mut first } = start;
    let (rank, world) = (engine.rank(), engine.world());
    let (Some(loader), limit) = (data.loaders.get(dataloader_idx), data.limits.get(dataloader_idx).copied().flatten()) else {
        return Ok(());
    };
    engine.run.moment.dataloader_idx = dataloader_idx;
    engine.run.moment.batch_idx = (first / world).saturating_sub(1);
    let mut batches = loader.batches(Position::new(0, first), &engine.frame.device)?;
    while limit.is_none_or(|limit| first < limit) {
        engine.run.place.evaluating = Some(EvaluationPosition { dataloader_idx, batch_idx: first });
        checkpoint::keep_place(engine, module)?;
        engine.agree(Flags::default())?;
        engine.check_interrupt()?;
        // Each rank has one of these batches. The last round may be short.
        let round = limit.map_or(world, |limit| world.min(limit - first));
        if rank < round {
            let Some(batch) = engine.time("val_next", |_| batches.next()) else { break };
            evaluate_batch(engine, module, batch?, stage, EvaluationPosition { dataloader_idx, batch_idx: first })?;
        }
        if stage != RunningStage::SanityCheck {
            engine.run.place.evaluated[dataloader_idx] += round as u64;
        }
        first += round;
    }
    engine.run.batch_items = Some(1);
    engine.run.place.evaluating = Some(EvaluationPosition { dataloader_idx, batch_idx: first });
    checkpoint::keep_place(engine, module)
}

/// One batch of this rank. `at` is the position of the first batch of its round.
fn evaluate_batch<M: LightningModule>(
    engine: &mut Engine<M>,
    module: &mut M,
    batch: Batch<M::Batch>,
    stage: RunningStage,
    at: EvaluationPosition,
) -> Result<()> {
    let Batch { value, items, .. } = batch;
    let (dataloader_idx, batch_idx) = (at.dataloader_idx, at.batch_idx / engine.world());
    engine.run.batch_items = module.batch_size(&value).or(items);
    engine.run.moment.batch_idx = batch_idx;
    engine.reseed(RandomPart::EvaluationBatch { dataloader_idx, batch_idx: at.batch_idx + engine.rank() });
    engine.fire(module, events::batch_start(stage, &value, batch_idx, dataloader_idx))?;
    let started = engine.frame.profiler.start();
    let output = {
        let _scope = engine.enter(events::step(stage));
        step(engine, module, value, batch_idx, stage)
    };
    engine.stop_time(started, events::step(stage).name());
    if let Some(step) = scope::take_not_implemented() {
        return Err(Error::NotImplemented {
            what: step.name().into(),
            hint: format!("implement `LightningModule::{step}`, or give no loader for it"),
        });
    }
    let output = output.and_then(StepOutput::detach).map_err(|error| engine.in_step(events::step(stage), error))?;
    engine.collect()?;
    engine.fire(module, events::batch_end(stage, &output, batch_idx, dataloader_idx))?;
    if stage == RunningStage::SanityCheck {
        return Ok(());
    }
    if let Some(bundle) = engine.store.step_metrics(stage, dataloader_idx) {
        engine.frame.device.flush().map_err(Error::other)?;
        let sent = bundle.send(&engine.run.loggers, engine.run.place.evaluated[dataloader_idx], None);
        engine.note_logged(sent);
    }
    Ok(())
}

/// The step of the module, on the parts of the batch if the run has several threads.
fn step<M: LightningModule>(engine: &Engine<M>, module: &M, batch: M::Batch, batch_idx: usize, stage: RunningStage) -> Result<StepOutput> {
    let step = move |module: &M, batch| {
        if stage == RunningStage::Test { module.test_step(batch, batch_idx) } else { module.validation_step(batch, batch_idx) }
    };
    let (module, batch) = (engine.precision.evaluated(module), engine.precision.batch(batch));
    match &engine.frame.threads {
        None => step(&module, batch),
        Some(threads) => parts::evaluate(threads, &*module, &batch, &(Arc::new(step) as parts::Step<M, M::Batch, StepOutput>)),
    }
}
