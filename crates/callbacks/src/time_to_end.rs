//! Estimates the time until the end of a fit.

use std::time::{Duration, Instant};

use stormfire_module::Context;
use stormfire_values::clock;

/// The pace since the first batch of this fit, with its validations.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TimeToEnd {
    /// The end of the first batch, and the number of batches then. The first batch compiles kernels.
    first: Option<(Instant, u64)>,
}

impl TimeToEnd {
    /// A batch is complete. Only the first one matters.
    pub(crate) fn batch_end(&mut self, ctx: &Context<'_>) {
        if self.first.is_none() {
            self.first = Some((clock::now(), ctx.progress().batches));
        }
    }

    /// The time until `max_epochs` or `max_steps`. `None` while it is unknown.
    pub(crate) fn estimate(&self, ctx: &Context<'_>) -> Option<Duration> {
        let (progress, limits) = (ctx.progress(), ctx.limits());
        let (at, batches) = self.first?;
        let in_epochs = limits.max_epochs.zip(limits.train_batches).map(|(epochs, batches)| epochs.saturating_mul(batches) as u64);
        let window = (ctx.run().place.accumulate_grad_batches as u64).saturating_mul(ctx.run().round as u64);
        let of_steps = |max: u64| max.saturating_sub(progress.global_step).saturating_mul(window);
        let in_steps = limits.max_steps.map(|max| progress.batches.saturating_add(of_steps(max)));
        let left = in_epochs.into_iter().chain(in_steps).min()?.saturating_sub(progress.batches);
        let done = progress.batches.saturating_sub(batches);
        let seconds = (done > 0).then(|| clock::since(at).as_secs_f64() / done as f64 * left as f64)?;
        Duration::try_from_secs_f64(seconds).ok()
    }
}
