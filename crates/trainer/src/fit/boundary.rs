//! What a fit notes and writes between two batches.

use stormfire_module::{LightningModule, Result, moment::Progress};
use stormfire_optim::shared_ids;

use super::FitLoop;
use crate::{checkpoint, stop::Stop};

/// Looking for copies walks over all parameters: it would be felt after each batch of a small module.
const LOOK_FOR_COPIES_EVERY: u64 = 50;

impl<M: LightningModule> FitLoop<'_, M> {
    /// Keeps the state of this boundary, if it may be wanted after a failure.
    pub(super) fn keep(&mut self) -> Result<()> {
        let Progress { batches, batch_in_epoch, .. } = self.engine.run.place.progress;
        // A hook may have made a copy of a part of the module, which would be trained in its place.
        if batch_in_epoch == 0 || batches.is_multiple_of(LOOK_FOR_COPIES_EVERY) {
            shared_ids::check(self.module)?;
        }
        if self.engine.run.keeps_state {
            self.note_data_module()?;
        }
        checkpoint::keep(self.engine, self.module, self.training)
    }

    fn note_data_module(&mut self) -> Result<()> {
        self.engine.books.data_module = self.data.state()?;
        Ok(())
    }

    /// Notes where a fit is that ends in the middle of an epoch: one that trains longer goes on there.
    pub(super) fn note_unfinished(&mut self) -> Result<()> {
        let is_cut = matches!(self.is_done(), Some(Stop::MaxSteps(_) | Stop::Requested(_))) && self.finite.stop().is_none();
        if is_cut && self.training.unfinished.is_none() && self.engine.run.place.evaluating.is_none() {
            self.note_data_module()?;
            self.training.unfinished = Some(checkpoint::unfinished_epoch(self.engine)?);
        }
        Ok(())
    }

    pub(super) fn refresh_learning_rates(&mut self) {
        self.engine.run.place.learning_rates = self.training.optimizers.learning_rates();
    }

    /// Writes the checkpoints that were asked for.
    pub(super) fn write_checkpoints(&mut self) -> Result<()> {
        if !self.engine.run.place.requests.saves.is_empty() {
            self.note_data_module()?;
            shared_ids::check(self.module)?;
            self.finite.settle(self.engine, self.module)?;
        }
        checkpoint::write_requested(self.engine, self.module, self.training)?;
        self.engine.check_logs()
    }
}
