//! A run for a W&B server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stormfire_store::private;

use super::artifact::Bundle;
use super::carrier::Carrier;
use super::entry::{Entry, Posted};
use super::server_state::Remote;
use super::settings::{self, Settings};
use crate::network::outbox::{Outbox, Route, waiting};
use crate::parts::random::random_id;
use crate::{Delivery, Error, Result, Secret};

impl Route for Settings {
    fn run(&self) -> String {
        format!("{}/{}", self.project, self.run_name.as_ref().unwrap_or(&self.id))
    }

    fn server(&self) -> String {
        self.base_url.clone()
    }

    fn deliver(self, folder: &Path, patience: Duration) -> Result<Delivery> {
        let settings = Self { api_key: Secret::from_env(settings::API_KEY), strict: true, patience: patience.into(), ..self };
        let mut outbox = outbox(&settings, folder.to_owned())?;
        take_open_row(&mut outbox)?;
        outbox.settle()
    }

    /// Includes the row that was open when the process was killed.
    fn waiting(folder: &Path) -> Result<u64> {
        let (waiting, end) = waiting(folder)?;
        Ok(waiting + u64::from(OpenRow::load(folder, end).is_some()))
    }
}

/// See [`super::sink::Sink`].
pub(super) struct Online {
    outbox: Outbox<Posted>,
    session: String,
    /// The part of the open row that is on the disk.
    open_row: Option<Entry>,
}

/// The open row on the disk, which survives a kill. It is valid as long as nothing is spooled after it.
#[derive(Serialize, Deserialize)]
struct OpenRow {
    at: u64,
    row: Posted,
}

const OPEN_ROW: &str = "open-row.json";

impl OpenRow {
    /// `end`: the position after all records.
    fn load(folder: &Path, end: u64) -> Option<Self> {
        let row: Self = serde_json::from_str(&fs_err::read_to_string(folder.join(OPEN_ROW)).ok()?).ok()?;
        Some(row).filter(|row| row.at == end)
    }
}

fn outbox(settings: &Settings, folder: PathBuf) -> Result<Outbox<Posted>> {
    let carrier = Carrier::new(settings, &folder)?;
    let outbox = Outbox::open(folder, carrier, settings.sending())?;
    settings.save(outbox.folder())?;
    Ok(outbox)
}

/// Turns the open row of a killed process into a record.
fn take_open_row(outbox: &mut Outbox<Posted>) -> Result<()> {
    let end = outbox.end()?;
    OpenRow::load(outbox.folder(), end).map_or(Ok(()), |left| outbox.push(&left.row))
}

/// A position in a run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Position {
    session: String,
    /// The position in the spool.
    at: u64,
    /// The state of the server, for a machine without the run's spool.
    remote: Option<Remote>,
}

impl Online {
    pub(super) fn open(settings: &Settings) -> Result<Self> {
        let mut online = Self::new(settings)?;
        take_open_row(&mut online.outbox)?;
        Ok(online)
    }

    fn new(settings: &Settings) -> Result<Self> {
        let folder = settings.save_dir.join(".stormfire").join("wandb").join(super::media::safe(&settings.id));
        Ok(Self { outbox: outbox(settings, folder)?, session: random_id(8), open_row: None })
    }

    pub(super) fn reopen(settings: &Settings, to: Position) -> Result<Self> {
        let mut online = Self::new(settings)?;
        if let Some(remote) = to.remote.filter(|_| !Remote::exists(online.outbox.folder())) {
            // The spool is missing or was empty. The server still has the line numbers.
            remote.save(online.outbox.folder())?;
        } else {
            // Delivered lines are overwritten by the same lines.
            online.outbox.rewind(to.at)?;
        }
        online.session = to.session;
        Ok(online)
    }

    pub(super) fn keep(&mut self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        self.outbox.keep(name, bytes)
    }

    pub(super) fn push(&mut self, entry: Entry) -> Result<()> {
        self.outbox.push(&Posted { session: self.session.clone(), entry })
    }

    /// Keeps the content of a checkpoint, which may be removed before it is sent.
    pub(super) fn keep_model(&mut self, model: &mut Bundle) -> Result<()> {
        if let [file] = model.files.as_mut_slice() {
            file.local = self.outbox.keep_file(&file.local)?;
        }
        Ok(())
    }

    /// `open`: the row that is not complete yet.
    pub(super) fn flush(&mut self, open: Option<Entry>) -> Result<()> {
        self.outbox.flush()?;
        if self.open_row == open {
            return Ok(());
        }
        let path = self.outbox.folder().join(OPEN_ROW);
        if let Some(entry) = open.clone() {
            let row = Posted { session: self.session.clone(), entry };
            let text = serde_json::to_string(&OpenRow { at: self.outbox.end()?, row }).map_err(Error::other)?;
            private::write(&path, text.as_bytes())?;
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
