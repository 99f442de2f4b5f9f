//! Agreement of the ranks between two batches.

use stormfire_module::{LightningModule, Result};

use super::Engine;
use crate::{
    communicator::Flags,
    signals::{Signal, SignalWatch},
};

/// The author of a stop that another rank requested.
const OTHER_RANK: &str = "another rank";

impl<M: LightningModule> Engine<M> {
    /// After this call, stops, skipped epochs, signals and validations that are due by the clock are those of all
    /// ranks. It is called at points that every rank passes equally often: after a batch, after the actions that follow
    /// it, after an epoch.
    pub(crate) fn agree(&mut self) -> Result<()> {
        if self.frame.communicator.world() == 1 {
            return Ok(());
        }
        let place = &self.run.place;
        let said = Flags::default()
            .and_if(place.requests.stop().is_some(), Flags::STOP)
            .and_if(place.requests.skip_epoch, Flags::SKIP_EPOCH)
            .and_if(place.validation_is_due, Flags::VALIDATE)
            .and(self.signal_here().map(Flags::signal).unwrap_or_default());
        let agreed = self.frame.communicator.agree(said)?;
        let place = &mut self.run.place;
        if agreed.has(Flags::STOP) && place.requests.stop().is_none() {
            place.requests.ask_to_stop(OTHER_RANK, "another rank requested it".into());
        }
        place.requests.skip_epoch |= agreed.has(Flags::SKIP_EPOCH);
        place.validation_is_due |= agreed.has(Flags::VALIDATE);
        self.books.signal = Signal::ALL.into_iter().find(|signal| agreed.has(Flags::signal(*signal)));
        Ok(())
    }

    /// The signal that requested the run to end. With several ranks, the one that they have agreed on.
    pub(crate) fn signal(&self) -> Option<Signal> {
        if self.frame.communicator.world() == 1 { self.signal_here() } else { self.books.signal }
    }

    fn signal_here(&self) -> Option<Signal> {
        self.frame.signals.as_ref().and_then(SignalWatch::received)
    }

    /// Returns an error if a signal has requested the run to end.
    pub(crate) fn check_interrupt(&self) -> Result<()> {
        self.signal().map_or(Ok(()), |signal| Err(signal.into()))
    }
}
