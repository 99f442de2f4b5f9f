//! Logs the speed of training.

mod rates;

use std::{
    any::Any,
    fmt,
    time::{Duration, Instant},
};

use stormfire_loggers::Metrics;
use stormfire_module::{Callback, Context, Error, LightningModule, Result, RunningStage, Stage, StepOutput};
use stormfire_values::clock;

use self::rates::{Rates, Totals};
use crate::time_to_end::TimeToEnd;

/// Counts samples or items in a batch of any type.
type Count = Box<dyn Fn(&dyn Any) -> Option<usize>>;

/// Logs batches, samples and items per second, and the time spent waiting for data.
///
/// | name, after `train/` | value | unit |
/// |---|---|---|
/// | `device/batches_per_sec` | batches, over a window of the latest ones | 1/s |
/// | `device/samples_per_sec` | samples, the same way | 1/s |
/// | `device/items_per_sec` | items, such as the tokens of all samples, if [`length_fn`](Self::length_fn) counts them | 1/s |
/// | `device/flops_per_sec` | floating-point operations, if [`flops_per_batch`](Self::flops_per_batch) is given | 1/s |
/// | `device/mfu` | the fraction of the device's peak, if [`available_flops`](Self::available_flops) is given | 0 to 1 |
/// | `device/data_wait_fraction` | the fraction of time that the loop waited for the next batch, over the window | 0 to 1 |
/// | `time` | the time spent training | s |
/// | `time_to_end` | the time until the fit ends by `max_epochs` or `max_steps`, with its validations: as long per batch as since the first one | s |
/// | `data_wait_time` | the part of it spent waiting for batches | s |
/// | `batches`, `samples`, `lengths` | their number since the start | |
///
/// The names are Lightning's. Those with `data_wait` are additions. They are logged at logging steps
/// (`log_every_n_steps`), and other callbacks can monitor them. Each validation, test and prediction logs the same
/// values once, at its end, under `validate/`, `test/` and `predict/`, without `data_wait`. All counts start at 0 when
/// `fit` (or that evaluation) starts. The time of validations does not count as training. All other time between
/// batches does.
///
/// The number of samples in a batch comes from [`batch_size_fn`](Self::batch_size_fn), else from the module
/// ([`LightningModule::batch_size`]) or the loader. If it is unknown, samples are not logged.
///
/// It never waits for the device, so the last few batches of a window may still be in its queue. Over a window of 100
/// batches, that makes no difference. Rates are available from the second batch on. The first ones include the
/// compilation of kernels.
///
/// ```
/// use stormfire_callbacks::ThroughputMonitor;
///
/// struct Texts { tokens: Vec<Vec<u32>> }
///
/// let monitor = ThroughputMonitor::new()
///     .batch_size_fn(|batch: &Texts| batch.tokens.len())
///     .length_fn(|batch: &Texts| batch.tokens.iter().map(Vec::len).sum());
/// # let _ = monitor;
/// ```
///
/// # Errors
/// [`Error::Config`] if a run starts without a logger, with a window of less than 2 batches, or with a function for a
/// batch type other than the module's.
pub struct ThroughputMonitor {
    window_size: usize,
    batch_size: Option<Count>,
    length: Option<Count>,
    flops_per_batch: Option<f64>,
    available_flops: Option<f64>,
    train: Measure,
    evaluation: Measure,
    to_end: TimeToEnd,
}

impl Default for ThroughputMonitor {
    fn default() -> Self {
        let (train, evaluation) = (Measure::new(), Measure::new());
        Self {
            window_size: 100,
            batch_size: None,
            length: None,
            flops_per_batch: None,
            available_flops: None,
            train,
            evaluation,
            to_end: TimeToEnd::default(),
        }
    }
}

impl ThroughputMonitor {
    /// Measures over the latest 100 batches.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of latest batches for a rate. At least 2. Default 100.
    pub fn window_size(mut self, batches: usize) -> Self {
        self.window_size = batches;
        self
    }

    /// The number of samples in a batch. Default: from the module or the loader.
    pub fn batch_size_fn<B: Any>(mut self, count: impl Fn(&B) -> usize + 'static) -> Self {
        self.batch_size = Some(of_batch(count));
        self
    }

