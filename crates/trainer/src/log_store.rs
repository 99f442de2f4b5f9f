//! What was logged: accumulated over the epoch, and laid out for callbacks, loggers and the progress bar.
//!
//! Values come in as [`Record`]s and stay on the device. Nothing here reads them but [`MetricSource::metric`], for a
//! monitor that asks, and [`LogStore::end_epoch`], once an epoch.

mod saved;

use std::sync::Arc;

use stormfire_loggers::Metrics;
use stormfire_module::{
    Error, Hook, Result, Scalar,
    log::{LogError, Options, Record},
    read::Reading,
    run::MetricSource,
};

use crate::{
    accumulator::{self, Accumulator},
    bar_values::BarValues,
    bundle::Bundle,
};

/// Which loop the values belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loop {
    Train,
    Evaluation,
}

/// What `record` must know about the batch at hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchInfo {
    /// The weight in a mean; `None` inside a batch of unknown size.
    pub(crate) items: Option<usize>,
    pub(crate) num_dataloaders: usize,
}

/// One name in one hook.
struct Slot {
    hook: Hook,
    name: Arc<str>,
    dataloader_idx: usize,
    options: Options,
    /// `name`, or `name_step` when it is recorded on step and on epoch.
    step_key: Arc<str>,
    /// `name`, or `name_epoch`.
    epoch_key: Arc<str>,
    /// The name under which a monitor finds whichever is newer.
    plain_key: Arc<str>,
    step: Option<stormfire_module::Logged>,
    epoch: Option<Accumulator>,
    /// Something came in since the last commit.
    is_new: bool,
    /// A step value came in that no logger has had yet.
    is_unsent: bool,
}

impl Slot {
    fn new(record: &Record, name: Arc<str>, num_dataloaders: usize) -> Self {
        let options = record.options.clone();
        let suffix = if num_dataloaders > 1 && options.add_dataloader_idx && record.hook.log_rule().is_some_and(|rule| !rule.epoch_only) {
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
            plain_key: format!("{name}{suffix}").into(),
            name,
            dataloader_idx: record.dataloader_idx,
            options,
            step: None,
            epoch: None,
            is_new: false,
            is_unsent: false,
        }
    }

    fn take(&mut self, record: Record, batch: BatchInfo) -> Result<(), LogError> {
        if self.options.on_epoch {
            let twice = || LogError::Twice { name: self.name.to_string(), hook: self.hook };
            let unknown = || LogError::BatchSize { name: self.name.to_string(), hook: self.hook };
            let items = record.batch_size.or(batch.items);
            match &mut self.epoch {
                Some(accumulator) => {
                    if !accumulator.revive(&record.value, record.options.reduce_fx) {
                        return Err(LogError::Restored { name: self.name.to_string(), hook: self.hook });
                    }
                    accumulator.add(&record.value, items, unknown, twice)?;
                }
                None => self.epoch = Some(Accumulator::start(&record.value, record.options.reduce_fx, items, unknown)?),
            }
        }
        if self.options.on_step {
            self.step = Some(record.value);
            self.is_unsent = true;
        }
        self.is_new = true;
        Ok(())
    }
}

/// The slots of one loop.
#[derive(Default)]
struct Results {
    slots: Vec<Slot>,
    /// Steps log the same names in the same order: the next record is most likely this slot's.
    cursor: usize,
}

impl Results {
    fn slot(&mut self, record: &Record, batch: BatchInfo) -> Result<&mut Slot, LogError> {
        // Without a suffix two loaders would share a name, so they share the slot, and the second one is refused.
        let same_loader = |slot: &Slot| slot.dataloader_idx == record.dataloader_idx || !record.options.add_dataloader_idx;
        let is_it = |slot: &Slot| slot.hook == record.hook && same_loader(slot) && *slot.name == *record.name;
        let expected = self.slots.get(self.cursor).is_some_and(is_it);
        let index = if expected { Some(self.cursor) } else { self.slots.iter().position(is_it) };
        let index = index.unwrap_or_else(|| {
            self.slots.push(Slot::new(record, record.name.as_ref().into(), batch.num_dataloaders));
            self.slots.len() - 1
        });
        self.cursor = if index + 1 < self.slots.len() { index + 1 } else { 0 };
        let slot = &mut self.slots[index];
        if slot.options != record.options || slot.dataloader_idx != record.dataloader_idx {
            return Err(LogError::Twice { name: record.name.to_string(), hook: record.hook });
        }
        Ok(slot)
    }

