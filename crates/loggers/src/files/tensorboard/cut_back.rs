//! The rollback of event files.
//!
//! A resumed run starts a new file. A running server may have read the old file beyond its new end, and would stop at
//! the first record that is not at the expected offset. The new file contains the name of the run's first file. This
//! distinguishes it from the files of other loggers in the folder.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

use prost::Message;
use serde::{Deserialize, Serialize};
use stormfire_store::error::at;

use super::event::{Event, What};
use super::file::MARK;
use super::record;
use crate::Result;

/// An event file and its length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Extent {
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// The message of a file that continues the run with this first file.
pub(super) fn message(first: &str) -> String {
    format!("continues {first}")
}

/// Truncates the files of a run to these lengths and removes its later files, which contain `message`. If one of the
/// files is missing or shorter, returns its name and changes nothing.
pub(super) fn cut_back(folder: &Path, files: &[Extent], message: &str) -> Result<Option<String>> {
    for Extent { name, bytes } in files {
        // A position comes from an untrusted file. Only names of event files in this folder are accepted.
        let path = folder.join(name);
        let is_ours = name.starts_with(MARK) && path.file_name().is_some_and(|last| last == name.as_str());
        let length = match path.metadata() {
            Ok(facts) => Some(facts.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(at(&path, "read", &error).into()),
        };
        if !is_ours || length.is_none_or(|length| length < *bytes) {
            return Ok(Some(name.clone()));
        }
    }
    for Extent { name, bytes } in files {
        let path = folder.join(name);
        let cut = OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(*bytes));
        cut.map_err(|error| at(&path, "cut", &error))?;
    }
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_known = files.iter().any(|file| name == file.name.as_str());
        if !is_known && name.to_string_lossy().starts_with(MARK) && says(&entry.path(), message)? {
            fs_err::remove_file(entry.path())?;
        }
    }
    Ok(None)
}

/// Whether the event after an event file's version contains this message.
fn says(path: &Path, message: &str) -> Result<bool> {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(1 << 10).read_to_end(&mut start));
    read.map_err(|error| at(path, "read", &error))?;
    let second = record::split(&start).and_then(|(_, rest)| record::split(rest));
    let event = second.and_then(|(data, _)| Event::decode(data).ok());
    Ok(matches!(event, Some(Event { what: Some(What::SessionLog(log)), .. }) if log.message == message))
}
