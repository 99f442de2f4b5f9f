//! Detects draws from burn's random numbers outside of the loop. No seed can make such a fit reproducible.

use burn::tensor::{Device, Distribution, Tensor};
use stormfire_module::{LightningModule, Result};
use stormfire_values::{Scalar, read::read};

use super::FitLoop;
use crate::engine::RandomPart;

/// The next number of burn's generator, unless another thread draws.
pub(super) struct Expected(Tensor<1>);

fn draw(device: &Device) -> Tensor<1> {
    Tensor::random([1], Distribution::Default, device)
}

impl<M: LightningModule> FitLoop<'_, M> {
    /// Called before the first batch of a fit whose data is prepared on other threads.
    pub(super) fn expect_no_draws(&mut self) -> Option<Expected> {
        if std::mem::replace(&mut self.has_expected, true) || self.engine.run.place.after_batch || !self.train.makes_ahead() {
            return None;
        }
        let again = || {
            self.engine.reseed(RandomPart::EpochStart);
            draw(&self.engine.frame.device)
        };
        let expected = again();
        self.engine.reseed(RandomPart::EpochStart);
        Some(Expected(expected))
    }

    /// Called after that batch. Needs one device read.
    pub(super) fn check_draws(&self, expected: Expected) -> Result<()> {
        let drawn = draw(&self.engine.frame.device);
        let values = read(&[Scalar::from(expected.0), Scalar::from(drawn)])?;
        if values[0].to_bits() != values[1].to_bits() {
            tracing::warn!(
                "random numbers of burn are drawn while the workers of the training data make batches: burn has one generator for all \
                 threads, so this fit cannot be repeated, not even its dropout; draw from `stormfire::data::random()` in datasets and \
                 batchers, or use no workers"
            );
        }
        Ok(())
    }
}
