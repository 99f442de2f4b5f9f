//! The note about how far the files of an unfinished prediction reach.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stormfire_module::{Result, place::EvaluationPosition};
use stormfire_store::replacement::Replacement;

/// The durable part of an unfinished prediction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The identity of the prediction.
    pub(super) identity: String,
    /// The position after the last batch.
    pub(super) position: EvaluationPosition,
    /// The length of the file, if there is one file.
    pub(super) bytes: u64,
    /// The columns of a CSV file.
    pub(super) header: Option<String>,
}

impl Progress {
    /// The note, if there is a readable one.
    pub(super) fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs_err::read(path).ok()?).ok()
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        Ok(Replacement::new(path)?.commit_json(self)?)
    }
}

/// A path with a longer name.
pub(super) fn longer(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