    /// The number of items in a batch, such as the tokens of all its samples. Default: items are not counted.
    pub fn length_fn<B: Any>(mut self, count: impl Fn(&B) -> usize + 'static) -> Self {
        self.length = Some(of_batch(count));
        self
    }

    /// The floating-point operations of one training batch, forward and backward. Default: unknown.
    pub fn flops_per_batch(mut self, operations: f64) -> Self {
        self.flops_per_batch = Some(operations);
        self
    }

    /// The peak floating-point operations per second of the device. Default: unknown.
    pub fn available_flops(mut self, operations_per_second: f64) -> Self {
        self.available_flops = Some(operations_per_second);
        self
    }

    fn check(&self) -> Result<()> {
        if self.window_size < 2 {
            let reason = format!("a rate needs 2 batches, not {}", self.window_size);
            return Err(Error::config("ThroughputMonitor::window_size", reason, "leave it at 100"));
        }
        for (setter, value) in [("flops_per_batch", self.flops_per_batch), ("available_flops", self.available_flops)] {
            if let Some(value) = value.filter(|value| !(value.is_finite() && *value > 0.0)) {
                let reason = format!("{value} is not a number of operations");
                return Err(Error::config(format!("ThroughputMonitor::{setter}"), reason, "leave it out, or give a number above 0"));
            }
        }
        Ok(())
    }

    /// The counts that a batch adds to the totals. Its functions are called before the step gets the batch.
    fn count<B: Any>(&self, batch: &B, known: Option<usize>) -> Result<(Option<usize>, Option<usize>)> {
        let ask = |option: &str, count: &Option<Count>| {
            let asked = count.as_ref().map(|count| count(batch).ok_or_else(|| wrong_batch::<B>(option)));
            asked.transpose()
        };
        Ok((ask("ThroughputMonitor::batch_size_fn", &self.batch_size)?.or(known), ask("ThroughputMonitor::length_fn", &self.length)?))
    }

    fn metrics(&self, stage: RunningStage) -> Metrics {
        let (measure, is_training) =
            (if stage == RunningStage::Train { &self.train } else { &self.evaluation }, stage == RunningStage::Train);
        let flops = self.flops_per_batch.filter(|_| is_training);
        let mut named = measure.rates.metrics(is_training);
        if let (Some(flops), Some(batches)) = (flops, named.get("device/batches_per_sec")) {
            named.insert("device/flops_per_sec", flops * batches);
            if let Some(available) = self.available_flops {
                named.insert("device/mfu", flops * batches / available);
            }
        }
        named.iter().map(|(name, value)| (format!("{stage}/{name}"), value)).collect()
    }

    fn start_evaluation(&mut self) {
        self.evaluation.start(self.window_size, Duration::ZERO);
    }

    fn evaluation_batch_start<B: Any>(&mut self, ctx: &Context<'_>, batch: &B) -> Result<()> {
        self.evaluation.batch = self.count(batch, ctx.run().batch_items)?;
        Ok(())
    }

    fn end_evaluation(&mut self, ctx: &mut Context<'_>) -> Result<()> {
        let stage = ctx.running();
        if stage == RunningStage::SanityCheck {
            return Ok(());
        }
        ctx.log_metrics(&self.metrics(stage))
    }
}

fn of_batch<B: Any>(count: impl Fn(&B) -> usize + 'static) -> Count {
    Box::new(move |batch| batch.downcast_ref().map(&count))
}

fn wrong_batch<B>(option: &str) -> Error {
    let reason = format!("its batch type is not that of this module, `{}`", std::any::type_name::<B>());
    Error::config(option, reason, "write the batch type after the argument: `|batch: &MyBatch| ..`")
}

/// The clock and the totals of one loop.
struct Measure {
    rates: Rates,
    totals: Totals,
    batch: (Option<usize>, Option<usize>),
    since: Instant,
    /// The waiting time of the loop before this measurement.
    waited: Duration,
    paused: Option<Instant>,
}

impl Measure {
    fn new() -> Self {
        let (rates, totals) = (Rates::new(2), Totals::default());
        Self { rates, totals, batch: (None, None), since: clock::now(), waited: Duration::ZERO, paused: None }
    }

