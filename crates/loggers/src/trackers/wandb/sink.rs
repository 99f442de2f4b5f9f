//! The destination of a run's entries.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::artifact::Bundle;
use super::entry::Entry;
use super::offline::{self, Offline};
use super::online::{self, Online};
use super::settings::{Mode, Settings};
use crate::parts::position;
use crate::{Delivery, Result};

#[expect(clippy::large_enum_variant, reason = "a logger has one of them")]
pub(super) enum Sink {
    Offline(Offline),
    Online(Online),
    /// `WANDB_MODE=disabled`.
    Nowhere,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "it goes into a checkpoint at once")]
pub(super) enum Position {
    Offline(offline::Position),
    Online(online::Position),
    Nowhere,
}

impl Sink {
    pub(super) fn open(settings: &Settings, started: f64) -> Result<Self> {
        Ok(match settings.mode {
            Mode::Offline => Self::Offline(Offline::create(settings, started)?),
            Mode::Online => Self::Online(Online::open(settings)?),
            Mode::Disabled => Self::Nowhere,
        })
    }

    /// Rolls back to a position. Returns `None` if it belongs to another mode or is unreachable.
    pub(super) fn reopen(settings: &Settings, to: Position) -> Result<Option<Self>> {
        match (settings.mode, to) {
            (Mode::Offline, Position::Offline(to)) => Ok(Offline::reopen(settings, &to)?.map(Self::Offline)),
            (Mode::Online, Position::Online(to)) => Ok(Some(Self::Online(Online::reopen(settings, to)?))),
            (Mode::Disabled, _) => Ok(None),
            _ => {
                position::misfit(&settings.save_dir, "the position belongs to an online run and this run is offline, or the reverse");
                Ok(None)
            }
        }
    }

    /// Keeps the bytes of a file for the next entry. Returns the path for the entry.
    pub(super) fn keep(&mut self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        match self {
            Self::Offline(offline) => offline.keep(name, bytes),
            Self::Online(online) => online.keep(name, bytes),
            Self::Nowhere => Ok(PathBuf::new()),
        }
    }

    /// Keeps the content of a checkpoint for the next entry.
    pub(super) fn keep_model(&mut self, model: &mut Bundle) -> Result<()> {
        if let Self::Online(online) = self { online.keep_model(model) } else { Ok(()) }
    }

    pub(super) fn push(&mut self, entry: Entry) -> Result<()> {
        match self {
            Self::Offline(offline) => offline.push(&entry),
            Self::Online(online) => online.push(entry),
            Self::Nowhere => Ok(()),
        }
    }

    pub(super) fn position(&mut self) -> Result<Position> {
        Ok(match self {
            Self::Offline(offline) => Position::Offline(offline.position()?),
            Self::Online(online) => Position::Online(online.position()?),
            Self::Nowhere => Position::Nowhere,
        })
    }

    pub(super) fn delivery(&self) -> Option<Delivery> {
        if let Self::Online(online) = self { Some(online.delivery()) } else { None }
    }

    /// The folder of the run on this machine, if it has one.
    pub(super) fn dir(&self) -> Option<PathBuf> {
        if let Self::Offline(offline) = self { Some(offline.dir().to_owned()) } else { None }
    }
}
