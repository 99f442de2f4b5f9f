//! Rollback to a checkpoint.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::CometLogger;
use super::journal::Journal;
use crate::Result;
use crate::parts::position;

/// See [`Logger::position`](crate::Logger::position).
#[derive(Serialize, Deserialize)]
struct Position {
    key: String,
    /// The folder of the messages.
    folder: PathBuf,
    offline: bool,
    at: u64,
    next_id: u64,
    epoch: Option<i64>,
}

/// The key of the experiment in a position.
pub(super) fn key_of(position: &Value) -> Option<String> {
    crate::value::json::from_value(position.clone()).ok().map(|Position { key, .. }| key)
}

impl CometLogger {
    pub(super) fn take_position(&mut self) -> Result<Value> {
        let (key, offline, epoch) = (self.key.clone(), self.is_offline(), self.epoch);
        let journal = self.begin()?;
        let (at, next_id) = (journal.position()?, journal.next_id());
        let folder = journal.folder().to_owned();
        position::save(&Position { key, folder, offline, at, next_id, epoch })
    }

    /// Continues the experiment of a position, instead of the random key of this process.
    pub(super) fn go_back(&mut self, position: Value) -> Result<()> {
        let own = self.base().join(&self.key);
        let Some(Position { key, folder, offline, at, next_id, epoch }) = position::load(position, &own) else { return Ok(()) };
        let same = self.journal.as_ref().is_some_and(|journal| journal.folder() == folder);
        if !same && let Some(journal) = self.journal.take() {
            journal.close()?;
        }
        (self.key, self.is_waiting) = (key, false);
        // The experiment exists, or will exist once its archive is uploaded.
        self.begun = true;
        self.epoch = epoch;
        let archive = folder.with_extension("zip");
        if offline != self.is_offline() || !(same || folder.exists() || archive.exists()) {
            self.own_key = true;
            position::misfit(&folder, "the earlier messages are not on this machine");
            return self.journal().map(drop);
        }
        let mut journal = match self.journal.take() {
            Some(journal) => journal,
            None => Journal::open(&folder, &self.facts()?)?,
        };
        if !journal.rewind(at, next_id)? {
            position::misfit(&folder, "messages are missing");
        }
        self.journal = Some(journal);
        Ok(())
    }
}
