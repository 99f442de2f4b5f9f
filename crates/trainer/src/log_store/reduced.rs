//! Values of all ranks: what a rank sends to rank 0, and what rank 0 makes of it.

use std::sync::Arc;

use burn::tensor::Device;
use stormfire_metrics::{Computed, Logged, Named, Picture};
use stormfire_module::{Error, Hook, Result, RunningStage, log::ReduceFx};
use stormfire_values::read::Reading;

use super::{
    LogStore,
    slot::{Results, Slot},
};
use crate::{
    accumulator::{Accumulator, Readings},
    bundle::Bundle,
    log_state::{LogState, Pending, SavedAccumulator, SavedSlot},
};

/// Which values are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sent {
    /// The accumulated values of an epoch.
    Epoch(RunningStage),
    /// Those of them that this hook has logged.
    OfHook(RunningStage, Hook),
    /// The newest step values that the loggers get now.
    Step,
}

impl Sent {
    fn stage(self) -> RunningStage {
        match self {
            Self::Epoch(stage) | Self::OfHook(stage, _) => stage,
            Self::Step => RunningStage::Train,
        }
    }

    /// The value of a slot that is sent, if it is.
    fn of(self, slot: &Slot) -> Option<Accumulator> {
        if slot.options.sync_dist == Some(false) || slot.options.rank_zero_only {
            return None;
        }
        match self {
            Self::Epoch(_) => slot.epoch.clone(),
            Self::OfHook(_, hook) => slot.epoch.clone().filter(|_| slot.hook == hook),
            Self::Step => slot.step_to_sum(),
        }
    }
}

/// Results of all ranks, each with its slot, which holds no values.
pub(crate) type Values = Vec<(SavedSlot, Computed)>;

impl LogStore {
    /// The values of this rank for the others, read from the device.
    pub(crate) fn of_this_rank(&mut self, sent: Sent) -> Result<Vec<SavedSlot>> {
        let mut pending = Pending::default();
        let slots = self.results(sent.stage()).slots.iter();
        let train = slots.filter_map(|slot| Some(slot.state_with(&sent.of(slot)?, &mut pending))).collect();
        let mut state = LogState { train, ..LogState::default() };
        state.read(&pending)?;
        Ok(state.train)
    }

    /// On rank 0: the values of all ranks in place of the rank's own values. Returns the numbers for the other ranks.
    pub(crate) fn take_from_ranks(&mut self, sent: Sent, others: &[Vec<SavedSlot>], device: &Device) -> Result<Values> {
        self.arrivals += 1;
        let arrival = self.arrivals;
        let results = self.results(sent.stage());
        for slots in others {
            results.merge(slots, device)?;
        }
        let mut named = Vec::new();
        for slot in &mut results.slots {
            if let Some(accumulator) = sent.of(slot) {
                slot.news = Some(arrival);
                named.push((slot.without_values(), accumulator.readings(), accumulator.picture()?));
            }
        }
        self.has_news = true;
        let readings: Vec<Reading> = named.iter().flat_map(|(_, readings, _)| readings).map(|(_, reading)| reading.clone()).collect();
        // In one transaction.
        Reading::read_all(&readings)?;
        let result = |(slot, readings, picture): (SavedSlot, Readings, Option<Picture>)| {
            let numbers = readings.into_iter().map(|(name, reading)| Ok((name, reading.read()?))).collect::<Result<Vec<_>>>()?;
            let computed = match (picture, &numbers[..]) {
                (Some(picture), _) => Computed::Picture(picture),
                (None, [(None, number)]) => Computed::One(*number),
                (None, _) => Computed::Named(Named(numbers.into_iter().filter_map(|(name, number)| Some((name?, number))).collect())),
            };
            Ok((slot, computed))
        };
        named.into_iter().map(result).collect()
    }

