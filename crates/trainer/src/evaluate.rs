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

use stormfire_data::{Batch, Loaders, Position, Stage};
use stormfire_module::{Error, Event, Hook, LightningModule, Result, RunningStage, StepOutput, place::EvaluationPosition, scope};

use crate::{
    bundle::send_metrics,
    checkpoint,
    engine::{Engine, RandomPart},
    log_store::{EpochMetrics, Loop},
};

/// Whether the validation or the test step is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evaluation {
    Validation,
    Test,
}

impl Evaluation {
    fn step(self) -> Hook {
        match self {
            Evaluation::Validation => Hook::ValidationStep,
            Evaluation::Test => Hook::TestStep,
        }
    }

    fn start<'a, B>(self) -> Event<'a, B> {
        if self == Evaluation::Test { Event::TestStart } else { Event::ValidationStart }
    }

    fn end<'a, B>(self) -> Event<'a, B> {
        if self == Evaluation::Test { Event::TestEnd } else { Event::ValidationEnd }
    }

    fn epoch_start<'a, B>(self) -> Event<'a, B> {
        if self == Evaluation::Test { Event::TestEpochStart } else { Event::ValidationEpochStart }
    }

    fn epoch_end<'a, B>(self) -> Event<'a, B> {
        if self == Evaluation::Test { Event::TestEpochEnd } else { Event::ValidationEpochEnd }
    }

    fn batch_start<B>(self, batch: &B, batch_idx: usize, dataloader_idx: usize) -> Event<'_, B> {
        match self {
            Evaluation::Validation => Event::ValidationBatchStart { batch, batch_idx, dataloader_idx },
            Evaluation::Test => Event::TestBatchStart { batch, batch_idx, dataloader_idx },
        }
    }

    fn batch_end<B>(self, output: &StepOutput, batch_idx: usize, dataloader_idx: usize) -> Event<'_, B> {
        match self {
            Evaluation::Validation => Event::ValidationBatchEnd { output, batch_idx, dataloader_idx },
            Evaluation::Test => Event::TestBatchEnd { output, batch_idx, dataloader_idx },
        }
    }
}

/// Loaders with the number of batches to take of each.
pub(crate) struct Evaluated<B> {
    pub(crate) loaders: Loaders<B>,
    pub(crate) limits: Vec<Option<usize>>,
}

impl<B> Evaluated<B> {
    pub(crate) fn new(loaders: Loaders<B>, limits: Vec<Option<usize>>) -> Self {
        Self { loaders, limits }
    }

    /// Whether there is anything to evaluate.
    pub(crate) fn is_empty(&self) -> bool {
        self.limits.iter().all(|&limit| limit == Some(0))
    }
}

/// Evaluates a module that is in evaluation mode already; the stage says whether it is a sanity check.
///
/// If a signal asks the run to end, it stops between two batches with [`Error::Interrupted`], and the position stays in
/// the clock: the next call continues there.
pub(crate) fn evaluate<M: LightningModule>(
    engine: &mut Engine<M>,
    module: &mut M,
    data: &mut Evaluated<M::Batch>,
    what: Evaluation,
    stage: RunningStage,
) -> Result<EpochMetrics> {
    let _span = (engine.run.stage == Stage::Fit).then(|| tracing::info_span!("validation", stage = stage.name()).entered());
    let outer = std::mem::replace(&mut engine.run.moment.stage, stage);
    let outer_batch = (engine.run.moment.batch_idx, engine.run.moment.num_dataloaders);
    let outer_items = engine.run.batch_items.replace(1);
    engine.run.moment.num_dataloaders = data.loaders.len();
    engine.run.place.evaluated.resize(data.loaders.len(), 0);
    let result = evaluate_in_stage(engine, module, data, what);
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
    what: Evaluation,
) -> Result<EpochMetrics> {
    let is_sanity_check = engine.run.moment.stage == RunningStage::SanityCheck;
    let start = engine.run.place.evaluating.unwrap_or_default();
    let begins = engine.run.place.evaluating.is_none() || engine.in_force.is_to_swap_again();
    if engine.run.stage == Stage::Fit {
        engine.in_force.note_before(module);
    }
    if begins {
        engine.reseed(RandomPart::Evaluation);
        engine.fire(module, what.start())?;
        engine.fire(module, what.epoch_start())?;
    }
    engine.in_force.note_started(module);
    for dataloader_idx in start.dataloader_idx..data.loaders.len() {
        let first = if dataloader_idx == start.dataloader_idx { start.batch_idx } else { 0 };
        evaluate_loader(engine, module, data, what, EvaluationPosition { dataloader_idx, batch_idx: first })?;
    }
    engine.run.place.evaluating = None;
    engine.in_force.note_ended(module);
    engine.run.moment.dataloader_idx = 0;
    engine.store.reach_epoch_end(Loop::Evaluation)?;
    engine.reseed(RandomPart::EvaluationEnd);
    engine.fire(module, what.epoch_end())?;
    let metrics = engine.time("epoch_metrics", |engine| engine.store.end_epoch(Loop::Evaluation))?;
    if !is_sanity_check {
        let sent =
            send_metrics(&metrics.merged(), &engine.run.loggers, engine.run.place.logger_step, Some(engine.run.place.progress.epoch));
        engine.note_logged(sent);
    }
    engine.fire(module, what.end())?;
    Ok(metrics)
}

