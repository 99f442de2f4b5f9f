//! The entries of a run, for all destinations.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::artifact::Bundle;
use super::items::Items;
use crate::ConsoleStream;
use crate::network::outbox::Record;

/// A recorded event. `line` counts entries of its kind from 0. A repeated entry has the same number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    /// All settings of the run.
    Config(Map<String, Value>),
    Row {
        line: u64,
        items: Items,
    },
    /// Values of the summary that are not in a row.
    Summary(Items),
    /// System metrics.
    System {
        line: u64,
        time: f64,
        runtime: f64,
        items: Items,
    },
    Console {
        line: u64,
        time: f64,
        stream: ConsoleStream,
        text: String,
    },
    /// A file and its name among the run's files.
    File {
        name: String,
        path: PathBuf,
        media: bool,
    },
    Artifact(Bundle),
    /// The end, with the exit code of the process and the duration of the run in seconds.
    Exit {
        code: i32,
        runtime: f64,
    },
}

/// An entry as it is stored on the disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Posted {
    /// A process that continues a run without a position counts lines from 0 again, in a new session.
    pub(super) session: String,
    pub(super) entry: Entry,
}

impl Record for Posted {
    fn files(&mut self) -> Vec<&mut PathBuf> {
        match &mut self.entry {
            Entry::File { path, .. } => vec![path],
            Entry::Artifact(bundle) => bundle.files.iter_mut().map(|file| &mut file.local).collect(),
            _ => Vec::new(),
        }
    }

    fn is_last(&self) -> bool {
        matches!(self.entry, Entry::Exit { .. })
    }
}
