//! How a batch is made on any thread: with its own random numbers, and under a check for foreign draws.

use burn::tensor::Device;

use crate::{
    Batch, Position, Result,
    foreign_draws::{Announced, Look, Seen},
    random::Chance,
};

/// The making of the batches of one pass.
pub(crate) struct Making {
    pub(crate) device: Device,
    chance: Chance,
    epoch: usize,
    /// Whether workers make the batches.
    is_ahead: bool,
    first: usize,
    look: Announced,
}

impl Making {
    /// `first` is the number of the first batch of the pass.
    pub(crate) fn new(chance: Chance, epoch: usize, first: usize, workers: usize, threads: &Seen, device: &Device) -> Self {
        let is_ahead = workers > 0;
        let look = if is_ahead { chance.announce(threads, device) } else { Announced::default() };
        Self { device: device.clone(), chance, epoch, is_ahead, first, look }
    }

    pub(crate) fn make<B>(&self, batch: usize, load: impl FnOnce() -> Result<Batch<B>>) -> Result<Batch<B>> {
        let iterating = (!self.is_ahead).then_some(&self.device);
        let look = if batch == self.first { self.look.begin() } else { None };
        let made = self.chance.of_batch(Position::new(self.epoch, batch), iterating, load);
        look.into_iter().for_each(Look::end);
        made
    }
}
