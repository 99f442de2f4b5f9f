//! The logged values: accumulated over the epoch, and arranged for callbacks, loggers and the progress bar.
//!
//! Values arrive as [`Record`]s and stay on the device. Only two functions read them: [`MetricSource::metric`], for a
//! monitor, and [`LogStore::end_epoch`], once per epoch.

mod in_checkpoint;
mod reduced;
mod shared;
mod slot;

use std::sync::Arc;

use indexmap::IndexMap;
use stormfire_loggers::{Background, Metrics};
use stormfire_metrics::Picture;
use stormfire_module::{
    Error, Result, RunningStage,
    for_trainer::{MetricSource, record},
    log::{self, Record},
    log_error::LogError,
    run::Run,
};
use stormfire_values::{
    Scalar,
    read::{ForbidReads, Reading},
};

pub(crate) use self::reduced::{Sent, Values};
use self::slot::{Results, is_of_epoch};
use crate::{
    accumulator::Accumulator,
    bar_values::BarValues,
    bundle::{Bundle, send_metrics, send_pictures},
};

/// Properties of the current batch for `record`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchInfo {
    /// The weight in a mean. `None` inside a batch of unknown size.
    pub(crate) items: Option<usize>,
    pub(crate) num_dataloaders: usize,
}

/// Whether logged values are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Keeps {
    #[default]
    All,
    /// Nothing (`barebones`), and no warning was logged yet.
    Nothing,
    NothingAsSaid,
}

/// Named values, in order of first appearance.
#[derive(Default)]
pub(crate) struct Table(IndexMap<Arc<str>, Entry>);

struct Entry {
    reading: Reading,
    arrival: u64,
}

impl Table {
    /// If a name is logged several times, the last value wins, regardless of reads in between.
    fn set(&mut self, key: &Arc<str>, reading: Reading, arrival: u64) {
        match self.0.get_mut(key) {
            Some(known) if known.arrival <= arrival => *known = Entry { reading, arrival },
            Some(_) => {}
            None => drop(self.0.insert(Arc::clone(key), Entry { reading, arrival })),
        }
    }

    fn readings(&self) -> impl Iterator<Item = (&Arc<str>, &Reading)> {
        self.0.iter().map(|(name, entry)| (name, &entry.reading))
    }
}

/// Everything that was logged in a run.
#[derive(Default)]
pub(crate) struct LogStore {
    train: Results,
    evaluation: Results,
    /// The loop whose epoch has ended. A monitor sees its accumulated values.
    at_epoch_end: Option<RunningStage>,
    callback: Table,
    bar: BarValues,
    /// Numbers about the run itself, which the progress bar shows after the logged ones. No checkpoint has them.
    pub(crate) shown: Vec<(&'static str, f64)>,
    /// Values that are added to every read: the losses.
    watched: Arc<[Reading]>,
    /// Whether values arrived since the last commit.
    has_news: bool,
    /// Number of arrivals.
    arrivals: u64,
    /// Number of arrivals at the start of the training epoch. Later ones belong to it.
    epoch_started: u64,
    /// Number of batches in the current window, which may still be skipped. `None` if batches are never skipped.
    window_batches: Option<u64>,
    /// Number of skipped batches in the epoch.
    skipped_batches: u64,
    keeps: Keeps,
    /// Whether values that are logged now are dropped: those of a rank without a batch.
    pub(crate) drops_records: bool,
    /// Reused memory.
    records: Vec<Record>,
}

/// The metric with the number of batches that are missing in the means of an epoch.
const SKIPPED: &str = "skipped_batches";

impl LogStore {
    /// `may_skip`: a batch may be removed from the means at the end of its window.
    pub(crate) fn new(keeps: Keeps, may_skip: bool) -> Self {
        Self { keeps, window_batches: may_skip.then_some(0), ..Self::default() }
    }

