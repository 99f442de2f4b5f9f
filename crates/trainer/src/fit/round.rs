//! Rounds: the batches that all ranks work on at the same time. A single rank has rounds of one batch.

use stormfire_module::{Error, LightningModule, Result};
use stormfire_optim::window::Round;

use super::FitLoop;
use crate::flags::Flags;

impl<M: LightningModule> FitLoop<'_, M> {
    /// Counts the batches of the next round. The last round of an epoch may be short.
    pub(super) fn begin_round(&mut self) {
        let (world, run) = (self.engine.world(), &mut self.engine.run);
        let left = run.limits.train_batches.map_or(world, |length| length.saturating_sub(run.place.progress.batch_in_epoch));
        run.round = world.min(left).max(1);
    }

    pub(super) fn round(&self) -> Round {
        Round { ranks: self.engine.world(), batches: self.engine.run.round }
    }

    /// Whether this rank has a batch in the round.
    pub(super) fn has_batch(&self) -> bool {
        self.engine.rank() < self.engine.run.round
    }

    /// Whether the batch of this rank in the round is to be left out.
    pub(super) fn is_left_out(&self) -> bool {
        let (place, rank) = (&self.engine.run.place, self.engine.rank());
        !place.left_out.is_empty() && place.left_out.contains(&(place.progress.epoch, place.progress.batch_in_epoch + rank))
    }

    /// Returns an error for data that ended before its first batch.
    pub(super) fn check_not_empty(&self) -> Result<()> {
        let hint = "is the data empty, or smaller than a batch with `drop_last`?";
        if self.engine.run.place.progress.batches == 0 || self.engine.world() > 1 {
            return Err(Error::config("train_dataloader", "it gave no batch", hint));
        }
        Ok(())
    }

    /// Agrees with the other ranks, and also stops if values are not finite on one of them. Before, sets the learning
    /// rates that hooks have requested.
    pub(super) fn agree(&mut self) -> Result<()> {
        self.set_learning_rates()?;
        let own = Flags::default().and_if(self.finite.stop().is_some(), Flags::NOT_FINITE);
        if self.engine.agree(own)?.has(Flags::NOT_FINITE) {
            self.finite.stop_as_another_rank();
            self.engine.books.is_not_finite = true;
        }
        Ok(())
    }
}
