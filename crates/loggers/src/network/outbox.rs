//! Records on their way to a tracking server.
//!
//! A record is written to the disk as a line before it is sent, and stays there until the server has accepted it. A
//! separate thread sends records in order, in batches, and retries while the server is unreachable. So a slow or
//! failing server does not slow down a training, and records survive a kill.

mod backoff;
mod failure;
mod keep;
mod route;
mod sender;
mod spool;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) use failure::Failure;
pub(crate) use keep::damaged;
pub(crate) use route::Route;
use sender::{Sender, Shared};
use serde::Serialize;
use serde::de::DeserializeOwned;
pub(crate) use spool::waiting;
use spool::{Mark, Spool};
use stormfire_store::hold::{Hold, hold};
use stormfire_store::{private, replacement};

use crate::{Delivery, Error, Patience, Result};

/// File with the position up to which everything was delivered.
const ACKED: &str = "delivered";
/// File with the last position to which a checkpoint may return.
const HELD: &str = "checkpoint";
/// The folder of files that belong to records.
const KEPT: &str = "files";
/// Default of [`Sending::limit`], in bytes.
pub(crate) const LIMIT: u64 = 10 << 30;

/// A value that can be sent, as plain data.
pub(crate) trait Record: Serialize + DeserializeOwned + Send + 'static {
    /// The files that the record refers to. A file kept for this record ([`Outbox::keep`]) has a path relative to the
    /// spool's folder, because the folder may be moved. It is removed once the record is delivered.
    fn files(&mut self) -> Vec<&mut PathBuf> {
        Vec::new()
    }

    /// Whether the record contains the status of the run. Such a record is kept regardless of [`Sending::limit`].
    fn is_last(&self) -> bool {
        false
    }
}