    /// Removes all values: at the start of a run, and around the sanity check.
    pub(crate) fn clear(&mut self) {
        let (bar, keeps) = (std::mem::take(&mut self.bar).emptied(), self.keeps);
        let window_batches = self.window_batches.map(|_| 0);
        *self = Self { bar, window_batches, keeps, ..Self::default() };
    }

    fn results(&mut self, of: RunningStage) -> &mut Results {
        if of.is_evaluating() { &mut self.evaluation } else { &mut self.train }
    }

    /// Adds records. An invalid record is an error with its name.
    pub(crate) fn record(&mut self, of: RunningStage, records: &mut Vec<Record>, batch: BatchInfo) -> Result<(), LogError> {
        let waits = !of.is_evaluating() && self.window_batches.is_some();
        let results = if of.is_evaluating() { &mut self.evaluation } else { &mut self.train };
        for record in records.drain(..) {
            self.arrivals += 1;
            self.has_news = true;
            results.slot(&record, batch)?.take(record, batch, waits, self.arrivals)?;
        }
        Ok(())
    }

    /// Takes the values that were logged on this thread.
    fn take_pending(&mut self, run: &Run) -> Result<(), LogError> {
        record::take_records(&mut self.records)?;
        if self.drops_records {
            self.records.clear();
            return Ok(());
        }
        if self.keeps != Keeps::All {
            if std::mem::replace(&mut self.keeps, Keeps::NothingAsSaid) == Keeps::Nothing {
                tracing::warn!("nothing is logged with `barebones`");
            }
            self.records.clear();
            return Ok(());
        }
        let batch = BatchInfo { items: run.batch_items, num_dataloaders: run.moment.num_dataloaders };
        let _no_reads = ForbidReads::new();
        let mut records = std::mem::take(&mut self.records);
        if run.moment.rank > 0 {
            records.retain(|record| !record.options.rank_zero_only);
        }
        let outcome = self.record(run.moment.stage, &mut records, batch);
        self.records = records;
        outcome
    }

    /// Ends a training batch. At the end of a window, the values of the window are counted or skipped.
    pub(crate) fn end_batch(&mut self, ends_window: bool, is_skipped: bool) -> Result<(), LogError> {
        if let Some(batches) = &mut self.window_batches {
            *batches += 1;
        }
        if ends_window { self.end_window(is_skipped) } else { Ok(()) }
    }

    /// Ends a window: its values are counted or skipped.
    pub(crate) fn end_window(&mut self, is_skipped: bool) -> Result<(), LogError> {
        let Some(batches) = self.window_batches.as_mut().map(std::mem::take) else { return Ok(()) };
        self.skipped_batches += if is_skipped { batches } else { 0 };
        self.train.end_window(!is_skipped)
    }

    /// Logs how many batches of the epoch are missing in its means, starting with the first skipped batch.
    pub(crate) fn log_skipped_batches(&mut self) {
        self.commit();
        let skipped = std::mem::take(&mut self.skipped_batches);
        if self.keeps == Keeps::All && (skipped > 0 || self.callback.0.contains_key(SKIPPED)) {
            log::log(SKIPPED, skipped).reduce_fx(log::ReduceFx::Sum);
        }
    }

    /// The step metrics for the loggers, still on the device. `None` if there are none. A value is sent once, so a
    /// value that is logged at some steps only is not repeated at others.
    pub(crate) fn step_metrics(&mut self, of: RunningStage, dataloader_idx: usize) -> Option<Bundle> {
        let slots = self.results(of).slots.iter_mut();
        let due = slots.filter(|s| s.is_unsent && s.options.logger && (!of.is_evaluating() || s.dataloader_idx == dataloader_idx));
        let readings: Vec<_> = due
            .flat_map(|slot| {
                slot.is_unsent = false;
                let readings = slot.step.as_mut().map(|step| step.readings().clone()).unwrap_or_default();
                let key = &slot.step_key;
                readings.into_iter().map(|(name, reading)| (below(key, name.as_deref()), reading)).collect::<Vec<_>>()
            })
            .collect();
        (!readings.is_empty()).then(|| Bundle::new(readings, Arc::clone(&self.watched)))
    }

