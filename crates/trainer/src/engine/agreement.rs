//! Agreement of the ranks between two batches.

use stormfire_module::{Error, LightningModule, Result, for_trainer::ChangeRequests as _, requests::StopRequest};

use super::{Engine, over_ranks::of_zero};
use crate::{
    flags::Flags,
    signals::{Signal, SignalWatch},
};

impl<M: LightningModule> Engine<M> {
    /// After this call, stops, skipped epochs, signals, requested checkpoints and validations that are due by the clock
    /// are those of all ranks. It is called at points that every rank passes equally often: after a batch, after the
    /// actions that follow it, after an epoch. Returns the flags of all ranks. `more` are further flags of this rank.
    pub(crate) fn agree(&mut self, more: Flags) -> Result<Flags> {
        if self.world() == 1 {
            return Ok(more);
        }
        let place = &self.run.place;
        let stops = place.requests.stop().is_some();
        let said = more
            .and(if stops { Flags::STOP } else { Flags::NO_STOP })
            .and_if(place.requests.skip_epoch, Flags::SKIP_EPOCH)
            .and_if(place.validation_is_due, Flags::VALIDATE)
            .and_if(!place.requests.saves.is_empty(), Flags::SAVE)
            .and(self.signal_here().map(Flags::signal).unwrap_or_default());
        let agreed = Flags(self.frame.ranks.agree(said.0)?);
        if agreed.has(Flags::STOP.and(Flags::NO_STOP)) {
            self.share_stop()?;
        }
        let place = &mut self.run.place;
        place.requests.skip_epoch |= agreed.has(Flags::SKIP_EPOCH);
        place.validation_is_due |= agreed.has(Flags::VALIDATE);
        self.books.some_rank_saves = agreed.has(Flags::SAVE);
        // As on one rank, no other signal replaces the requeue signal.
        let requeue = self.frame.signals.as_ref().and_then(SignalWatch::requeue);
        self.books.signal = requeue.into_iter().chain(Signal::ALL).find(|signal| agreed.has(Flags::signal(*signal)));
        Ok(agreed)
    }

    /// A rank without a stop gets that of the first rank with one. Its author is in the checkpoints of rank 0, where a
    /// continued fit looks for it.
    fn share_stop(&mut self) -> Result<()> {
        let own = self.run.place.requests.stop().cloned();
        let others = self.gathered(&own)?.unwrap_or_default();
        let first = own.iter().cloned().chain(others.into_iter().flatten()).next();
        let StopRequest { by, reason } = of_zero(&self.frame.ranks, first.unwrap_or_default())?;
        if own.is_none() {
            self.run.place.requests.ask_to_stop(&by, reason);
        }
        Ok(())
    }

    /// The signal that requested the run to end. With several ranks, the one that they have agreed on.
    pub(crate) fn signal(&self) -> Option<Signal> {
        if self.world() == 1 { self.signal_here() } else { self.books.signal }
    }

    /// The signal that this rank has received.
    pub(crate) fn signal_here(&self) -> Option<Signal> {
        self.frame.signals.as_ref().and_then(SignalWatch::received)
    }

    /// Returns an error if a signal has requested the run to end.
    pub(crate) fn check_interrupt(&self) -> Result<()> {
        self.signal().map_or(Ok(()), |signal| Err(signal.into()))
    }

    /// Whether a checkpoint is to be written now.
    pub(crate) fn saves_now(&self) -> bool {
        if self.world() == 1 { !self.run.place.requests.saves.is_empty() } else { self.books.some_rank_saves }
    }

    /// The number that rank 0 finds, on every rank: a schedule must not do something else on each.
    pub(crate) fn found_by_zero(&mut self, find: impl FnOnce(&mut Self) -> Result<Option<f64>>) -> Result<Option<f64>> {
        if self.world() == 1 {
            return find(self);
        }
        let own = find(self);
        let (found, missing) = match &own {
            Ok(found) => (*found, None),
            Err(Error::MetricMissing { name, available, lacks_validation }) => {
                (None, Some((name.clone(), available.clone(), *lacks_validation)))
            }
            Err(_) if self.rank() != 0 => (None, None),
            Err(_) => return own,
        };
        match of_zero(&self.frame.ranks, (found, missing))? {
            (_, Some((name, available, lacks_validation))) => Err(Error::MetricMissing { name, available, lacks_validation }),
            (found, None) => Ok(found),
        }
    }
}
