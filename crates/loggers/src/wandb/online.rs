//! A run on its way to a W&B server.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::carrier::Carrier;
use super::entry::Entry;
use super::remote::Remote;
use super::settings::Settings;
use crate::identity::random_id;
use crate::outbox::{Outbox, Record};
use crate::{Delivery, Result};

/// An entry as it waits on the disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Posted {
    /// Whoever goes on with a run without a position counts lines from 0 again, under another name.
    pub(super) session: String,
    pub(super) entry: Entry,
    /// The file of the entry, if it is kept for it alone.
    kept: Option<PathBuf>,
}

impl Record for Posted {
    fn kept_file(&self) -> Option<&Path> {
        self.kept.as_deref()
    }
}

/// See [`super::sink::Sink`].
pub(super) struct Online {
    outbox: Outbox<Posted>,
    session: String,
    last_kept: Option<PathBuf>,
}

/// Where a run stood.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Position {
    session: String,
    /// In the spool.
    at: u64,
    /// What was known of the server's side, for a machine that has no spool of the run.
    remote: Option<Remote>,
}

impl Online {
    pub(super) fn open(settings: &Settings) -> Result<Self> {
        let folder = settings.save_dir.join(".stormfire").join("wandb").join(super::media::safe(&settings.id));
        let carrier = Carrier::new(settings, &folder)?;
        Ok(Self { outbox: Outbox::open(folder, carrier, settings.sending())?, session: random_id(8), last_kept: None })
    }

    pub(super) fn reopen(settings: &Settings, to: Position) -> Result<Self> {
        let mut online = Self::open(settings)?;
        if let Some(remote) = to.remote.filter(|_| !Remote::exists(online.outbox.folder())) {
            // The spool is gone or was empty. Lines have their places at the server all the same.
            remote.save(online.outbox.folder())?;
        } else {
            // What was delivered already is overwritten by the same lines.
            online.outbox.rewind(to.at)?;
        }
        online.session = to.session;
        Ok(online)
    }

    pub(super) fn keep(&mut self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = std::path::absolute(self.outbox.keep(name, bytes)?)?;
        self.last_kept = Some(path.clone());
        Ok(path)
    }

    /// `kept`: whether what was kept last is for this entry alone.
    pub(super) fn push(&mut self, entry: Entry, kept: bool) -> Result<()> {
        let kept = if kept { self.last_kept.take() } else { None };
        self.outbox.push(&Posted { session: self.session.clone(), entry, kept })
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.outbox.flush()
    }

    pub(super) fn settle(&mut self) -> Result<()> {
        self.outbox.settle().map(drop)
    }

    pub(super) fn position(&mut self) -> Result<Position> {
        let at = self.outbox.position()?;
        Ok(Position { session: self.session.clone(), at, remote: Remote::load(self.outbox.folder()) })
    }

    pub(super) fn delivery(&self) -> Delivery {
        self.outbox.delivery()
    }
}
