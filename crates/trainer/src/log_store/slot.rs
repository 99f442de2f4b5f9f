//! The values of one name in one hook.

use std::{collections::HashMap, sync::Arc};

use stormfire_metrics::Logged;
use stormfire_module::{
    Hook,
    log::{Options, Record},
    log_error::LogError,
};
use stormfire_values::{Scalar, read::Reading};

use super::BatchInfo;
use crate::{
    accumulator::{Accumulator, Readings, readings_of},
    log_state::SavedSlot,
};

/// A name in a hook.
#[derive(Clone)]
pub(super) struct Slot {
    pub(super) hook: Hook,
    pub(super) name: Arc<str>,
    pub(super) dataloader_idx: usize,
    pub(super) options: Options,
    /// `name`, or `name_step` if it is recorded both on step and on epoch.
    pub(super) step_key: Arc<str>,
    /// `name`, or `name_epoch`.
    pub(super) epoch_key: Arc<str>,
    /// The names of the numbers that the epoch has shown.
    pub(super) shown: Vec<Arc<str>>,
    /// The name under which a monitor finds the newer of both values.
    pub(super) plain_key: Arc<str>,
    pub(super) step: Option<Step>,
    pub(super) epoch: Option<Accumulator>,
    /// The part of the window's batches, which may still be skipped.
    pub(super) window: Option<Accumulator>,
    /// The epoch and the window together, from a checkpoint. They can be separated only when the code that logs the
    /// metric supplies its type again.
    pub(super) joined: Option<Accumulator>,
    /// The arrival number of the newest value since the last commit, if there is one.
    pub(super) news: Option<u64>,
    /// Whether a step value was not sent to the loggers yet.
    pub(super) is_unsent: bool,
}

/// The value of a step. Logger, monitor and progress bar share its readings, so that it is read from the device once.
#[derive(Clone)]
pub(super) struct Step {
    /// Invalid for several numbers after a checkpoint, which has no state of a step.
    pub(super) value: Logged,
    /// The number of items that the value represents, if it is known.
    pub(super) items: Option<usize>,
    readings: Option<Readings>,
}

impl Step {
    pub(super) fn new(value: Logged, items: Option<usize>) -> Self {
        Self { value, items, readings: None }
    }

    /// The slot of restored numbers, with their names below that of the metric.
    pub(super) fn restored(numbers: Vec<(Option<String>, Scalar)>) -> Self {
        let value = match &numbers[..] {
            [(None, scalar)] => Logged::Scalar(scalar.clone()),
            _ => Logged::Invalid("several numbers".into()),
        };
        let readings = numbers.into_iter().map(|(name, scalar)| (name, Reading::new(scalar))).collect();
        Self { value, items: None, readings: Some(readings) }
    }

    pub(super) fn readings(&mut self) -> &Readings {
        let value = &self.value;
        self.readings.get_or_insert_with(|| readings_of(value))
    }

    /// As [`readings`](Self::readings), without sharing them.
    pub(super) fn readings_now(&self) -> Readings {
        self.readings.clone().unwrap_or_else(|| readings_of(&self.value))
    }
}

impl Slot {
    fn new(record: &Record, name: Arc<str>, num_dataloaders: usize) -> Self {
        let options = record.options.clone();
        let suffix = if num_dataloaders > 1 && options.add_dataloader_idx && !is_of_epoch(record.hook) {
            format!("/dataloader_idx_{}", record.dataloader_idx)
        } else {
            String::new()
        };
        let forked = options.on_step && options.on_epoch;
        let key = |fork: &str| -> Arc<str> { if forked { format!("{name}{fork}{suffix}") } else { format!("{name}{suffix}") }.into() };
        Self {
            hook: record.hook,
            step_key: key("_step"),
            epoch_key: key("_epoch"),
            shown: Vec::new(),
            plain_key: format!("{name}{suffix}").into(),
            name,
            dataloader_idx: record.dataloader_idx,
            options,
            step: None,
            epoch: None,
            window: None,
            joined: None,
            news: None,
            is_unsent: false,
        }
    }

    /// Whether it belongs to a hook of a whole epoch, whose value is available at once.
    pub(super) fn is_of_epoch(&self) -> bool {
        is_of_epoch(self.hook)
    }

    /// Adds a value. If the current batch may still be skipped, its part of the epoch stays in the window.
    pub(super) fn take(&mut self, record: Record, batch: BatchInfo, waits: bool, arrival: u64) -> Result<(), LogError> {
        if self.options.on_epoch {
            let twice = || LogError::Twice { name: self.name.to_string(), hook: self.hook };
            let unknown = || LogError::BatchSize { name: self.name.to_string(), hook: self.hook };
            let items = record.batch_size.or(batch.items);
            for accumulator in self.epoch.iter_mut().chain(&mut self.window) {
                if !accumulator.revive(&record.value, record.options.reduce_fx) {
                    return Err(LogError::Restored { name: self.name.to_string(), hook: self.hook });
                }
            }
            self.joined = None;
            let into = if waits && !is_of_epoch(self.hook) { &mut self.window } else { &mut self.epoch };
            match into {
                Some(accumulator) => {
                    let unmerged = |reason| LogError::Unmerged { name: self.name.to_string(), hook: self.hook, reason };
                    accumulator.add(&record.value, items, unknown, twice, unmerged)?;
                }
                None => *into = Some(Accumulator::start(&record.value, record.options.reduce_fx, items, unknown)?),
            }
        }
        if self.options.on_step {
            self.step = Some(Step::new(record.value, record.batch_size.or(batch.items)));
            self.is_unsent = true;
        }
        self.news = Some(arrival);
        Ok(())
    }

