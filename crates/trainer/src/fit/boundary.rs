//! Actions of a fit between two batches.

use stormfire_module::{LightningModule, Result, moment::Progress};
use stormfire_optim::{for_trainer::DriveOptimizers as _, shared_ids};

use super::FitLoop;
use crate::{adopt::adopt, checkpoint, stop::Stop};

/// Interval of the search for changes by hooks, in batches. It visits all parameters, which would be noticeable after
/// each batch of a small module.
const ADOPT_EVERY: u64 = 50;

impl<M: LightningModule> FitLoop<'_, M> {
    /// Keeps the state of this boundary, if a failure may need it.
    pub(super) fn keep(&mut self) -> Result<()> {
        let Progress { batches, batch_in_epoch, .. } = self.engine.run.place.progress;
        if batch_in_epoch == 0 || batches.is_multiple_of(ADOPT_EVERY) {
            adopt(self.module, &self.engine.frame)?;
        }
        if self.engine.run.internals.keeps_state {
            self.note_data_module()?;
        }
        checkpoint::keep(self.engine, self.module, self.training)
    }

    fn note_data_module(&mut self) -> Result<()> {
        self.engine.books.data_module = self.data.state()?;
        Ok(())
    }

    /// Takes the state of a fit that ends within an epoch. A longer fit resumes from it.
    pub(super) fn note_unfinished(&mut self) -> Result<()> {
        let is_cut = matches!(self.is_done(), Some(Stop::MaxSteps(_) | Stop::Requested(_)));
        if is_cut && self.training.unfinished.is_none() && self.engine.run.place.evaluating.is_none() {
            self.note_data_module()?;
            checkpoint::gather(self.engine, self.module, self.training)?;
            self.training.unfinished = Some(checkpoint::unfinished_epoch(self.engine)?);
            self.engine.books.of_ranks.clear();
        }
        Ok(())
    }

    /// Sets the learning rates that hooks have requested.
    pub(super) fn set_learning_rates(&mut self) -> Result<()> {
        let asked = std::mem::take(&mut self.engine.run.place.requests.rates);
        if asked.is_empty() {
            return Ok(());
        }
        for (of, rate) in asked {
            self.training.optimizers.set_rate(&of, rate)?;
        }
        self.refresh_learning_rates();
        Ok(())
    }

    pub(super) fn refresh_learning_rates(&mut self) {
        self.engine.run.place.learning_rates = self.training.optimizers.learning_rates();
    }

    /// Writes the requested checkpoints.
    pub(super) fn write_checkpoints(&mut self) -> Result<()> {
        if self.engine.saves_now() {
            self.note_data_module()?;
            shared_ids::check(self.module)?;
            self.finite.settle(self.engine, self.module)?;
            checkpoint::gather(self.engine, self.module, self.training)?;
        }
        checkpoint::write_requested(self.engine, self.module, self.training)?;
        self.engine.books.of_ranks.clear();
        self.engine.check_logs()
    }
}