    /// On the other ranks: the numbers of all ranks in place of the own values. Names that this rank has not logged are
    /// visible to its callbacks, too.
    pub(crate) fn take_from_zero(&mut self, sent: Sent, values: Values, device: &Device) -> Result<()> {
        self.arrivals += 1;
        let arrival = self.arrivals;
        let results = self.results(sent.stage());
        for (saved, value) in values {
            let index = match results.index_of(&saved) {
                Some(index) => index,
                None => results.add(Slot::restore(&saved, device)?),
            };
            let slot = &mut results.slots[index];
            slot.epoch = Some(Accumulator::Saved { parts: Vec::new(), value, whole: Vec::new() });
            slot.news = Some(arrival);
        }
        self.has_news = true;
        Ok(())
    }

    /// On rank 0: the step metrics of all ranks for the loggers.
    pub(crate) fn step_metrics_of_ranks(&mut self, others: &[Vec<SavedSlot>], device: &Device) -> Result<Option<Bundle>> {
        let due = |slot: &Slot| slot.is_unsent && slot.options.logger;
        let mut sums = Results::default();
        for slot in self.train.slots.iter().filter(|slot| due(slot)) {
            let mut sum = slot.clone();
            sum.epoch = Sent::Step.of(slot);
            sums.add(sum);
        }
        for slots in others {
            // A value from before a resume is a number even if it was that of a metric. There is a newer one on rank 0.
            let is_alike = |saved: &&SavedSlot| sums.index_of(saved).is_none_or(|index| sums.slots[index].is_like(saved));
            let alike: Vec<_> = slots.iter().filter(is_alike).collect();
            sums.merge(alike, device)?;
        }
        self.step_metrics_are_sent();
        let readings = |slot: &Slot| -> Vec<_> {
            let summed = slot.epoch.as_ref().map(Accumulator::readings);
            let readings = summed.or_else(|| slot.step.as_ref().map(super::slot::Step::readings_now)).unwrap_or_default();
            readings.into_iter().map(|(name, reading)| (super::below(&slot.step_key, name.as_deref()), reading)).collect()
        };
        let readings: Vec<_> = sums.slots.iter().flat_map(readings).collect();
        Ok((!readings.is_empty()).then(|| Bundle::new(readings, Arc::clone(&self.watched))))
    }

    /// The step metrics that were due have been sent by rank 0.
    pub(crate) fn step_metrics_are_sent(&mut self) {
        self.train.slots.iter_mut().filter(|slot| slot.options.logger).for_each(|slot| slot.is_unsent = false);
    }

    /// The unfinished values of this rank for a checkpoint that rank 0 writes, read from the device.
    pub(crate) fn state_to_send(&mut self) -> Result<LogState> {
        let mut pending = Pending::default();
        let mut state = self.state(&mut pending);
        let of_slots = [(&self.train, &mut state.train), (&self.evaluation, &mut state.evaluation)];
        for (slot, saved) in of_slots.into_iter().flat_map(|(results, saved)| results.slots.iter().zip(saved)) {
            saved.epoch = slot.epoch.as_ref().map(|epoch| epoch.state_for_rank_zero(&mut pending));
        }
        (state.metrics, state.progress_bar) = (Vec::new(), Vec::new());
        state.read(&pending)?;
        Ok(state)
    }