    fn reset(&mut self) {
        for slot in &mut self.slots {
            (slot.step, slot.epoch, slot.is_new, slot.is_unsent) = (None, None, false, false);
        }
    }
}

/// A list of named values, in order of their first appearance.
#[derive(Default)]
pub(crate) struct Table(Vec<(Arc<str>, Reading)>);

impl Table {
    fn set(&mut self, key: &Arc<str>, reading: Reading) {
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = reading,
            None => self.0.push((Arc::clone(key), reading)),
        }
    }
}

/// Everything that was logged in a run.
#[derive(Default)]
pub(crate) struct LogStore {
    train: Results,
    evaluation: Results,
    /// The epoch of that loop is over: its accumulated values are what a monitor sees.
    at_epoch_end: Option<Loop>,
    callback: Table,
    bar: BarValues,
    /// Values that go along whenever values leave the device: the losses.
    watched: Arc<[Reading]>,
}

impl LogStore {
    /// Forgets everything: at the start of a run, and around the sanity check.
    pub(crate) fn clear(&mut self) {
        *self = Self { bar: std::mem::take(&mut self.bar).emptied(), ..Self::default() };
    }

    fn results(&mut self, of: Loop) -> &mut Results {
        match of {
            Loop::Train => &mut self.train,
            Loop::Evaluation => &mut self.evaluation,
        }
    }

    /// Takes records in; what cannot be recorded is an error that names it.
    pub(crate) fn record(&mut self, of: Loop, records: &mut Vec<Record>, batch: BatchInfo) -> Result<()> {
        let results = self.results(of);
        for record in records.drain(..) {
            results.slot(&record, batch)?.take(record, batch)?;
        }
        Ok(())
    }

    /// The step metrics for the loggers, still on the device; `None` when there are none. A value is sent once: one that
    /// is logged now and then does not come again under steps that it does not belong to.
    pub(crate) fn step_metrics(&mut self, of: Loop, dataloader_idx: usize) -> Option<Bundle> {
        let slots = self.results(of).slots.iter_mut();
        let due = slots.filter(|s| s.is_unsent && s.options.logger && (of == Loop::Train || s.dataloader_idx == dataloader_idx));
        let readings: Vec<_> = due
            .filter_map(|slot| {
                slot.is_unsent = false;
                slot.step.as_ref().map(|value| (Arc::clone(&slot.step_key), Reading::new(accumulator::value_of(value))))
            })
            .collect();
        (!readings.is_empty()).then(|| Bundle::new(readings, Arc::clone(&self.watched)))
    }

    /// Takes these values, and no others any more, along with the next ones that are read.
    pub(crate) fn watch(&mut self, values: Arc<[Reading]>) {
        self.watched = values;
    }

    /// From now on a monitor sees the accumulated values of this loop.
    pub(crate) fn reach_epoch_end(&mut self, of: Loop) {
        // Step values that nobody looked at yet come first, so that the values of the epoch are the newer ones.
        self.commit();
        self.at_epoch_end = Some(of);
        for slot in &mut self.results(of).slots {
            slot.is_new = slot.epoch.is_some();
        }
    }

    /// Ends the epoch of a loop: reads its values once, and returns those for the loggers, by evaluation loader.
    pub(crate) fn end_epoch(&mut self, of: Loop) -> Result<EpochMetrics> {
        self.commit();
        self.read_all()?;
        let mut metrics = EpochMetrics::default();
        let callback = std::mem::take(&mut self.callback);
        for slot in &self.results(of).slots {
            if !slot.options.logger || slot.epoch.is_none() {
                continue;
            }
            let value = callback.0.iter().find(|(name, _)| *name == slot.epoch_key).and_then(|(_, reading)| reading.get());
            let loader = slot.hook.log_rule().is_some_and(|rule| !rule.epoch_only).then_some(slot.dataloader_idx);
            metrics.values.push((loader, Arc::clone(&slot.epoch_key), value.unwrap_or(f64::NAN)));
        }
        self.callback = callback;
        self.results(of).reset();
        self.at_epoch_end = None;
        Ok(metrics)
    }

