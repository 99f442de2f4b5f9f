//! Decides when a save point is due.

use stormfire_module::{Context, Every, clock};

use super::ModelCheckpoint;
use crate::period::ends_part;

impl ModelCheckpoint {
    /// Whether the current batch ends a period.
    pub(super) fn is_due_after_batch(&mut self, ctx: &Context<'_>, batch_idx: usize) -> bool {
        match self.every {
            Every::Epochs(_) => false,
            Every::Steps(_) => self.every.is_due(ctx.global_step()),
            Every::Batches(_) => self.every.is_due(ctx.progress().batches),
            Every::Fraction(fraction) => ends_part(fraction, ctx, batch_idx + 1),
            Every::Time(period) => {
                let due = self.now.since.is_some_and(|since| clock::since(since) >= period);
                if due {
                    self.now.since = Some(clock::now());
                }
                due
            }
        }
    }

    pub(super) fn is_due_after_epoch(&self, ctx: &Context<'_>) -> bool {
        matches!(self.every, Every::Epochs(_)) && self.every.is_due(ctx.current_epoch() as u64 + 1)
    }

    pub(super) fn saves_on_train_epoch_end(&self, ctx: &Context<'_>) -> bool {
        self.on_train_epoch_end.unwrap_or_else(|| !ctx.limits().validates() || ctx.run().validates_every_epoch)
    }
}