    /// On rank 0: the state for a checkpoint, with the values of all ranks together, and of each alone. `others` are
    /// the states of the other ranks.
    pub(crate) fn state_with(&mut self, others: &[LogState], pending: &mut Pending, device: &Device) -> Result<LogState> {
        let own = self.state(pending);
        if others.is_empty() {
            return Ok(own);
        }
        let mut all = own.clone();
        let merged = |results: &Results, of: fn(&LogState) -> &Vec<SavedSlot>, pending: &mut Pending| -> Result<Vec<SavedSlot>> {
            let mut merged = Results::restored(results.slots.clone());
            for state in others {
                let slots: Vec<_> = of(state).iter().filter(|slot| !slot.is_of_rank_zero()).collect();
                merged.merge(slots.iter().copied(), device)?;
                merged.merge_windows(slots, device)?;
            }
            Ok(merged.slots.iter().map(|slot| slot.state(pending)).collect())
        };
        all.train = merged(&self.train, |state| &state.train, pending)?;
        all.evaluation = merged(&self.evaluation, |state| &state.evaluation, pending)?;
        for state in others {
            all.window_batches += state.window_batches;
            all.skipped_batches += state.skipped_batches;
        }
        let slots_of = |state: &LogState| {
            let mut state = LogState { metrics: Vec::new(), progress_bar: Vec::new(), ..state.clone() };
            for slot in state.train.iter_mut().chain(&mut state.evaluation) {
                if let Some(SavedAccumulator::Parts { is_restored, .. }) = &mut slot.epoch {
                    *is_restored = false;
                }
            }
            state
        };
        all.ranks = std::iter::once(&own).chain(others).map(slots_of).collect();
        Ok(all)
    }
}

impl Slot {
    fn is_like(&self, saved: &SavedSlot) -> bool {
        let has_parts = |accumulator: &Accumulator| matches!(accumulator, Accumulator::Metric(_) | Accumulator::Custom { .. });
        let is_parts = |saved: &SavedAccumulator| matches!(saved, SavedAccumulator::Parts { .. });
        self.epoch.as_ref().is_none_or(|own| saved.epoch.as_ref().is_none_or(|other| has_parts(own) == is_parts(other)))
    }

    /// The value of the newest step, weighed by its items.
    fn step_to_sum(&self) -> Option<Accumulator> {
        let step = self.step.as_ref().filter(|_| self.is_unsent && self.options.logger)?;
        if matches!(step.value, Logged::Invalid(_)) {
            return None;
        }
        let never = || stormfire_module::log_error::LogError::BatchSize { name: self.name.to_string(), hook: self.hook };
        Accumulator::start(&step.value, self.options.reduce_fx, Some(step.items.unwrap_or(1)), never).ok()
    }
}

impl Results {
    /// Merges accumulators of a later rank into those of earlier ranks.
    fn merge<'a>(&mut self, slots: impl IntoIterator<Item = &'a SavedSlot>, device: &Device) -> Result<()> {
        for saved in slots {
            let Some(later) = &saved.epoch else { continue };
            match self.index_of(saved) {
                None => {
                    let mut slot = Slot::restore(saved, device)?;
                    if let (Some(only), ReduceFx::Min | ReduceFx::Max) = (&mut slot.epoch, slot.options.reduce_fx) {
                        // Its type is known without the code that logs it.
                        only.revive(&Logged::Scalar(stormfire_values::Scalar::Host(f64::NAN)), slot.options.reduce_fx);
                    }
                    self.add(slot);
                }
                Some(index) => merge_into(&mut self.slots[index].epoch, later, saved, device)?,
            }
        }
        Ok(())
    }

    fn merge_windows<'a>(&mut self, slots: impl IntoIterator<Item = &'a SavedSlot>, device: &Device) -> Result<()> {
        for saved in slots {
            if let (Some(window), Some(index)) = (&saved.window, self.index_of(saved)) {
                merge_into(&mut self.slots[index].window, window, saved, device)?;
            }
        }
        Ok(())
    }
}

fn merge_into(own: &mut Option<Accumulator>, later: &SavedAccumulator, saved: &SavedSlot, device: &Device) -> Result<()> {
    let Some(own) = own else {
        *own = Some(Accumulator::restore(later, device));
        return Ok(());
    };
    if own.append_saved(later, device) {
        return Ok(());
    }
    let reason = format!("the values of `{}` in `{}` on several ranks cannot be reduced: they differ in kind", saved.name, saved.hook);
    Err(Error::config("log", reason, "log the same kind of value on every rank, also on rank 0, or set `sync_dist(false)`"))
}
