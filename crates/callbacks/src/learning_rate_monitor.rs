//! Logs learning rates.

use stormfire_loggers::Metrics;
use stormfire_module::{Callback, Context, LightningModule, Result, Stage};
use stormfire_values::text::{Misread, TextError};

use crate::timer::Interval;

/// Logs the learning rate of every optimizer. The name is that of its schedule, or `lr-` and the name of the optimizer.
/// The rates of parameter groups have the name of the group appended: `lr-AdamW`, `lr-AdamW/head`
/// ([`Optimizers::learning_rates`](stormfire_optim::Optimizers::learning_rates)).
///
/// The rates go to all loggers, with the step number of the batch that uses them. Other callbacks can read them as
/// metrics.
///
/// ```
/// use stormfire_callbacks::{Interval, LearningRateMonitor};
///
/// let at_logging_steps = LearningRateMonitor::new();
/// let once_an_epoch = LearningRateMonitor::new().logging_interval(Interval::Epoch);
/// # let _ = (at_logging_steps, once_an_epoch);
/// ```
///
/// # Errors
/// [`Error::Config`](stormfire_module::Error::Config) if training starts without a logger (a `fast_dev_run` needs
/// none).
#[derive(Clone, Debug, Default)]
pub struct LearningRateMonitor {
    interval: Interval,
    misread: Misread,
}

impl LearningRateMonitor {
    /// Logs at the steps of `log_every_n_steps`.
    pub fn new() -> Self {
        Self::default()
    }

    /// When to log: [`Interval::Step`] (default) at every logging step, [`Interval::Epoch`] at the start of every
    /// epoch. Or a string, `"epoch"`.
    pub fn logging_interval(mut self, interval: impl TryInto<Interval, Error: Into<TextError>>) -> Self {
        self.misread.set("LearningRateMonitor::logging_interval", &mut self.interval, interval);
        self
    }

    fn log(ctx: &mut Context<'_>) -> Result<()> {
        let rates: Metrics = ctx.learning_rates().iter().cloned().collect();
        if rates.is_empty() { Ok(()) } else { ctx.log_metrics(&rates) }
    }
}

impl<M: LightningModule> Callback<M> for LearningRateMonitor {
    fn rank_zero_only(&self) -> bool {
        true
    }

    fn needs_logger(&self, stage: Stage) -> bool {
        stage == Stage::Fit
    }

    fn setup(&mut self, _ctx: &mut Context<'_>, _module: &mut M, stage: Stage) -> Result<()> {
        if stage == Stage::Fit { Ok(self.misread.check()?) } else { Ok(()) }
    }

    fn on_train_batch_start(&mut self, ctx: &mut Context<'_>, _module: &mut M, _batch: &M::Batch, _batch_idx: usize) -> Result<()> {
        if self.interval == Interval::Step && ctx.run().place.logs_this_step { Self::log(ctx) } else { Ok(()) }
    }

    fn on_train_epoch_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        if self.interval == Interval::Epoch { Self::log(ctx) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use stormfire_module::{Event, for_trainer::MetricSource};

    use super::*;
    use crate::testing::{Bench, Line};

    /// The values logged at the start of an epoch, of a batch that is logged, and of a batch that is not.
    fn rows(callback: &mut LearningRateMonitor) -> Vec<(String, f64, Option<u64>)> {
        let (mut bench, logger) = Bench::new().with_logger();
        bench.start(callback).unwrap();
        bench.run.place.learning_rates = vec![("lr-Adam".into(), 0.5), ("warmup".into(), 0.25)];
        bench.fire(callback, Event::TrainEpochStart).unwrap();
        (bench.run.place.logs_this_step, bench.run.place.logger_step) = (true, 49);
        bench.train_batch_start(callback).unwrap();
        (bench.run.place.logs_this_step, bench.run.place.logger_step) = (false, 50);
        bench.train_batch_start(callback).unwrap();
        bench.run.loggers[0].flush().unwrap();
        assert_eq!(bench.metrics.metric("warmup").unwrap().to_bits(), 0.25_f64.to_bits());
        logger.rows()
    }

    #[test]
    fn rates_are_logged_under_the_step_that_uses_them() {
        let at = |step| vec![("lr-Adam".to_string(), 0.5, Some(step)), ("warmup".to_string(), 0.25, Some(step))];
        assert_eq!(rows(&mut LearningRateMonitor::new()), at(49));
        assert_eq!(rows(&mut LearningRateMonitor::new().logging_interval(Interval::Epoch)), at(0));
    }

    #[test]
    fn only_a_fit_needs_a_logger() {
        let needs = |stage| Callback::<Line>::needs_logger(&LearningRateMonitor::new(), stage);
        assert_eq!([Stage::Fit, Stage::Validate, Stage::Test, Stage::Predict].map(needs), [true, false, false, false]);
    }
}