    /// The epoch with its window, if only the code that logs the metric can combine them.
    pub(super) fn with_window(&self) -> Option<Accumulator> {
        if self.joined.is_some() {
            return self.joined.clone();
        }
        let (Some(epoch @ (Accumulator::Metric(_) | Accumulator::Custom { .. })), Some(window)) = (&self.epoch, &self.window) else {
            return None;
        };
        let mut joined = epoch.clone();
        joined.append(window.clone()).then_some(joined)
    }

    /// Ends the window: its values are counted or dropped.
    fn end_window(&mut self, counts: bool) -> Result<(), LogError> {
        let joined = self.joined.take();
        let Some(window) = self.window.take().filter(|_| counts) else { return Ok(()) };
        if let Some(joined) = joined {
            self.epoch = Some(joined);
            return Ok(());
        }
        let Some(epoch) = &mut self.epoch else {
            self.epoch = Some(window);
            return Ok(());
        };
        if epoch.append(window) { Ok(()) } else { Err(LogError::Twice { name: self.name.to_string(), hook: self.hook }) }
    }
}

/// Whether the hook belongs to a whole epoch, in which nothing is logged for a step or a loader.
pub(super) fn is_of_epoch(hook: Hook) -> bool {
    hook.log_rule().is_some_and(|rule| rule.epoch_only)
}

/// The slots of one loop.
#[derive(Default)]
pub(super) struct Results {
    pub(super) slots: Vec<Slot>,
    /// The indices of the slots of a name.
    by_name: HashMap<Arc<str>, Vec<usize>>,
    /// Steps log the same names in the same order, so the next record most likely belongs to this slot.
    pub(super) cursor: usize,
}

impl Results {
    pub(super) fn restored(slots: Vec<Slot>) -> Self {
        let mut results = Self::default();
        for slot in slots {
            results.add(slot);
        }
        results
    }

    /// Adds a slot. Returns its index.
    pub(super) fn add(&mut self, slot: Slot) -> usize {
        let index = self.slots.len();
        self.by_name.entry(Arc::clone(&slot.name)).or_default().push(index);
        self.slots.push(slot);
        index
    }

    /// The index of the slot that was saved as this one, here or on another rank.
    pub(super) fn index_of(&self, saved: &SavedSlot) -> Option<usize> {
        let is_it = |slot: &Slot| slot.hook.name() == saved.hook && slot.dataloader_idx == saved.dataloader_idx;
        self.by_name.get(saved.name.as_str())?.iter().copied().find(|&index| is_it(&self.slots[index]))
    }

    pub(super) fn slot(&mut self, record: &Record, batch: BatchInfo) -> Result<&mut Slot, LogError> {
        // Without a suffix, two loaders would share a name. They share the slot, and the second value is refused.
        let same_loader = |slot: &Slot| slot.dataloader_idx == record.dataloader_idx || !record.options.add_dataloader_idx;
        let is_it = |slot: &Slot| slot.hook == record.hook && same_loader(slot) && *slot.name == *record.name;
        let index = if self.slots.get(self.cursor).is_some_and(is_it) {
            self.cursor
        } else {
            let known = self.by_name.get(&*record.name);
            match known.and_then(|known| known.iter().copied().find(|&index| is_it(&self.slots[index]))) {
                Some(index) => index,
                None => self.push(record, batch),
            }
        };
        self.cursor = if index + 1 < self.slots.len() { index + 1 } else { 0 };
        let slot = &mut self.slots[index];
        if slot.options != record.options || slot.dataloader_idx != record.dataloader_idx {
            return Err(LogError::Twice { name: record.name.to_string(), hook: record.hook });
        }
        Ok(slot)
    }

    fn push(&mut self, record: &Record, batch: BatchInfo) -> usize {
        let name: Arc<str> =
            self.by_name.get_key_value(&*record.name).map_or_else(|| record.name.as_ref().into(), |(name, _)| Arc::clone(name));
        self.add(Slot::new(record, name, batch.num_dataloaders))
    }

    pub(super) fn end_window(&mut self, counts: bool) -> Result<(), LogError> {
        self.slots.iter_mut().try_for_each(|slot| slot.end_window(counts))
    }

    pub(super) fn reset(&mut self) {
        for slot in &mut self.slots {
            (slot.step, slot.epoch, slot.window, slot.joined) = (None, None, None, None);
            (slot.news, slot.is_unsent) = (None, false);
            slot.shown.clear();
        }
    }
}
