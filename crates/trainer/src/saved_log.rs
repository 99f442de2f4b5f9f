//! The logger entries of a checkpoint: identity and position.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stormfire_checkpoint::storage;
use stormfire_loggers::{Background, for_trainer::PendingPosition};

/// The identity and position of a logger in a checkpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SavedLog {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    /// Absolute path. `None` for a logger without a folder.
    pub(crate) log_dir: Option<PathBuf>,
    pub(crate) position: Value,
}

/// A [`SavedLog`] whose position is pending.
pub(crate) struct PendingLog {
    log: SavedLog,
    position: PendingPosition,
}

impl PendingLog {
    pub(crate) fn of(logger: &Background) -> Self {
        Self::at(logger, logger.position())
    }

    /// The entry of a logger, with a position that was requested earlier.
    pub(crate) fn at(logger: &Background, position: PendingPosition) -> Self {
        let log_dir = logger.log_dir().map(storage::identity);
        let (name, version, kind) = (logger.name().to_owned(), logger.version().to_owned(), logger.kind().to_owned());
        Self { log: SavedLog { name, version, kind, log_dir, position: Value::Null }, position }
    }

    /// Waits for the position. A logger without a position must not prevent a checkpoint.
    pub(crate) fn wait(self) -> SavedLog {
        let Self { mut log, position } = self;
        log.position = position.wait().unwrap_or_else(|error| {
            tracing::warn!("a run that continues from this checkpoint cannot continue the log of `{}`: {error}", log.name);
            Value::Null
        });
        log
    }
}