    /// Adds these values to the next read, in place of earlier ones.
    pub(crate) fn watch(&mut self, values: Arc<[Reading]>) {
        self.watched = values;
    }

    /// Starts a training epoch: all existing values are older than it.
    pub(crate) fn start_epoch(&mut self) {
        self.commit();
        self.epoch_started = self.arrivals;
    }

    /// From now on a monitor sees the accumulated values of this loop.
    pub(crate) fn reach_epoch_end(&mut self, of: RunningStage) -> Result<(), LogError> {
        // Uncommitted step values come first, so that the values of the epoch are newer.
        self.commit();
        if !of.is_evaluating() {
            // A window without an end was not skipped. It may also have been restored from a run with another policy.
            self.window_batches = self.window_batches.map(|_| 0);
            self.train.end_window(true)?;
        }
        self.at_epoch_end = Some(of);
        self.arrivals += 1;
        self.has_news = true;
        let arrival = self.arrivals;
        for slot in &mut self.results(of).slots {
            slot.news = slot.epoch.is_some().then_some(arrival);
        }
        Ok(())
    }

    /// Ends the epoch of a loop: reads its values once, and returns those for the loggers, by evaluation loader.
    pub(crate) fn end_epoch(&mut self, of: RunningStage) -> Result<EpochMetrics> {
        self.commit();
        self.read_all()?;
        let mut metrics = EpochMetrics::default();
        let results = if of.is_evaluating() { &mut self.evaluation } else { &mut self.train };
        for slot in results.slots.iter().filter(|slot| slot.options.logger && slot.epoch.is_some()) {
            let loader = (!is_of_epoch(slot.hook)).then_some(slot.dataloader_idx);
            for key in &slot.shown {
                let value = self.callback.0.get(key).and_then(|entry| entry.reading.get());
                let value = value.ok_or_else(|| Error::other(format!("`{key}` was not read from the device")))?;
                metrics.values.push((loader, Arc::clone(key), value));
            }
            if let Some(picture) = slot.epoch.as_ref().map(Accumulator::picture).transpose()?.flatten() {
                metrics.pictures.push((Arc::clone(&slot.epoch_key), picture));
            }
        }
        results.reset();
        self.at_epoch_end = None;
        Ok(metrics)
    }

    /// Makes new values visible to callbacks and the progress bar. Reads nothing from the device.
    fn commit(&mut self) {
        if !std::mem::take(&mut self.has_news) {
            return;
        }
        for (evaluates, results) in [(false, &mut self.train), (true, &mut self.evaluation)] {
            for slot in &mut results.slots {
                let Some(arrival) = slot.news.take() else { continue };
                let shows_epoch = self.at_epoch_end.is_some_and(|of| of.is_evaluating() == evaluates) || slot.is_of_epoch();
                let value = if shows_epoch {
                    slot.epoch.as_ref().map(|epoch| (&slot.epoch_key, epoch.readings()))
                } else {
                    slot.step.as_mut().map(|step| (&slot.step_key, step.readings().clone()))
                };
                let Some((key, readings)) = value else { continue };
                slot.shown.clear();
                for (name, reading) in readings {
                    let (own, name) = (below(key, name.as_deref()), name.as_deref());
                    self.callback.set(&own, reading.clone(), arrival);
                    if *key != slot.plain_key {
                        self.callback.set(&below(&slot.plain_key, name), reading.clone(), arrival);
                    }
                    if slot.options.prog_bar {
                        self.bar.set(&own, reading);
                    }
                    slot.shown.push(own);
                }
            }
        }
    }