fn evaluate_loader<M: LightningModule>(
    engine: &mut Engine<M>,
    module: &mut M,
    data: &mut Evaluated<M::Batch>,
    what: Evaluation,
    start: EvaluationPosition,
) -> Result<()> {
    let is_sanity_check = engine.run.moment.stage == RunningStage::SanityCheck;
    let EvaluationPosition { dataloader_idx, mut batch_idx } = start;
    let (Some(loader), limit) = (data.loaders.get(dataloader_idx), data.limits.get(dataloader_idx).copied().flatten()) else {
        return Ok(());
    };
    engine.run.moment.dataloader_idx = dataloader_idx;
    engine.run.moment.batch_idx = batch_idx.saturating_sub(1);
    let mut batches = loader.batches(Position::new(0, batch_idx), &engine.device)?;
    while limit.is_none_or(|limit| batch_idx < limit) {
        engine.run.place.evaluating = Some(EvaluationPosition { dataloader_idx, batch_idx });
        checkpoint::keep_place(engine, module)?;
        engine.check_interrupt()?;
        let Some(batch) = engine.time("val_next", |_| batches.next()) else { break };
        let Batch { value, items, .. } = batch?;
        engine.run.batch_items = module.batch_size(&value).or(items);
        engine.run.moment.batch_idx = batch_idx;
        engine.reseed(RandomPart::EvaluationBatch { dataloader_idx, batch_idx });
        engine.fire(module, what.batch_start(&value, batch_idx, dataloader_idx))?;
        let started = engine.profiler.start();
        let output = {
            let _scope = engine.enter(what.step());
            match what {
                Evaluation::Validation => module.validation_step(value, batch_idx),
                Evaluation::Test => module.test_step(value, batch_idx),
            }
        };
        engine.stop_time(started, what.step().name());
        if let Some(step) = scope::take_not_implemented() {
            return Err(Error::NotImplemented {
                what: step.name().into(),
                hint: format!("implement `LightningModule::{step}`, or give no loader for it"),
            });
        }
        let output = output.map_err(|error| engine.in_step(what.step(), error))?.detach();
        engine.collect()?;
        engine.fire(module, what.batch_end(&output, batch_idx, dataloader_idx))?;
        if !is_sanity_check {
            let step = engine.run.place.evaluated[dataloader_idx];
            if let Some(bundle) = engine.store.step_metrics(Loop::Evaluation, dataloader_idx) {
                engine.device.flush().map_err(Error::other)?;
                let sent = bundle.send(&engine.run.loggers, step, None);
                engine.note_logged(sent);
            }
            engine.run.place.evaluated[dataloader_idx] += 1;
        }
        batch_idx += 1;
    }
    engine.run.batch_items = Some(1);
    engine.run.place.evaluating = Some(EvaluationPosition { dataloader_idx, batch_idx });
    checkpoint::keep_place(engine, module)
}
