//! Records on their way to a tracking server.
//!
//! A record is a line on the disk before it is sent, and stays there until the server has it. A thread of its own sends
//! records in order, many at a time, and tries again for as long as the server is away. So a server that is slow, down or
//! angry costs a training nothing, and what was logged survives a kill.

mod backoff;
mod route;
mod sender;
mod spool;
#[cfg(test)]
mod tests;

use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) use route::Route;
use sender::{Sender, Shared};
use serde::Serialize;
use serde::de::DeserializeOwned;
pub(crate) use spool::waiting;
use spool::{Mark, Spool};

use crate::hold::{Hold, hold};
use crate::{Delivery, Error, Result, append};

/// Up to where everything was delivered.
const ACKED: &str = "delivered";
/// The last position that a checkpoint may come back to.
const HELD: &str = "checkpoint";
/// The folder of files that wait for their records.
const KEPT: &str = "files";

/// Something that is sent, as plain data.
pub(crate) trait Record: Serialize + DeserializeOwned + Send + 'static {
    /// The files that it names. One that was kept for this record alone ([`Outbox::keep`]) is named by its place in the spool's
    /// folder, which may be moved, and is removed once the record is delivered.
    fn files(&mut self) -> Vec<&mut PathBuf> {
        Vec::new()
    }
}

/// Sends records to a server. It lives on the sending thread.
pub(crate) trait Carrier<R>: Send + 'static {
    /// Sends some of the first `records` (at least one; there is at least one) and returns how many. It may look at all of
    /// them to fill a request. Records that were sent must not be sent again by a retry, so a failure after a success has
    /// to be left for the next call.
    fn deliver(&mut self, records: &[R]) -> Result<usize, Failure>;

    /// Called every [`Sending::idle_every`] between deliveries, to tell the server that the run goes on. What fails is tried
    /// again at the next time.
    fn idle(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

/// Why records were not delivered.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Another attempt may succeed: no connection, 408, 429, 5xx.
    Retry {
        /// What the server asks for.
        after: Option<Duration>,
        reason: String,
    },
    /// No attempt will succeed. The first `count` records are given up.
    Refused { status: Option<u16>, count: usize, reason: String },
}

impl Failure {
    pub(crate) fn retry(reason: impl Into<String>) -> Self {
        Self::Retry { after: None, reason: reason.into() }
    }

    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self::Refused { status: None, count: 1, reason: reason.into() }
    }

    /// The status of the server's refusal.
    pub(crate) const fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => *status,
            Self::Retry { .. } => None,
        }
    }

    /// A refusal of so many records.
    pub(crate) fn of(mut self, refused: usize) -> Self {
        if let Self::Refused { count, .. } = &mut self {
            *count = refused;
        }
        self
    }

    pub(crate) fn map_reason(mut self, map: impl FnOnce(&str) -> String) -> Self {
        let (Self::Retry { reason, .. } | Self::Refused { reason, .. }) = &mut self;
        *reason = map(reason);
        self
    }

    pub(crate) fn reason(&self) -> &str {
        let (Self::Retry { reason, .. } | Self::Refused { reason, .. }) = self;
        reason
    }
}

/// How an [`Outbox`] sends.
#[derive(Debug, Clone)]
pub(crate) struct Sending {
    /// The logger's name, for messages.
    pub(crate) logger: String,
    /// At most so many records are handed to [`Carrier::deliver`].
    pub(crate) max_records: usize,
    /// At most about so many bytes of records.
    pub(crate) max_bytes: u64,
    /// Records wait so long for company before they are sent.
    pub(crate) linger: Duration,
    /// [`Outbox::settle`] gives up when nothing was delivered for so long.
    pub(crate) patience: Duration,
    /// Whether what is not delivered is an error rather than a warning.
    pub(crate) strict: bool,
    /// How often [`Carrier::idle`] is called, once something was pushed.
    pub(crate) idle_every: Option<Duration>,
}

impl Sending {
    pub(crate) fn new(logger: impl Into<String>) -> Self {
        Self {
            logger: logger.into(),
            max_records: 1000,
            max_bytes: 900_000,
            linger: Duration::from_secs(1),
            patience: Duration::from_secs(30),
            strict: false,
            idle_every: None,
        }
    }
}

/// See the module.
pub(crate) struct Outbox<R> {
    folder: PathBuf,
    spool: Option<Spool>,
    sending: Sending,
    shared: Arc<Shared>,
    /// Not started yet, so that what is there can still be cut back.
    sender: Option<Sender<R>>,
    thread: Option<JoinHandle<()>>,
    /// What a later process may come back to; nothing behind it is removed.
    held: Option<u64>,
    kept: u64,
    _hold: Hold,
    _records: PhantomData<fn(R)>,
}

impl<R: Record> Outbox<R> {
    /// Opens the spool in a folder. What an earlier process left in it is sent first. Nothing is sent before the first
    /// [`Outbox::flush`].
    ///
    /// # Errors
    /// [`Error::RunInUse`] if another process has it open, [`Error::Io`] if it cannot be read or made.
    pub(crate) fn open(folder: impl Into<PathBuf>, carrier: impl Carrier<R>, sending: Sending) -> Result<Self> {
        let folder = folder.into();
        fs_err::create_dir_all(&folder)?;
        let Some(hold) = hold(&folder) else { return Err(Error::RunInUse { folder }) };
        append::clear_all_replacements(&folder);
        let spool = Spool::open(&folder)?;
        let acked = spool::noted(&folder, ACKED).unwrap_or(0).min(spool.end());
        let waiting = spool::count::<R>(&folder, acked, spool.end())?;
        let shared = Arc::new(Shared::new(acked, spool.end(), waiting));
        let sender = Sender::new(folder.clone(), hold.clone(), Box::new(carrier), sending.clone(), Arc::clone(&shared))?;
        Ok(Self {
            held: spool::noted(&folder, HELD),
            folder,
            spool: Some(spool),
            sending,
            shared,
            sender: Some(sender),
            thread: None,
            kept: 0,
            _hold: hold,
            _records: PhantomData,
        })
    }

