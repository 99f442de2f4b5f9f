//! Prediction: each batch of every loader, in rounds of one batch per thread and rank.

use std::sync::Arc;

use stormfire_checkpoint::Snapshot;
use stormfire_data::{Batch, Batches, Loader, Loaders, Position};
use stormfire_module::{
    Event, Hook, Moment, PredictModule, Result, RunningStage,
    for_trainer::parts,
    place::EvaluationPosition,
    prediction_sink::{Predicted, PredictionRun, PredictionSink},
};

use crate::{
    engine::{Engine, RandomPart, over_ranks::of_zero},
    flags::Flags,
};

/// Keeps all predictions, one list per loader.
pub(crate) struct Collected<P>(pub(crate) Vec<Vec<P>>);

impl<P> PredictionSink<P> for Collected<P> {
    fn start(&mut self, run: &PredictionRun<'_>) -> Result<EvaluationPosition> {
        self.0.resize_with(run.num_dataloaders, Vec::new);
        Ok(EvaluationPosition::default())
    }

    fn take(&mut self, predicted: Predicted<P>) -> Result<()> {
        if let Some(of_loader) = self.0.get_mut(predicted.dataloader_idx) {
            of_loader.push(predicted.prediction);
        }
        Ok(())
    }
}

/// Predicts with a module that is already in evaluation mode. `facts` say what is predicted, besides the weights.
///
/// Several threads predict one batch each at the same time. The start hooks of these batches come before the steps, the
/// end hooks after them.
pub(crate) fn predict<M: PredictModule>(
    engine: &mut Engine<M>,
    module: &mut M,
    loaders: &Loaders<M::Batch>,
    limits: &[Option<usize>],
    facts: &str,
    sink: &mut dyn PredictionSink<M::Prediction>,
) -> Result<()> {
    let identity = || -> Result<String> { Ok(format!("{facts}; weights {:016x}", Snapshot::of_module(module)?.fingerprint()?)) };
    let start = sink.start(&PredictionRun::new(loaders.len(), engine.frame.ranks.clone(), &identity))?;
    let start = of_zero(&engine.frame.ranks, start)?;
    engine.run.moment.stage = RunningStage::Predict;
    engine.run.moment.num_dataloaders = loaders.len();
    engine.fire(module, Event::PredictStart)?;
    engine.fire(module, Event::PredictEpochStart)?;
    for (dataloader_idx, loader) in loaders.iter().enumerate().skip(start.dataloader_idx) {
        let first = if dataloader_idx == start.dataloader_idx { start.batch_idx } else { 0 };
        let limit = limits.get(dataloader_idx).copied().flatten();
        predict_loader(engine, module, (loader, limit), EvaluationPosition { dataloader_idx, batch_idx: first }, sink)?;
    }
    engine.fire(module, Event::PredictEpochEnd)?;
    engine.fire(module, Event::PredictEnd)?;
    sink.finish()
}

fn predict_loader<M: PredictModule>(
    engine: &mut Engine<M>,
    module: &mut M,
    (loader, limit): (&Loader<M::Batch>, Option<usize>),
    start: EvaluationPosition,
    sink: &mut dyn PredictionSink<M::Prediction>,
) -> Result<()> {
    let EvaluationPosition { dataloader_idx, batch_idx: mut first } = start;
    engine.run.moment.dataloader_idx = dataloader_idx;
    let at_once = engine.frame.threads.as_ref().map_or(1, |threads| threads.count());
    let known = loader.len().known().into_iter().chain(limit).min();
    let mut batches = loader.batches(Position::new(0, first), &engine.frame.device)?;
    loop {
        engine.agree(Flags::default())?;
        engine.check_interrupt()?;
        if known.is_some_and(|known| first >= known) {
            return Ok(());
        }
        let group = begin(engine, module, &mut batches, at_once, limit)?;
        // Ranks share only loaders of known length, and may have no batch in the last round.
        if group.is_empty() && engine.world() == 1 {
            return Ok(());
        }
        first += at_once * engine.world();
        first = known.map_or(first, |known| first.min(known));
        let (group, origins): (Vec<_>, Vec<_>) = group.into_iter().map(|Begun { value, moment, origin }| ((value, moment), origin)).unzip();
        for (prediction, Origin { position, indices }) in steps(engine, module, group, &origins)?.into_iter().zip(origins) {
            let batch_idx = position / engine.world();
            engine.run.moment.batch_idx = batch_idx;
            engine.fire(module, Event::PredictBatchEnd { prediction: &prediction, batch_idx, dataloader_idx })?;
            sink.take(Predicted { prediction, dataloader_idx, batch_idx: position, indices })?;
        }
        sink.reached(EvaluationPosition { dataloader_idx, batch_idx: first })?;
    }
}

/// A batch whose start the hooks have seen.
struct Begun<B> {
    value: B,
    moment: Moment,
    origin: Origin,
}

/// Where a batch comes from.
struct Origin {
    /// Its number in its loader, over all ranks.
    position: usize,
    /// The indices of its items in the dataset.
    indices: Option<Vec<usize>>,
}

/// The next batches, at most `count`. None after the last one.
fn begin<M: PredictModule>(
    engine: &mut Engine<M>,
    module: &mut M,
    batches: &mut Batches<M::Batch>,
    count: usize,
    limit: Option<usize>,
) -> Result<Vec<Begun<M::Batch>>> {
    let mut group = Vec::with_capacity(count);
    while group.len() < count {
        let position = Batches::position(batches).batch;
        if limit.is_some_and(|limit| position >= limit) {
            break;
        }
        let Some(batch) = engine.time("predict_next", |_| batches.next()) else { break };
        let Batch { value, .. } = batch?;
        let (batch_idx, dataloader_idx) = (position / engine.world(), engine.run.moment.dataloader_idx);
        engine.run.moment.batch_idx = batch_idx;
        engine.reseed(RandomPart::EvaluationBatch { dataloader_idx, batch_idx: position });
        engine.fire(module, Event::PredictBatchStart { batch: &value, batch_idx, dataloader_idx })?;
        group.push(Begun { value, moment: engine.run.moment, origin: Origin { position, indices: batches.indices() } });
    }
    Ok(group)
}

/// The predictions of some batches.
fn steps<M: PredictModule>(
    engine: &mut Engine<M>,
    module: &M,
    group: Vec<(M::Batch, Moment)>,
    origins: &[Origin],
) -> Result<Vec<M::Prediction>> {
    let started = engine.frame.profiler.start();
    let predictions = {
        let _scope = engine.enter(Hook::PredictStep);
        let module = engine.precision.evaluated(module);
        let group: Vec<_> = group.into_iter().map(|(batch, moment)| (engine.precision.batch(batch), moment)).collect();
        match engine.frame.threads.clone() {
            None => group.into_iter().map(|(batch, moment)| module.predict_step(batch, moment.batch_idx)).collect(),
            Some(threads) => {
                let dataloader_idx = engine.run.moment.dataloader_idx;
                let seed = |index: usize| {
                    let position = origins.get(index)?.position;
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
