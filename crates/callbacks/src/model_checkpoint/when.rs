//! Decides when a save point is due.

use stormfire_module::Context;
use stormfire_values::{
    Every, clock,
    every::{Passed, Tick},
};

use super::ModelCheckpoint;

impl ModelCheckpoint {
    /// Whether the current batch ends a period.
    pub(super) fn is_due_after_batch(&mut self, ctx: &Context<'_>) -> bool {
        // Reading the clock costs a noticeable part of a small step.
        let since = self.now.since.filter(|_| matches!(self.every, Every::Time(_)));
        let elapsed = since.map(clock::since).unwrap_or_default();
        // Epochs end later than their last batch.
        let tick = Tick { epochs: None, steps: Some(self.steps(ctx)), ..ctx.run().tick_after_batch(true, elapsed) };
        let is_due = self.every.is_due(&tick);
        if is_due && matches!(self.every, Every::Time(_)) {
            self.now.since = Some(clock::now());
        }
        is_due
    }

    /// Whether a period of steps has ended since the last batch.
    pub(super) fn has_steps_due(&mut self, ctx: &Context<'_>) -> bool {
        let steps = Some(self.steps(ctx));
        matches!(self.every, Every::Steps(_)) && self.every.is_due(&Tick { steps, ..Tick::default() })
    }

    /// The optimizer steps since the last call.
    fn steps(&mut self, ctx: &Context<'_>) -> Passed {
        let now = ctx.global_step();
        Passed { before: std::mem::replace(&mut self.now.checked_step, now), now }
    }

    pub(super) fn is_due_after_epoch(&self, ctx: &Context<'_>) -> bool {
        self.every.is_due(&Tick::of_epoch(ctx.current_epoch() as u64 + 1))
    }

    pub(super) fn saves_on_train_epoch_end(&self, ctx: &Context<'_>) -> bool {
        self.on_train_epoch_end.unwrap_or_else(|| !ctx.limits().validates() || ctx.run().validates_every_epoch)
    }
}