    /// Reads all values that a callback can request, in one transaction. Returns those of
    /// the names, in order, then those that only the loop watches.
    fn read_all(&self) -> Result<Vec<f64>> {
        let readings: Vec<Reading> = self.callback.readings().map(|(_, reading)| reading).chain(self.watched.iter()).cloned().collect();
        Ok(Reading::read_all(&readings)?)
    }

    /// Everything that [`MetricSource::metric`] returns, with at most one device read.
    pub(crate) fn newest(&mut self) -> Result<Metrics> {
        self.commit();
        let values = self.read_all()?;
        Ok(self.callback.readings().map(|(name, _)| Arc::clone(name)).zip(values).collect())
    }
}

impl MetricSource for LogStore {
    #[inline]
    fn take_logged(&mut self, run: &Run) -> Result<(), LogError> {
        if record::is_empty() { Ok(()) } else { self.take_pending(run) }
    }

    fn metric(&mut self, name: &str) -> Result<f64> {
        self.commit();
        let Some(reading) = self.callback.0.get(name).map(|entry| entry.reading.clone()) else {
            return Err(Error::MetricMissing { name: name.into(), available: self.names(), lacks_validation: false });
        };
        if let Some(value) = reading.get() {
            return Ok(value);
        }
        // The other names share the read.
        self.read_all()?;
        Ok(reading.read()?)
    }

    fn is_stale(&mut self, name: &str) -> bool {
        self.commit();
        self.callback.0.get(name).is_some_and(|entry| entry.arrival <= self.epoch_started)
    }

    fn names(&mut self) -> Vec<String> {
        self.commit();
        self.callback.0.keys().map(ToString::to_string).collect()
    }

    fn insert(&mut self, name: &str, value: f64) {
        // The order of the names must not depend on the time of a read.
        self.commit();
        self.arrivals += 1;
        let (reading, arrival) = (Reading::new(Scalar::Host(value)), self.arrivals);
        match self.callback.0.get_mut(name) {
            Some(known) => *known = Entry { reading, arrival },
            None => self.callback.set(&name.into(), reading, arrival),
        }
    }

    fn progress_bar_metrics(&mut self) -> Vec<(String, Option<f64>)> {
        self.commit();
        let of_run = self.shown.iter().map(|(name, value)| ((*name).to_owned(), Some(*value)));
        self.bar.newest().into_iter().chain(of_run).collect()
    }
}

/// The key of a number that has a name below that of its metric.
fn below(key: &Arc<str>, name: Option<&str>) -> Arc<str> {
    name.map_or_else(|| Arc::clone(key), |name| format!("{key}/{name}").into())
}

/// The metrics of an epoch, on the host.
#[derive(Clone, Debug, Default)]
pub(crate) struct EpochMetrics {
    /// Loader (`None`: logged in an epoch hook, for all loaders), name, value.
    values: Vec<(Option<usize>, Arc<str>, f64)>,
    /// The pictures, with their names.
    pictures: Vec<(Arc<str>, Picture)>,
}

impl EpochMetrics {
    /// All metrics in one list, for the loggers.
    pub(crate) fn merged(&self) -> Metrics {
        self.values.iter().map(|(_, name, value)| (Arc::clone(name), *value)).collect()
    }

    /// Queues all metrics and pictures for the loggers.
    pub(crate) fn send(&self, loggers: &[Background], step: u64, epoch: usize) -> Result<()> {
        send_metrics(&self.merged(), loggers, step, Some(epoch))?;
        send_pictures(&self.pictures, loggers, step)
    }

    /// One list per loader.
    pub(crate) fn by_loader(&self, loaders: usize) -> Vec<Metrics> {
        let of = |loader: usize| self.values.iter().filter(move |(of, ..)| of.is_none_or(|of| of == loader));
        (0..loaders).map(|loader| of(loader).map(|(_, name, value)| (Arc::clone(name), *value)).collect()).collect()
    }
}

#[cfg(test)]
#[path = "log_store_tests.rs"]
mod tests;
