//! The store as it goes into a checkpoint, and back.

use std::sync::Arc;

use burn::tensor::Device;
use stormfire_module::{Logged, Result, Scalar, read::Reading};

use super::{LogStore, Results, Slot};
use crate::{
    accumulator::{Accumulator, value_of},
    log_state::{self, LogState, Pending, SavedOptions, SavedSlot},
};

impl LogStore {
    /// The state for a checkpoint; what is on the device is only noted down.
    pub(crate) fn state(&mut self, pending: &mut Pending) -> LogState {
        self.commit();
        let mut named = |(name, reading): (&Arc<str>, &Reading)| (name.to_string(), pending.save(&reading.scalar()));
        let metrics = self.callback.0.iter().map(|(name, reading)| named((name, reading))).collect();
        let progress_bar = self.bar.readings().map(named).collect();
        LogState {
            train: self.train.slots.iter().map(|slot| slot.state(pending)).collect(),
            evaluation: self.evaluation.slots.iter().map(|slot| slot.state(pending)).collect(),
            metrics,
            progress_bar,
        }
    }

    /// Continues from a state.
    pub(crate) fn restore(&mut self, state: &LogState, device: &Device) -> Result<()> {
        self.clear();
        let slots = |saved: &[SavedSlot]| saved.iter().map(|slot| Slot::restore(slot, device)).collect::<Result<Vec<_>>>();
        self.train = Results { slots: slots(&state.train)?, cursor: 0 };
        self.evaluation = Results { slots: slots(&state.evaluation)?, cursor: 0 };
        let reading = |value: f64| Reading::new(Scalar::Host(value));
        for (name, value) in &state.metrics {
            self.callback.set(&name.as_str().into(), reading(value.value()));
        }
        for (name, value) in &state.progress_bar {
            self.bar.set(&name.as_str().into(), reading(value.value()));
        }
        Ok(())
    }
}

impl Slot {
    fn state(&self, pending: &mut Pending) -> SavedSlot {
        SavedSlot {
            hook: self.hook.name().into(),
            name: self.name.to_string(),
            dataloader_idx: self.dataloader_idx,
            options: SavedOptions::from(&self.options),
            step_key: self.step_key.to_string(),
            epoch_key: self.epoch_key.to_string(),
            plain_key: self.plain_key.to_string(),
            step: self.step.as_ref().map(|step| pending.save(&value_of(step))),
            epoch: self.epoch.as_ref().map(|epoch| epoch.state(pending)),
            is_unsent: self.is_unsent,
        }
    }

    fn restore(saved: &SavedSlot, device: &Device) -> Result<Self> {
        Ok(Self {
            hook: log_state::hook(&saved.hook)?,
            name: saved.name.as_str().into(),
            dataloader_idx: saved.dataloader_idx,
            options: saved.options.restore()?,
            step_key: saved.step_key.as_str().into(),
            epoch_key: saved.epoch_key.as_str().into(),
            plain_key: saved.plain_key.as_str().into(),
            step: saved.step.as_ref().map(|step| Logged::Scalar(step.restore(device))),
            epoch: saved.epoch.as_ref().map(|epoch| Accumulator::restore(epoch, device)),
            is_new: false,
            is_unsent: saved.is_unsent,
        })
    }
}
