//! The files of a sweep.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use stormfire_loggers::json;
use stormfire_module::{Error, Result};
use stormfire_store::{
    hold::{Hold, hold_alone},
    replacement::{Replacement, remove_leftovers},
};
use stormfire_values::Mode;

use super::{record::TrialRecord, space::Space};

/// The identity of a sweep. Two sweeps with equal headers are the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) space: Space,
    pub(super) search: String,
    pub(super) seed: u64,
    pub(super) monitor: String,
    pub(super) mode: Mode,
}

/// The records of the trials, each in a file that is replaced as a whole.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    records: Vec<TrialRecord>,
    /// No other process may write here.
    _hold: Hold,
}

const HEADER: &str = "sweep.json";

impl Journal {
    pub(super) fn open(folder: &Path, header: &Header) -> Result<Self> {
        fs_err::create_dir_all(folder)?;
        let folder = fs_err::canonicalize(folder)?;
        let hold = hold_alone(&folder).ok_or_else(|| {
            let reason = format!("another sweep uses `{}`", folder.display());
            Error::config("Sweep::folder", reason, "wait for its end, or choose another folder")
        })?;
        remove_leftovers(&folder);
        if !Self::check(&folder, header)? {
            write(&folder.join(HEADER), header)?;
        }
        let records = read_records(&folder)?;
        if !records.is_empty() {
            tracing::info!("the sweep continues in `{}`, which has {} trials", folder.display(), records.len());
        }
        Ok(Self { folder, records, _hold: hold })
    }

    /// Whether the folder has a sweep. Refuses another one than this.
    pub(super) fn check(folder: &Path, header: &Header) -> Result<bool> {
        let known = read::<Header>(&folder.join(HEADER))?;
        known.as_ref().map_or(Ok(()), |known| known.compare(header, folder))?;
        Ok(known.is_some())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn records(&self) -> &[TrialRecord] {
        &self.records
    }

    /// Adds a record, or replaces the one of the same number. It is durable afterwards.
    pub(super) fn set(&mut self, record: TrialRecord) -> Result<()> {
        write_record(&self.folder, &record)?;
        match self.records.get_mut(record.number) {
            Some(known) => *known = record,
            None => self.records.push(record),
        }
        Ok(())
    }
}

impl Header {
    fn compare(&self, new: &Self, folder: &Path) -> Result<()> {
        let parts = [
            ("space", self.space == new.space),
            ("search", self.search == new.search),
            ("seed", self.seed == new.seed),
            ("monitor", self.monitor == new.monitor),
            ("mode", self.mode == new.mode),
        ];
        parts.iter().find(|(_, is_same)| !is_same).map_or(Ok(()), |(part, _)| {
            let reason = format!("`{}` has a sweep with another {part}", folder.display());
            Err(Error::config("Sweep::folder", reason, "choose another folder, or remove this one"))
        })
    }
}

/// The records in the folder of a sweep.
pub(super) fn read_records(folder: &Path) -> Result<Vec<TrialRecord>> {
    let mut records = Vec::new();
    while let Some(record) = read_record(folder, records.len())? {
        records.push(record);
    }
    Ok(records)
}

/// The record of a trial. `None` if the trial was not started.
pub(super) fn read_record(folder: &Path, number: usize) -> Result<Option<TrialRecord>> {
    read(&record_file(folder, number))
}

/// Writes the record of a trial. It is durable afterwards.
pub(super) fn write_record(folder: &Path, record: &TrialRecord) -> Result<()> {
    write(&record_file(folder, record.number), record)
}

fn record_file(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("trial_{number}.json"))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let bytes = match fs_err::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let value = serde_json::from_slice(&bytes).map_err(|error| unreadable(path, &error))?;
    json::from_value(value).map(Some).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &serde_json::Error) -> Error {
    let reason = format!("`{}` is not a file of this version of a sweep: {error}", path.display());
    Error::config("Sweep::folder", reason, "choose another folder")
}

fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let value = json::to_value(value).map_err(Error::other)?;
    Ok(Replacement::new(path)?.commit_json(&value)?)
}