    /// Makes what came in visible to callbacks and the progress bar, in the order of the slots. Reads nothing.
    fn commit(&mut self) {
        let at_epoch_end = self.at_epoch_end;
        for (of, results) in [(Loop::Train, &mut self.train), (Loop::Evaluation, &mut self.evaluation)] {
            for slot in results.slots.iter_mut().filter(|s| s.is_new) {
                let value = if at_epoch_end == Some(of) {
                    slot.epoch.as_ref().map(|epoch| (&slot.epoch_key, epoch.compute()))
                } else {
                    slot.step.as_ref().map(|step| (&slot.step_key, accumulator::value_of(step)))
                };
                slot.is_new = false;
                let Some((key, value)) = value else { continue };
                let reading = Reading::new(value);
                // Callbacks never see the step values of an evaluation.
                if of == Loop::Train || at_epoch_end == Some(of) {
                    self.callback.set(key, reading.clone());
                    if *key != slot.plain_key {
                        self.callback.set(&slot.plain_key, reading.clone());
                    }
                }
                if slot.options.prog_bar {
                    self.bar.set(key, reading);
                }
            }
        }
    }

    /// Reads every value that a callback can ask for, in one transaction.
    fn read_all(&self) -> Result<()> {
        let readings: Vec<Reading> = self.callback.0.iter().map(|(_, reading)| reading).chain(self.watched.iter()).cloned().collect();
        Reading::read_all(&readings).map(drop)
    }
}

impl LogStore {
    /// Everything that [`MetricSource::metric`] knows, with at most one device read.
    pub(crate) fn newest(&mut self) -> Result<Metrics> {
        let mut newest = Metrics::new();
        for name in self.names() {
            let value = self.metric(&name)?;
            newest.insert(name, value);
        }
        Ok(newest)
    }
}

impl MetricSource for LogStore {
    fn metric(&mut self, name: &str) -> Result<f64> {
        self.commit();
        let found = self.callback.0.iter().position(|(key, _)| **key == *name);
        let Some(index) = found else {
            return Err(Error::MetricMissing { name: name.into(), available: self.names() });
        };
        if self.callback.0[index].1.get().is_none() {
            self.read_all()?;
        }
        Ok(self.callback.0[index].1.get().unwrap_or(f64::NAN))
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.callback.0.iter().map(|(key, _)| key.to_string()).collect();
        // What the next `commit` will add.
        for (of, results) in [(Loop::Train, &self.train), (Loop::Evaluation, &self.evaluation)] {
            for slot in results.slots.iter().filter(|s| s.is_new) {
                let key = match self.at_epoch_end == Some(of) {
                    true if slot.epoch.is_some() => &slot.epoch_key,
                    false if of == Loop::Train && slot.step.is_some() => &slot.step_key,
                    _ => continue,
                };
                for key in [key, &slot.plain_key] {
                    if !names.iter().any(|name| **name == **key) {
                        names.push(key.to_string());
                    }
                }
            }
        }
        names
    }

    fn insert(&mut self, name: &str, value: f64) {
        // The order of the names must not depend on when somebody looks.
        self.commit();
        self.callback.set(&name.into(), Reading::new(Scalar::Host(value)));
    }

    fn progress_bar_metrics(&mut self) -> Vec<(String, Option<f64>)> {
        self.commit();
        self.bar.newest()
    }
}

/// The metrics of an epoch, on the host.
#[derive(Clone, Debug, Default)]
pub(crate) struct EpochMetrics {
    /// The loader (`None`: logged in an epoch hook, so belonging to all), the name, the value.
    values: Vec<(Option<usize>, Arc<str>, f64)>,
}

impl EpochMetrics {
    /// All of them in one list, for the loggers.
    pub(crate) fn merged(&self) -> Metrics {
        self.values.iter().map(|(_, name, value)| (Arc::clone(name), *value)).collect()
    }

    /// One list for each loader.
    pub(crate) fn by_loader(&self, loaders: usize) -> Vec<Metrics> {
        let of = |loader: usize| self.values.iter().filter(move |(of, ..)| of.is_none_or(|of| of == loader));
        (0..loaders).map(|loader| of(loader).map(|(_, name, value)| (Arc::clone(name), *value)).collect()).collect()
    }
}

#[cfg(test)]
#[path = "log_store_tests.rs"]
mod tests;