    fn start(&mut self, window: usize, waited: Duration) {
        *self = Self { rates: Rates::new(window), waited, ..Self::new() };
    }

    fn batch_end(&mut self, waited: Duration) {
        let (samples, lengths) = self.batch;
        let totals = &mut self.totals;
        totals.time = clock::since(self.since);
        totals.waited = waited.saturating_sub(self.waited);
        totals.batches += 1;
        let add = |to: Option<usize>, more: Option<usize>| to.zip(more).map(|(a, b)| a + b);
        (totals.samples, totals.lengths) = (add(totals.samples, samples), add(totals.lengths, lengths));
        self.rates.add(*totals);
    }

    fn pause(&mut self) {
        self.paused.get_or_insert_with(clock::now);
    }

    fn resume(&mut self) {
        if let Some(paused) = self.paused.take() {
            self.since += clock::since(paused);
        }
    }
}

impl<M: LightningModule> Callback<M> for ThroughputMonitor {
    fn rank_zero_only(&self) -> bool {
        true
    }

    fn needs_logger(&self, _stage: Stage) -> bool {
        true
    }

    fn setup(&mut self, _ctx: &mut Context<'_>, _module: &mut M, _stage: Stage) -> Result<()> {
        self.check()
    }

    fn on_train_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.train.start(self.window_size, ctx.run().data_wait);
        self.to_end = TimeToEnd::default();
        // A fit may resume in the middle of a validation, after its start.
        self.start_evaluation();
        Ok(())
    }

    fn on_train_batch_start(&mut self, ctx: &mut Context<'_>, _module: &mut M, batch: &M::Batch, _batch_idx: usize) -> Result<()> {
        self.train.batch = self.count(batch, ctx.run().batch_items)?;
        Ok(())
    }

    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        self.train.batch_end(ctx.run().data_wait);
        self.to_end.batch_end(ctx);
        if !ctx.run().place.logs_this_step {
            return Ok(());
        }
        let mut metrics = self.metrics(RunningStage::Train);
        metrics.extend(self.to_end.estimate(ctx).map(|time| ("train/time_to_end", time.as_secs_f64())));
        ctx.log_metrics(&metrics)
    }

    fn on_validation_start(&mut self, _ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.train.pause();
        self.start_evaluation();
        Ok(())
    }

    fn on_validation_batch_start(&mut self, ctx: &mut Context<'_>, _: &mut M, batch: &M::Batch, _: usize, _: usize) -> Result<()> {
        self.train.pause();
        self.evaluation_batch_start(ctx, batch)
    }

    fn on_validation_batch_end(&mut self, _: &mut Context<'_>, _: &mut M, _: &StepOutput, _: usize, _: usize) -> Result<()> {
        self.evaluation.batch_end(Duration::ZERO);
        Ok(())
    }

    fn on_validation_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.train.resume();
        self.end_evaluation(ctx)
    }

    fn on_test_start(&mut self, _ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.start_evaluation();
        Ok(())
    }

    fn on_test_batch_start(&mut self, ctx: &mut Context<'_>, _: &mut M, batch: &M::Batch, _: usize, _: usize) -> Result<()> {
        self.evaluation_batch_start(ctx, batch)
    }

    fn on_test_batch_end(&mut self, _: &mut Context<'_>, _: &mut M, _: &StepOutput, _: usize, _: usize) -> Result<()> {
        self.evaluation.batch_end(Duration::ZERO);
        Ok(())
    }

    fn on_test_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.end_evaluation(ctx)
    }

    fn on_predict_start(&mut self, _ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.start_evaluation();
        Ok(())
    }

    fn on_predict_batch_start(&mut self, ctx: &mut Context<'_>, _: &mut M, batch: &M::Batch, _: usize, _: usize) -> Result<()> {
        self.evaluation_batch_start(ctx, batch)
    }

    fn on_predict_batch_end(&mut self, _: &mut Context<'_>, _: &mut M, _: &dyn Any, _: usize, _: usize) -> Result<()> {
        self.evaluation.batch_end(Duration::ZERO);
        Ok(())
    }

    fn on_predict_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.end_evaluation(ctx)
    }
}

impl fmt::Debug for ThroughputMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThroughputMonitor").field("window_size", &self.window_size).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
