//! Prediction: the module's predictions for every batch of every loader.

use std::sync::Arc;

use stormfire_data::{Batch, Batches, Loaders, Position};
use stormfire_module::{Event, Hook, Moment, PredictModule, Result, RunningStage, for_trainer::parts};

use crate::engine::{Engine, RandomPart};

/// Predicts with a module that is already in evaluation mode. Returns one list of predictions per loader.
///
/// Several threads predict one batch each at the same time. The start hooks of these batches come before the steps, the
/// end hooks after them.
pub(crate) fn predict<M: PredictModule>(
    engine: &mut Engine<M>,
    module: &mut M,
    loaders: &Loaders<M::Batch>,
    limits: &[Option<usize>],
) -> Result<Vec<Vec<M::Prediction>>> {
    engine.run.moment.stage = RunningStage::Predict;
    engine.run.moment.num_dataloaders = loaders.len();
    engine.fire(module, Event::PredictStart)?;
    engine.fire(module, Event::PredictEpochStart)?;
    let mut all = Vec::with_capacity(loaders.len());
    for (dataloader_idx, loader) in loaders.iter().enumerate() {
        engine.run.moment.dataloader_idx = dataloader_idx;
        let limit = limits.get(dataloader_idx).copied().flatten();
        let mut batches = loader.batches(Position::start_of(0), &engine.frame.device)?;
        let mut predictions = Vec::new();
        loop {
            let at_once = engine.frame.threads.as_ref().map_or(1, |threads| threads.count());
            let group = begin(engine, module, &mut batches, (predictions.len(), at_once), limit)?;
            if group.is_empty() {
                break;
            }
            for prediction in steps(engine, module, group)? {
                let batch_idx = predictions.len();
                engine.run.moment.batch_idx = batch_idx;
                engine.fire(module, Event::PredictBatchEnd { prediction: &prediction, batch_idx, dataloader_idx })?;
                predictions.push(prediction);
            }
        }
        all.push(predictions);
    }
    engine.fire(module, Event::PredictEpochEnd)?;
    engine.fire(module, Event::PredictEnd)?;
    Ok(all)
}

/// The next batches, at most `count`, each with the moment of its start. None after the last one, or after a
/// signal.
fn begin<M: PredictModule>(
    engine: &mut Engine<M>,
    module: &mut M,
    batches: &mut Batches<M::Batch>,
    (first, count): (usize, usize),
    limit: Option<usize>,
) -> Result<Vec<(M::Batch, Moment)>> {
    let mut group = Vec::with_capacity(count);
    while group.len() < count && engine.signal().is_none() {
        let position = Batches::position(batches).batch;
        if limit.is_some_and(|limit| position >= limit) {
            break;
        }
        let Some(batch) = engine.time("predict_next", |_| batches.next()) else { break };
        let Batch { value, .. } = batch?;
        let (batch_idx, dataloader_idx) = (first + group.len(), engine.run.moment.dataloader_idx);
        engine.run.moment.batch_idx = batch_idx;
        engine.reseed(RandomPart::EvaluationBatch { dataloader_idx, batch_idx: position });
        engine.fire(module, Event::PredictBatchStart { batch: &value, batch_idx, dataloader_idx })?;
        group.push((value, engine.run.moment));
    }
    Ok(group)
}

/// The predictions of some batches.
fn steps<M: PredictModule>(engine: &mut Engine<M>, module: &M, group: Vec<(M::Batch, Moment)>) -> Result<Vec<M::Prediction>> {
    let started = engine.frame.profiler.start();
    let predictions = {
        let _scope = engine.enter(Hook::PredictStep);
        let module = engine.precision.evaluated(module);
        let group: Vec<_> = group.into_iter().map(|(batch, moment)| (engine.precision.batch(batch), moment)).collect();
        match engine.frame.threads.clone() {
            None => group.into_iter().map(|(batch, moment)| module.predict_step(batch, moment.batch_idx)).collect(),
            Some(threads) => {
                let seed = |index: usize| {
                    let (_, Moment { dataloader_idx, batch_idx, .. }) = *group.get(index)?;
                    let position = batch_idx * engine.world() + engine.rank();
                    engine.seed_of(RandomPart::EvaluationBatch { dataloader_idx, batch_idx: position })
                };
                parts::predict(&threads, &*module, &group, seed, &predict_step())
            }
        }
    };
    engine.stop_time(started, "predict_step");
    let predictions = predictions.map_err(|error| engine.in_step(Hook::PredictStep, error))?;
    engine.collect()?;
    Ok(predictions)
}

fn predict_step<M: PredictModule>() -> parts::Step<M, M::Batch, M::Prediction> {
    Arc::new(|module: &M, batch| module.predict_step(batch, stormfire_module::for_trainer::scope::moment().batch_idx))
}
