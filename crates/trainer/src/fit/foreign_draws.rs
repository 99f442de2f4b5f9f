//! Detects draws from burn's random numbers outside of the loop. No seed can make such a fit reproducible.

use stormfire_module::{LightningModule, Result, draws::Undrawn};

use super::FitLoop;
use crate::engine::RandomPart;

impl<M: LightningModule> FitLoop<'_, M> {
    /// Called before the first batch of a fit whose data is prepared on other threads.
    pub(super) fn expect_no_draws(&mut self) -> Option<Undrawn> {
        if std::mem::replace(&mut self.has_expected, true) || self.engine.run.place.after_batch || !self.train.makes_ahead() {
            return None;
        }
        Some(Undrawn::seeded(&self.engine.frame.device, || self.engine.reseed(RandomPart::EpochStart)))
    }

    /// Called after that batch. Needs one device read.
    pub(super) fn check_draws(&self, expected: Undrawn) -> Result<()> {
        if !expected.is_still(&self.engine.frame.device)? {
            tracing::warn!(
                "random numbers of burn are drawn while the workers of the training data make batches: burn has one generator for all \
                 threads, so this fit cannot be repeated, not even its dropout; draw from `stormfire::data::random()` in datasets and \
                 batchers, or use no workers"
            );
        }
        Ok(())
    }
}
