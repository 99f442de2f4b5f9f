//! A run on its way to a W&B server.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::artifact::Bundle;
use super::carrier::Carrier;
use super::entry::Entry;
use super::remote::Remote;
use super::settings::Settings;
use crate::identity::random_id;
use crate::outbox::{Outbox, Record};
use crate::{Delivery, Error, Result};

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
    /// What is on the disk of the row that is still open.
    open_row: Option<Entry>,
}

/// The open row on the disk, so that a kill does not take it. It counts as long as nothing was spooled after it.
#[derive(Serialize, Deserialize)]
struct OpenRow {
    at: u64,
    row: Posted,
}

const OPEN_ROW: &str = "open-row.json";

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
        let mut online = Self::new(settings)?;
        let left = fs_err::read_to_string(online.outbox.folder().join(OPEN_ROW)).ok();
        if let Some(OpenRow { at, row }) = left.and_then(|text| serde_json::from_str(&text).ok())
            && at == online.outbox.end()?
        {
            online.outbox.push(&row)?;
        }
        Ok(online)
    }

    fn new(settings: &Settings) -> Result<Self> {
        let folder = settings.save_dir.join(".stormfire").join("wandb").join(super::media::safe(&settings.id));
        let carrier = Carrier::new(settings, &folder)?;
        Ok(Self { outbox: Outbox::open(folder, carrier, settings.sending())?, session: random_id(8), last_kept: None, open_row: None })
    }

    pub(super) fn reopen(settings: &Settings, to: Position) -> Result<Self> {
        let mut online = Self::new(settings)?;
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

    /// Keeps the content of a checkpoint, which may be removed before it is sent. Says whether there is something to keep.
    pub(super) fn keep_model(&mut self, model: &mut Bundle) -> Result<bool> {
        let [file] = model.files.as_mut_slice() else { return Ok(false) };
        file.local = std::path::absolute(self.outbox.keep_file(&file.local)?)?;
        self.last_kept = Some(file.local.clone());
        Ok(true)
    }

    /// `open`: the row that may still grow.
    pub(super) fn flush(&mut self, open: Option<Entry>) -> Result<()> {
        self.outbox.flush()?;
        if self.open_row == open {
            return Ok(());
        }
        let path = self.outbox.folder().join(OPEN_ROW);
        if let Some(entry) = open.clone() {
            let row = Posted { session: self.session.clone(), entry, kept: None };
            let text = serde_json::to_string(&OpenRow { at: self.outbox.end()?, row }).map_err(Error::other)?;
            fs_err::write(path, text)?;
        } else {
            fs_err::remove_file(path)?;
        }
        self.open_row = open;
        Ok(())
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