    /// The folder of the spool.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds a record. It is on the disk, and may be sent, after [`Outbox::flush`].
    ///
    /// # Errors
    /// [`Error::Io`] on a full disk. With [`Sending::strict`] also what went wrong with earlier records.
    pub(crate) fn push(&mut self, record: &R) -> Result<()> {
        self.spool()?.push(record)?;
        self.shared.pushed();
        self.complaint()
    }

    /// Keeps a file for a record that is about to be pushed; the name to give it there, see [`Record::files`].
    pub(crate) fn keep(&mut self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        self.keep_as(Path::new(name), |path| {
            let mut file = fs_err::OpenOptions::new().create_new(true).write(true).open(path)?;
            std::io::Write::write_all(&mut file, bytes)
        })
    }

    /// Keeps a file that is on the disk already, as [`Outbox::keep`] does bytes. It may be removed or replaced afterwards. It
    /// takes no room of its own where the disk has hard links, so nobody should write into it.
    pub(crate) fn keep_file(&mut self, file: &Path) -> Result<PathBuf> {
        // The link shall be one of the file, not of a symbolic link to it.
        let source = fs_err::canonicalize(file)?;
        self.keep_as(file, |path| match std::fs::hard_link(&source, path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                let mut copy = fs_err::OpenOptions::new().create_new(true).write(true).open(path)?;
                std::io::copy(&mut fs_err::File::open(&source)?, &mut copy).map(drop)
            }
            other => other,
        })
    }

    /// Makes a file in the spool's folder, with the extension of `name`.
    fn keep_as(&mut self, name: &Path, make: impl Fn(&Path) -> std::io::Result<()>) -> Result<PathBuf> {
        fs_err::create_dir_all(self.folder.join(KEPT))?;
        let extension = name.extension().map_or(String::new(), |extension| format!(".{}", extension.to_string_lossy()));
        loop {
            let name = Path::new(KEPT).join(format!("{:06}{extension}", self.kept));
            self.kept += 1;
            match make(&self.folder.join(&name)) {
                Ok(()) => return Ok(name),
                // An earlier process kept one of that number.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Hands all records to the operating system and to the sending thread.
    pub(crate) fn flush(&mut self) -> Result<()> {
        let spool = self.spool()?;
        spool.flush()?;
        let end = spool.end();
        self.shared.flushed(end);
        self.start()?;
        let needed = self.shared.acked().min(self.held.unwrap_or(u64::MAX));
        self.spool()?.forget(needed);
        Ok(())
    }

    /// The position behind everything that was flushed. That is all that it says: nothing is made durable.
    pub(crate) fn end(&mut self) -> Result<u64> {
        Ok(self.spool()?.end())
    }

    /// The position behind all records, which outlive the machine from now on. [`Outbox::rewind`] comes back to it.
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
        Mark::open(&self.folder, HELD)?.note(position)
    }

    /// Goes back to a position of an earlier process: what was not delivered of the records behind it is dropped, what was
    /// delivered is returned, since it is going to be logged again. Only before the first [`Outbox::flush`].
    pub(crate) fn rewind(&mut self, to: u64) -> Result<Vec<R>> {
        let acked = self.shared.acked();
        let delivered = if to < acked { spool::read(&self.folder, to, acked, usize::MAX, u64::MAX)?.records } else { Vec::new() };
        let spool = self.spool()?;
        spool.cut(to.max(acked))?;
        let end = spool.end();
        let waiting = spool::count::<R>(&self.folder, acked, end)?;
        self.shared.rewound(end, waiting);
        self.hold_at(to)?;
        Ok(delivered)
    }

    /// What became of the records of this process, and of those that it found.
    pub(crate) fn delivery(&self) -> Delivery {
        self.shared.delivery()
    }

    /// Waits until everything is delivered, or until nothing has been for [`Sending::patience`].
    ///
    /// # Errors
    /// With [`Sending::strict`], [`Error::Undelivered`] if something was not.
    pub(crate) fn settle(&mut self) -> Result<Delivery> {
        self.flush()?;
        let delivery = self.shared.settle(self.sending.patience);
        let Sending { logger, strict, .. } = &self.sending;
        if delivery.spooled > 0 && !strict {
            let folder = self.folder.display();
            tracing::warn!(logger, "{delivery}: the server was not reached; `stormfire sync {folder}` sends what is spooled");
        } else if delivery.refused > 0 && !strict {
            tracing::warn!(logger, "{delivery}");
        } else {
            tracing::info!(logger, "{delivery}");
        }
        self.complaint()?;
        if delivery.spooled > 0 && self.sending.strict {
            let reason = self.shared.trouble().unwrap_or_else(|| "the server did not answer in time".to_owned());
            return Err(Error::Undelivered { logger: self.sending.logger.clone(), delivery, reason });
        }
        Ok(delivery)
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
    /// A request that is under way may take minutes, so nobody waits for it: what it carries is on the disk until it is
    /// delivered. A spool of which nothing is needed any more is removed.
    fn drop(&mut self) {
        if let Some(spool) = &mut self.spool
            && let Err(error) = spool.flush()
        {
            tracing::error!(logger = self.sending.logger, %error, "the last records could not be kept");
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
            && let Err(error) = spool.remove()
        {
            tracing::debug!(logger = self.sending.logger, %error, "an empty spool was left");
        }
    }
}
