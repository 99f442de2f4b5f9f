//! Saves the store for a checkpoint, and restores it.

use std::sync::Arc;

use burn::tensor::Device;
use stormfire_module::Result;
use stormfire_values::{Scalar, read::Reading};

use super::{
    Entry, LogStore,
    slot::{Results, Slot, Step},
};
use crate::{
    accumulator::Accumulator,
    log_state::{self, LogState, Pending, SavedOptions, SavedSlot},
};

impl LogStore {
    /// The state for a checkpoint. Device values are only added to `pending`.
    pub(crate) fn state(&mut self, pending: &mut Pending) -> LogState {
        self.commit();
        let mut named = |(name, reading): (&Arc<str>, &Reading)| (name.to_string(), pending.save_source(&reading.source()));
        let metrics = self.callback.readings().map(&mut named).collect();
        let is_new = |(_, entry): &(&Arc<str>, &Entry)| entry.arrival > self.epoch_started;
        let of_epoch = self.callback.0.iter().filter(is_new).map(|(name, _)| name.to_string()).collect();
        let progress_bar = self.bar.readings().map(named).collect();
        LogState {
            train: self.train.slots.iter().map(|slot| slot.state(pending)).collect(),
            evaluation: self.evaluation.slots.iter().map(|slot| slot.state(pending)).collect(),
            metrics,
            of_epoch,
            progress_bar,
            window_batches: self.window_batches.unwrap_or_default(),
            skipped_batches: self.skipped_batches,
            ranks: Vec::new(),
            lacks_ranks: false,
        }
    }

    /// Restores a state.
    pub(crate) fn restore(&mut self, state: &LogState, device: &Device) -> Result<()> {
        self.clear();
        let slots = |saved: &[SavedSlot]| saved.iter().map(|slot| Slot::restore(slot, device)).collect::<Result<Vec<_>>>();
        self.train = Results::restored(slots(&state.train)?);
        self.evaluation = Results::restored(slots(&state.evaluation)?);
        self.window_batches = self.window_batches.map(|_| state.window_batches);
        self.skipped_batches = state.skipped_batches;
        let reading = |value: f64| Reading::new(Scalar::Host(value));
        self.arrivals = 1;
        for (name, value) in &state.metrics {
            let arrival = u64::from(state.of_epoch.contains(name));
            self.callback.set(&name.as_str().into(), reading(value.value()), arrival);
        }
        for (name, value) in &state.progress_bar {
            self.bar.set(&name.as_str().into(), reading(value.value()));
        }
        Ok(())
    }
}

impl Slot {
    /// The state without any values.
    pub(super) fn without_values(&self) -> SavedSlot {
        SavedSlot {
            hook: self.hook.name().into(),
            name: self.name.to_string(),
            dataloader_idx: self.dataloader_idx,
            options: SavedOptions::from(&self.options),
            step_key: self.step_key.to_string(),
            epoch_key: self.epoch_key.to_string(),
            plain_key: self.plain_key.to_string(),
            step: None,
            epoch: None,
            window: None,
            joined: None,
            is_unsent: self.is_unsent,
        }
    }

    /// The state with only this accumulator.
    pub(super) fn state_with(&self, epoch: &Accumulator, pending: &mut Pending) -> SavedSlot {
        SavedSlot { epoch: Some(epoch.state_for_rank_zero(pending)), ..self.without_values() }
    }

    pub(super) fn state(&self, pending: &mut Pending) -> SavedSlot {
        SavedSlot {
            step: self.step.as_ref().map(|step| {
                let readings = step.readings_now().into_iter();
                readings.map(|(name, reading)| (name, pending.save_source(&reading.source()))).collect()
            }),
            epoch: self.epoch.as_ref().map(|epoch| epoch.state(pending)),
            window: self.window.as_ref().map(|window| window.state(pending)),
            joined: self.with_window().map(|joined| joined.state(pending)),
            ..self.without_values()
        }
    }

    pub(super) fn restore(saved: &SavedSlot, device: &Device) -> Result<Self> {
        Ok(Self {
            hook: log_state::hook(&saved.hook)?,
            name: saved.name.as_str().into(),
            dataloader_idx: saved.dataloader_idx,
            options: saved.options.restore(),
            step_key: saved.step_key.as_str().into(),
            epoch_key: saved.epoch_key.as_str().into(),
            plain_key: saved.plain_key.as_str().into(),
            shown: Vec::new(),
            step: saved
                .step
                .as_ref()
                .map(|step| Step::restored(step.iter().map(|(name, value)| (name.clone(), value.restore(device))).collect())),
            epoch: saved.epoch.as_ref().map(|epoch| Accumulator::restore(epoch, device)),
            window: saved.window.as_ref().map(|window| Accumulator::restore(window, device)),
            joined: saved.joined.as_ref().map(|joined| Accumulator::restore(joined, device)),
            news: None,
            is_unsent: saved.is_unsent,
        })
    }
}
