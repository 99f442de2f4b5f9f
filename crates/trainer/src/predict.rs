//! Prediction: the module's predictions for every batch of every loader.

use stormfire_data::{Batch, Loaders, Position};
use stormfire_module::{Event, Hook, PredictModule, Result, RunningStage};

use crate::engine::{Engine, RandomPart};

/// Predicts with a module that is already in evaluation mode. Returns one list of predictions per loader.
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
        while limit.is_none_or(|limit| predictions.len() < limit) && engine.signal().is_none() {
            let Some(batch) = engine.time("predict_next", |_| batches.next()) else { break };
            let Batch { value, .. } = batch?;
            let batch_idx = predictions.len();
            engine.run.moment.batch_idx = batch_idx;
            engine.reseed(RandomPart::EvaluationBatch { dataloader_idx, batch_idx });
            engine.fire(module, Event::PredictBatchStart { batch: &value, batch_idx, dataloader_idx })?;
            let started = engine.frame.profiler.start();
            let prediction = {
                let _scope = engine.enter(Hook::PredictStep);
                module.predict_step(value, batch_idx)
            };
            engine.stop_time(started, "predict_step");
            let prediction = prediction.map_err(|error| engine.in_step(Hook::PredictStep, error))?;
            engine.collect()?;
            engine.fire(module, Event::PredictBatchEnd { prediction: &prediction, batch_idx, dataloader_idx })?;
            predictions.push(prediction);
        }
        all.push(predictions);
    }
    engine.fire(module, Event::PredictEpochEnd)?;
    engine.fire(module, Event::PredictEnd)?;
    Ok(all)
}
