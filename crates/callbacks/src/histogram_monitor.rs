//! Distributions of parameters and gradients for the loggers.

use std::time::Instant;

use burn::optim::GradientsParams;
use stormfire_loggers::Histogram;
use stormfire_module::{
    Callback, Context, Error, Every, LightningModule, Result, StepOutput, clock,
    gradients::{self, Of, Samples},
    media,
    text::{Misread, TextError},
};

use crate::{
    period::needs_length,
    to_loggers::{log_later, needs_logger},
};

/// Logs a histogram of each parameter and of its gradient, every epoch or as often as [`every`](Self::every) says.
///
/// The names are `parameters/hidden.weight` and `gradients/hidden.weight`. Both belong to the same step: the gradients are
/// those that the optimizer gets, before they are clipped, and the parameters those that they were computed for. A parameter
/// without a gradient, such as a frozen one, has no histogram, and neither has a tensor without a finite element. Buckets are those
/// that `torch.utils.tensorboard` uses by default. Loggers that have no place for histograms leave them out.
///
/// Training does not wait: the values are read, all of them at once, and counted on the thread of a logger. Until
/// then the device keeps them, beside those of the steps that follow. For a large model choose a long period.
///
/// ```
/// use stormfire_callbacks::HistogramMonitor;
/// use stormfire_module::Every;
///
/// let at_the_last_step_of_each_epoch = HistogramMonitor::new();
/// let only_gradients = HistogramMonitor::new().every(Every::Steps(500)).parameters(false);
/// # let _ = (at_the_last_step_of_each_epoch, only_gradients);
/// ```
///
/// # Errors
/// [`Error::Config`] when a fit begins without a logger, with a period that is empty, or with a fraction of an epoch whose
/// length is not known.
#[derive(Clone, Debug)]
pub struct HistogramMonitor {
    every: Every,
    misread: Misread,
    parameters: bool,
    gradients: bool,
    due: Due,
}

/// Whether this batch is one for histograms.
#[derive(Clone, Debug)]
struct Due {
    now: bool,
    since: Instant,
}

impl Default for HistogramMonitor {
    fn default() -> Self {
        Self {
            every: Every::Epochs(1),
            misread: Misread::default(),
            parameters: true,
            gradients: true,
            due: Due { now: false, since: clock::now() },
        }
    }
}

impl HistogramMonitor {
    /// Parameters and gradients, at the last step of each epoch.
    pub fn new() -> Self {
        Self::default()
    }

    /// How often, as an [`Every`] or as text (`"500 steps"`): at the step that ends such a period, where gradients accumulate at the first one after it. Default: every
    /// epoch, at its last step; an epoch that is cut short has none.
    pub fn every(mut self, every: impl TryInto<Every, Error: Into<TextError>>) -> Self {
        self.misread.set("HistogramMonitor::every", &mut self.every, every);
        self
    }

    /// Whether to log parameters. Default `true`.
    pub fn parameters(mut self, on: bool) -> Self {
        self.parameters = on;
        self
    }

    /// Whether to log gradients. Default `true`.
    pub fn gradients(mut self, on: bool) -> Self {
        self.gradients = on;
        self
    }

    fn check(&self, ctx: &mut Context<'_>) -> Result<()> {
        self.misread.check()?;
        let option = "HistogramMonitor::every";
        self.every.check().map_err(|reason| Error::config(option, reason, "give another period, such as `500 steps`"))?;
        needs_length(option, self.every, ctx)?;
        needs_logger("HistogramMonitor", ctx)
    }

    /// Whether the batch that begins ends a period.
    fn ends_period(&self, ctx: &Context<'_>) -> bool {
        self.every.is_due(&ctx.run().tick_before_batch(clock::since(self.due.since)))
    }
}

/// Counts what was read; a tensor without a finite element has no distribution.
fn count(samples: Samples) -> Result<Vec<(String, Histogram)>> {
    let named = |(path, of, data)| {
        let folder = if of == Of::Gradient { "gradients" } else { "parameters" };
        media::histogram_of(&data).ok().map(|histogram| (format!("{folder}/{path}"), histogram))
    };
    Ok(samples.read()?.into_iter().filter_map(named).collect())
}

impl<M: LightningModule> Callback<M> for HistogramMonitor {
    fn on_train_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.due = Due { now: false, since: clock::now() };
        self.check(ctx)
    }

    fn on_train_batch_start(&mut self, ctx: &mut Context<'_>, _module: &mut M, _batch: &M::Batch, _batch_idx: usize) -> Result<()> {
        self.due.now |= self.ends_period(ctx);
        Ok(())
    }

    fn on_before_optimizer_step(&mut self, ctx: &mut Context<'_>, module: &mut M, _: &str, gradients: &mut GradientsParams) -> Result<()> {
        if !self.due.now || ctx.loggers().is_empty() {
            return Ok(());
        }
        let samples = gradients::samples(gradients, module, self.parameters, self.gradients);
        if samples.is_empty() {
            return Ok(());
        }
        // What was asked of the device so far is under way before another thread waits for it.
        for device in module.devices() {
            device.flush().map_err(Error::other)?;
        }
        let log = |logger: &mut dyn stormfire_loggers::Logger, named: &Vec<(String, Histogram)>, step| {
            named.iter().try_for_each(|(name, histogram)| logger.log_histogram(name, histogram, step))
        };
        log_later(ctx, move || count(samples), log)
    }

    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        // Inside a window of accumulated gradients it stays due until its end.
        if self.due.now && ctx.run().place.window.batches == 0 {
            self.due = Due { now: false, since: clock::now() };
        }
        Ok(())
    }
}