/// Sends records to a server. It runs on the sending thread.
pub(crate) trait Carrier<R>: Send + 'static {
    /// Sends at least one of the first `records` and returns how many were sent. `records` is not empty. The carrier
    /// may use all of them to fill a request. A retry must not send delivered records again, so a failure after a
    /// success must be left to the next call.
    fn deliver(&mut self, records: &[R]) -> Result<usize, Failure>;

    /// Called every [`Sending::idle_every`] between deliveries, to report to the server that the run is active. A
    /// failure is retried at the next interval.
    fn idle(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

/// Settings of an [`Outbox`].
#[derive(Debug, Clone)]
pub(crate) struct Sending {
    /// The logger's name, for messages.
    pub(crate) logger: String,
    /// Maximum number of records per call of [`Carrier::deliver`].
    pub(crate) max_records: usize,
    /// Approximate maximum size of these records, in bytes.
    pub(crate) max_bytes: u64,
    /// Time that records wait for further ones before they are sent.
    pub(crate) linger: Duration,
    /// [`Outbox::settle`] returns if nothing was delivered for this time.
    pub(crate) patience: Patience,
    /// Whether undelivered records are an error. Otherwise they are a warning.
    pub(crate) strict: bool,
    /// Interval of [`Carrier::idle`] calls, after the first push.
    pub(crate) idle_every: Option<Duration>,
    /// Maximum number of waiting bytes on the disk. Above it, new records are dropped and counted as refused.
    pub(crate) limit: u64,
}

impl Sending {
    pub(crate) fn new(logger: impl Into<String>) -> Self {
        Self {
            logger: logger.into(),
            max_records: 1000,
            max_bytes: 900_000,
            linger: Duration::from_secs(1),
            patience: Patience::default(),
            strict: false,
            idle_every: None,
            limit: LIMIT,
        }
    }
}

/// See the module.
pub(crate) struct Outbox<R> {
    folder: PathBuf,
    spool: Option<Spool>,
    sending: Sending,
    shared: Arc<Shared>,
    /// Not started before the first flush, so that existing records can still be rolled back.
    sender: Option<Sender<R>>,
    thread: Option<JoinHandle<()>>,
    /// The position to which a later process may return. Later records are not removed.
    held: Option<u64>,
    /// Whether a warning was logged that not all of these records are kept.
    said_forgets: bool,
    kept: u64,
    /// The spool's [`Route`] when it was last seen. The file stays open, so that its contents can be restored.
    route: Option<File>,
    hold: Hold,
    _records: PhantomData<fn(R)>,
}

impl<R: Record> Outbox<R> {
    /// Opens the spool in a folder. Records of an earlier process are sent first. Nothing is sent before the first
    /// [`Outbox::flush`].
    ///
    /// # Errors
    /// [`Error::RunInUse`] if another process has opened it, [`Error::Io`] if it cannot be read or created,
    /// [`Error::Unreadable`] for an invalid [`Sending::patience`].
    pub(crate) fn open(folder: impl Into<PathBuf>, carrier: impl Carrier<R>, sending: Sending) -> Result<Self> {
        let folder = folder.into();
        sending.patience.check(&sending.logger)?;
        private::folder(&folder)?;
        let Some(hold) = hold(&folder) else { return Err(Error::RunInUse { folder }) };
        replacement::remove_leftovers(&folder);
        let spool = Spool::open(&folder)?;
        let acked = spool::noted(&folder, ACKED).unwrap_or(0).min(spool.end());
        let (waiting, _) = spool::count(&folder, acked)?;
        let shared = Arc::new(Shared::new(acked, spool.end(), waiting));
        shared.found(damaged(&folder), keep::bytes(&folder));
        let sender = Sender::new(folder.clone(), hold.clone(), Box::new(carrier), sending.clone(), Arc::clone(&shared));
        Ok(Self {
            held: spool::noted(&folder, HELD),
            said_forgets: false,
            folder,
            spool: Some(spool),
            sending,
            shared,
            sender: Some(sender),
            thread: None,
            kept: 0,
            route: None,
            hold,
            _records: PhantomData,
        })
    }

    /// The folder of the spool.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds a record. After [`Outbox::flush`] it is on the disk and may be sent. If the [limit](Sending::limit) is
    /// reached, the record is dropped together with its files.
    ///
    /// # Errors
    /// [`Error::Io`] on a full disk. With [`Sending::strict`] also the failure of an earlier record.
    pub(crate) fn push(&mut self, record: &R) -> Result<()> {
        let behind = self.spool()?.pushed();
        if self.shared.waits_up_to(behind) >= self.sending.limit && !record.is_last() {
            self.leave_out(record)?;
        } else {
            self.spool()?.push(record)?;
            self.shared.pushed();
        }
        self.complaint()
    }

    fn leave_out(&mut self, record: &R) -> Result<()> {
        let mut record: R = serde_json::to_value(record).and_then(serde_json::from_value).map_err(Error::other)?;
        for file in record.files() {
            self.shared.removed(keep::remove(&self.folder, &self.folder.join(&*file)));
        }
        let (logger, limit, folder) = (&self.sending.logger, self.sending.limit, self.folder.display());
        let reason = format!("{limit} bytes are waiting for the server in `{folder}`, which is the limit");
        if self.shared.left_out(&reason) {
            tracing::warn!(logger, "{reason} (`spool_limit`); new records are dropped until the server has accepted some of them");
        }
        Ok(())
    }

    /// Keeps a file for the next record. Returns the path that the record must contain: see [`Record::files`].
    pub(crate) fn keep(&mut self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        self.kept(Path::new(name), |path| keep::bytes_as(path, bytes))
    }

    /// Keeps an existing file in the same way as [`Outbox::keep`]. The original may be removed or replaced afterwards.
    /// It must not be modified in place, because the kept file is a hard link where the disk supports them.
    pub(crate) fn keep_file(&mut self, file: &Path) -> Result<PathBuf> {
        // Resolves a symbolic link, so that the hard link refers to the file itself.
        let source = fs_err::canonicalize(file)?;
        self.kept(file, |path| keep::file_as(path, &source))
    }

    fn kept(&mut self, name: &Path, make: impl Fn(&Path) -> std::io::Result<u64>) -> Result<PathBuf> {
        let (name, bytes) = keep::make(&self.folder, &mut self.kept, name, make)?;
        self.shared.kept(bytes);
        Ok(name)
    }

    /// Hands all records to the operating system and to the sending thread.
    pub(crate) fn flush(&mut self) -> Result<()> {
        let spool = self.spool()?;
        spool.flush()?;
        let end = spool.end();
        self.put_back()?;
        self.shared.flushed(end);
        self.start()?;
        let acked = self.shared.acked();
        let mut needed = acked.min(self.held.unwrap_or(u64::MAX));
        if needed < acked && end - needed > self.sending.limit {
            // Delivered records are kept only for a run that returns to its last checkpoint.
            needed = acked;
            if !std::mem::replace(&mut self.said_forgets, true) {
                let Sending { logger, limit, .. } = &self.sending;
                tracing::warn!(
                    logger,
                    "`{}` has more than {limit} bytes since the last checkpoint (`spool_limit`): delivered records are removed, and a run that resumes from that checkpoint sends them again",
                    self.folder.display()
                );
            }
        }
        self.spool()?.forget(needed);
        Ok(())
    }

    /// Restores the files that another process needs to send the records, if they were removed with the folder. The
    /// records themselves were rewritten before.
    fn put_back(&mut self) -> Result<()> {
        match (route::open(&self.folder), &mut self.route) {
            (Some(route), _) => self.route = Some(route),
            (None, Some(route)) => {
                private::folder(&self.folder)?;
                route::put_back(&self.folder, route)?;
                if let Some(hold) = hold(&self.folder) {
                    self.hold = hold;
                }
                Mark::of(&self.folder, ACKED).note_first(self.shared.acked())?;
                if let Some(held) = self.held {
                    Mark::of(&self.folder, HELD).note_first(held)?;
                }
            }
            (None, None) => {}
        }
        Ok(())
    }

    /// The position after all flushed records. They may not be durable.
    pub(crate) fn end(&mut self) -> Result<u64> {
        Ok(self.spool()?.end())
    }

    /// The position after all records, which now survive a crash of the machine. [`Outbox::rewind`] returns to it.
    pub(crate) fn position(&mut self) -> Result<u64> {
        self.flush()?;
        let spool = self.spool()?;
        spool.sync()?;
        let end = spool.end();
        self.hold_at(end)?;
        Ok(end)
    }

    fn hold_at(&mut self, position: u64) -> Result<()> {
        self.held = Some(position);
        Mark::of(&self.folder, HELD).note(position)
    }

    /// Rolls back to a position of an earlier process. Undelivered records after it are dropped. Delivered ones are
    /// returned, because they will be logged again. Call this only before the first [`Outbox::flush`].
    pub(crate) fn rewind(&mut self, to: u64) -> Result<Vec<R>> {
        let acked = self.shared.acked();
        let delivered = if to < acked { spool::read_all(&self.folder, to, acked)? } else { Vec::new() };
        let end = self.spool()?.end();
        let mut dropped: Vec<R> = spool::read_all(&self.folder, to.max(acked), end)?;
        let spool = self.spool()?;
        spool.cut(to.max(acked))?;
        let end = spool.end();
        for file in dropped.iter_mut().flat_map(Record::files) {
            self.shared.removed(keep::remove(&self.folder, &self.folder.join(&*file)));
        }
        let (waiting, _) = spool::count(&self.folder, acked)?;
        self.shared.rewound(end, waiting);
        self.hold_at(to)?;
        Ok(delivered)
    }

    /// Delivery counts of the records of this process and of those found at its start.
    pub(crate) fn delivery(&self) -> Delivery {
        self.shared.delivery()
    }

    /// Waits until everything is delivered, or until nothing was delivered for [`Sending::patience`].
    ///
    /// # Errors
    /// With [`Sending::strict`], [`Error::Undelivered`] if a record was not delivered.
    pub(crate) fn settle(&mut self) -> Result<Delivery> {
        self.flush()?;
        let delivery = self.shared.settle(self.sending.patience.time());
        let Sending { logger, strict, .. } = &self.sending;
        if delivery.spooled > 0 && !strict {
            let folder = self.folder.display();
            tracing::warn!(logger, "{delivery}: the server was unreachable; `stormfire sync {folder}` sends what is spooled");
        } else if delivery.refused + delivery.damaged > 0 && !strict {
            tracing::warn!(logger, "{delivery}");
        } else {
            tracing::info!(logger, "{delivery}");
        }
        self.complaint()?;
        let reason = if delivery.spooled > 0 {
            self.shared.trouble().unwrap_or_else(|| "the server did not answer in time".to_owned())
        } else if delivery.damaged > 0 {
            keep::says_damaged(&self.folder)
        } else {
            return Ok(delivery);
        };
        let logger = self.sending.logger.clone();
        if self.sending.strict { Err(Error::Undelivered { logger, delivery, reason }) } else { Ok(delivery) }
    }

    fn start(&mut self) -> Result<()> {
        if let Some(sender) = self.sender.take() {
            let name = format!("send {}", self.sending.logger.replace('\0', " "));
            self.thread = Some(std::thread::Builder::new().name(name).spawn(move || sender.run())?);
        }
        Ok(())
    }

    fn spool(&mut self) -> Result<&mut Spool> {
        self.spool.as_mut().ok_or_else(|| Error::Stopped { logger: self.sending.logger.clone() })
    }

    fn complaint(&self) -> Result<()> {
        if !self.sending.strict {
            return Ok(());
        }
        let (logger, delivery) = (self.sending.logger.clone(), self.delivery());
        self.shared.take_refusal().map_or(Ok(()), |reason| Err(Error::Undelivered { logger, delivery, reason }))
    }
}

impl<R> std::fmt::Debug for Outbox<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl<R> Drop for Outbox<R> {
    /// Does not wait for an active request, which may take minutes: its records stay on the disk until they are
    /// delivered. Removes the spool if nothing in it is needed.
    fn drop(&mut self) {
        if let Some(spool) = &mut self.spool
            && let Err(error) = spool.flush()
        {
            tracing::error!(logger = self.sending.logger, %error, "the last records could not be saved");
        }
        let idle = self.shared.close();
        if !idle {
            return;
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(logger = self.sending.logger, "the sending thread panicked");
        }
        let Some(spool) = self.spool.take() else { return };
        if self.held.is_none()
            && spool.end() == self.shared.acked()
            && self.shared.delivery().damaged == 0
            && let Err(error) = spool.remove()
        {
            tracing::debug!(logger = self.sending.logger, %error, "an empty spool could not be removed");
        }
    }
}
