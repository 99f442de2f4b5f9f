//! Logs the distributions of parameters and gradients.

use std::time::Instant;

use burn::optim::GradientsParams;
use stormfire_loggers::Histogram;
use stormfire_module::{Callback, Context, Error, LightningModule, Result, Stage, StepOutput, media};
use stormfire_optim::gradients::{self, Of, Samples};
use stormfire_values::{
    Every, clock,
    text::{Misread, TextError},
};

use crate::{period, to_loggers::log_later};

/// The option of the period in errors.
const EVERY: &str = "HistogramMonitor::every";

/// Logs a histogram of each parameter and of its gradient, every epoch or with the period [`every`](Self::every).
///
/// The names are `parameters/hidden.weight` and `gradients/hidden.weight`. Both belong to the same step: the gradients
/// that the optimizer gets, before clipping, and the parameters that they were computed for. A parameter without a
/// gradient, such as a frozen one, gets no histogram. A tensor without a finite element gets none either. The buckets
/// are the default of `torch.utils.tensorboard`. Loggers that cannot store histograms skip them.
///
/// Training does not wait. The thread of a logger reads all values at once and counts them. Until then, the device
/// keeps them in addition to the values of the following steps. Choose a long period for a large model.
///
/// ```
/// use stormfire_callbacks::HistogramMonitor;
/// use stormfire_values::Every;
///
/// let at_the_last_step_of_each_epoch = HistogramMonitor::new();
/// let only_gradients = HistogramMonitor::new().every(Every::Steps(500)).parameters(false);
/// # let _ = (at_the_last_step_of_each_epoch, only_gradients);
/// ```
///
/// # Errors
/// [`Error::Config`] if a fit starts without a logger, with an empty period, or with a fraction of an epoch of unknown
/// length.
#[derive(Clone, Debug)]
pub struct HistogramMonitor {
    every: Every,
    misread: Misread,
    parameters: bool,
    gradients: bool,
    due: Due,
}

/// Whether to log histograms for this batch.
#[derive(Clone, Debug)]
struct Due {
    now: bool,
    /// The step of this period was logged.
    is_logged: bool,
    since: Instant,
}

impl Default for HistogramMonitor {
    fn default() -> Self {
        Self {
            every: Every::Epochs(1),
            misread: Misread::default(),
            parameters: true,
            gradients: true,
            due: Due { now: false, is_logged: false, since: clock::now() },
        }
    }
}

impl HistogramMonitor {
    /// Logs parameters and gradients at the last step of each epoch.
    pub fn new() -> Self {
        Self::default()
    }

    /// The period, as an [`Every`] or a string (`"500 steps"`). Histograms are logged at the step that ends a period.
    /// With accumulated gradients, this is the first step after the period. Default: every epoch, at its last step. An
    /// epoch that is cut short logs none.
    pub fn every(mut self, every: impl TryInto<Every, Error: Into<TextError>>) -> Self {
        self.misread.set(EVERY, &mut self.every, every);
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

    /// Whether the current batch ends a period.
    fn ends_period(&self, ctx: &Context<'_>) -> bool {
        self.every.is_due(&ctx.run().tick_before_batch(clock::since(self.due.since)))
    }
}

/// Counts the values. Returns `None` for a tensor without a finite element.
fn count(samples: Samples) -> Result<Vec<(String, Histogram)>> {
    let named = |(path, of, data)| {
        let folder = if of == Of::Gradient { "gradients" } else { "parameters" };
        media::histogram_of(&data).ok().map(|histogram| (format!("{folder}/{path}"), histogram))
    };
    Ok(samples.read()?.into_iter().filter_map(named).collect())
}

impl<M: LightningModule> Callback<M> for HistogramMonitor {
    fn rank_zero_only(&self) -> bool {
        true
    }

    fn needs_logger(&self, stage: Stage) -> bool {
        stage == Stage::Fit
    }

    fn setup(&mut self, _ctx: &mut Context<'_>, _module: &mut M, stage: Stage) -> Result<()> {
        period::check(EVERY, self.every, &self.misread, stage)
    }

    fn on_train_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.due = Due { now: false, is_logged: false, since: clock::now() };
        period::needs_length(EVERY, self.every, ctx)
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
        // Submit all work to the device before another thread waits for it.
        for device in module.devices() {
            device.flush().map_err(Error::other)?;
        }
        let log = |logger: &mut dyn stormfire_loggers::Logger, named: &Vec<(String, Histogram)>, step| {
            named.iter().try_for_each(|(name, histogram)| logger.log_histogram(name, histogram, step))
        };
        self.due.is_logged = true;
        log_later(ctx, move || count(samples), log)
    }

    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        // Inside a window of accumulated gradients, it stays due until the window ends.
        if self.due.now && ctx.run().place.window.batches == 0 {
            self.due = Due { now: false, is_logged: false, since: clock::now() };
        }
        Ok(())
    }

    fn on_train_epoch_end(&mut self, _ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        // `skip_epoch` may have closed a window with a step that no batch has ended.
        if self.due.is_logged {
            self.due = Due { now: false, is_logged: false, since: clock::now() };
        }
        Ok(())
    }
}
