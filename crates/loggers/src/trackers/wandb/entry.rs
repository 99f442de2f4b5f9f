//! What a run consists of, wherever it goes.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::artifact::Bundle;
use super::items::Items;
use crate::ConsoleStream;
use crate::network::outbox::Record;

/// One thing that happened. `line` counts entries of its kind from 0; the same entry again has the same number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    /// All settings of the run.
    Config(Map<String, Value>),
    Row {
        line: u64,
        items: Items,
    },
    /// Values of the summary that no row has.
    Summary(Items),
    /// What the machine does.
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
    /// The end, with the exit code of the process and the seconds that the run took.
    Exit {
        code: i32,
        runtime: f64,
    },
}

/// An entry as it waits on the disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Posted {
    /// Whoever goes on with a run without a position counts lines from 0 again, under another name.
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
