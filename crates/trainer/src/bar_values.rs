//! The values of the progress bar, which are read from the device on a separate thread.

use std::{
    sync::{
        Arc,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};

use indexmap::IndexMap;
use stormfire_values::read::Reading;

/// Names with the newest value that has left the device.
#[derive(Default)]
pub(crate) struct BarValues {
    entries: IndexMap<Arc<str>, Entry>,
    reader: Option<Reader>,
}

struct Entry {
    reading: Reading,
    newest: Option<f64>,
}

struct Reader {
    queue: Option<SyncSender<Vec<Reading>>>,
    thread: Option<JoinHandle<()>>,
}

impl BarValues {
    pub(crate) fn set(&mut self, name: &Arc<str>, reading: Reading) {
        match self.entries.get_mut(name) {
            Some(entry) => {
                entry.newest = entry.reading.get().or(entry.newest);
                entry.reading = reading;
            }
            None => drop(self.entries.insert(Arc::clone(name), Entry { newest: reading.get(), reading })),
        }
    }

    /// The same reader, without values.
    pub(crate) fn emptied(mut self) -> Self {
        self.entries.clear();
        self
    }

    /// The names with their newest values, on the device or on the host.
    pub(crate) fn readings(&self) -> impl Iterator<Item = (&Arc<str>, &Reading)> {
        self.entries.iter().map(|(name, entry)| (name, &entry.reading))
    }

    /// The available values, without waiting: in the order of their first values, with that of an epoch next to that of
    /// its steps. Other values are read in the background for the next call.
    pub(crate) fn newest(&mut self) -> Vec<(String, Option<f64>)> {
        let pending: Vec<Reading> = self.entries.values().map(|e| &e.reading).filter(|r| r.get().is_none()).cloned().collect();
        if !pending.is_empty() {
            if self.reader.is_none() {
                self.reader = Reader::spawn();
            }
            if let Some(reader) = &self.reader {
                reader.fetch(pending);
            }
        }
        for entry in self.entries.values_mut() {
            entry.newest = entry.reading.get().or(entry.newest);
        }
        let partner = |name: &str, of: &str, other: &str| {
            let name = format!("{}{other}", name.strip_suffix(of)?);
            self.entries.get_key_value(name.as_str())
        };
        let mut newest = Vec::with_capacity(self.entries.len());
        for (name, entry) in &self.entries {
            if partner(name, "_epoch", "_step").is_none() {
                newest.push((name.to_string(), entry.newest));
                newest.extend(partner(name, "_step", "_epoch").map(|(name, entry)| (name.to_string(), entry.newest)));
            }
        }
        newest
    }
}

impl Reader {
    fn spawn() -> Option<Self> {
        let (queue, jobs) = sync_channel::<Vec<Reading>>(1);
        let work = move || {
            for readings in jobs {
                if let Err(error) = Reading::read_all(&readings) {
                    tracing::warn!("the progress bar cannot read its values: {error}");
                }
            }
        };
        let thread = std::thread::Builder::new().name("progress bar values".into()).spawn(work);
        let thread = thread.inspect_err(|error| tracing::warn!("the progress bar shows no values: {error}")).ok()?;
        Some(Self { queue: Some(queue), thread: Some(thread) })
    }

    fn fetch(&self, readings: Vec<Reading>) {
        if let Some(queue) = &self.queue {
            // If the device is slower than the refresh rate of the bar, the values are requested again at the next
            // refresh.
            if let Err(TrySendError::Disconnected(_)) = queue.try_send(readings) {
                tracing::warn!("the progress bar's reader has stopped");
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the progress bar's reader panicked");
        }
    }
}
