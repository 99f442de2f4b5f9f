//! The files of trials and folds: records, and folders of runs that continue.

use std::{io::ErrorKind, path::Path};

use serde::{Serialize, de::DeserializeOwned};
use stormfire_loggers::json;
use stormfire_module::{Error, Result};
use stormfire_store::replacement::Replacement;
use stormfire_trainer::for_tuner::has_checkpoint;

/// Reads a file of [`write_record`]. `None` if it does not exist. `option` is the one that names the folder.
pub(crate) fn read_record<T: DeserializeOwned>(path: &Path, option: &str) -> Result<Option<T>> {
    let unreadable = |error: &serde_json::Error| {
        let reason = format!("`{}` is not a file of this version of Stormfire: {error}", path.display());
        Error::config(option, reason, "choose another folder")
    };
    let bytes = match fs_err::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let value = serde_json::from_slice(&bytes).map_err(|error| unreadable(&error))?;
    json::from_value(value).map(Some).map_err(|error| unreadable(&error))
}

/// Writes a file as JSON that keeps every float. It is durable afterwards.
pub(crate) fn write_record(path: &Path, record: &impl Serialize) -> Result<()> {
    let value = json::to_value(record).map_err(Error::other)?;
    Ok(Replacement::new(path)?.commit_json(&value)?)
}

/// Whether a run continues from its newest checkpoint. If it does not, its folder does not exist afterwards.
pub(crate) fn prepare_folder(folder: &Path, is_continued: bool) -> Result<bool> {
    if is_continued && has_checkpoint(folder) {
        return Ok(true);
    }
    if folder.is_dir() {
        // An earlier start of this run was killed before its first checkpoint.
        fs_err::remove_dir_all(folder)?;
    }
    Ok(false)
}
