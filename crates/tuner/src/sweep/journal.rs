//! The files of a sweep.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stormfire_module::{Error, Result};
use stormfire_store::{
    hold::{Hold, hold_alone},
    replacement::remove_leftovers,
};
use stormfire_values::Mode;

use super::{record::TrialRecord, space::Space};
use crate::files;

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
const OPTION: &str = "Sweep::folder";

impl Journal {
    pub(super) fn open(folder: &Path, header: &Header) -> Result<Self> {
        fs_err::create_dir_all(folder)?;
        let folder = fs_err::canonicalize(folder)?;
        let hold = hold_alone(&folder).ok_or_else(|| {
            let reason = format!("another sweep uses `{}`", folder.display());
            Error::config(OPTION, reason, "wait for its end, or choose another folder")
        })?;
        remove_leftovers(&folder);
        if !Self::check(&folder, header)? {
            files::write_record(&folder.join(HEADER), header)?;
        }
        let records = read_records(&folder)?;
        if !records.is_empty() {
            tracing::info!("the sweep continues in `{}`, which has {} trials", folder.display(), records.len());
        }
        Ok(Self { folder, records, _hold: hold })
    }

    /// Whether the folder has a sweep. Refuses another one than this.
    pub(super) fn check(folder: &Path, header: &Header) -> Result<bool> {
        let known = files::read_record::<Header>(&folder.join(HEADER), OPTION)?;
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
            Err(Error::config(OPTION, reason, "choose another folder, or remove this one"))
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
    files::read_record(&record_file(folder, number), OPTION)
}

/// Writes the record of a trial. It is durable afterwards.
pub(super) fn write_record(folder: &Path, record: &TrialRecord) -> Result<()> {
    files::write_record(&record_file(folder, record.number), record)
}

fn record_file(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("trial_{number}.json"))
}
