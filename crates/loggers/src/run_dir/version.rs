//! Chooses the version of a run and creates its folder.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use stormfire_store::folder::missing;
use stormfire_store::hold::{Hold, hold, hold_alone};
use stormfire_store::replacement;

use crate::Result;

/// See [`RunDir::short_version`](super::RunDir::short_version).
pub(crate) fn short(version: &str) -> &str {
    if let Some(number) = version.strip_prefix("version_").filter(|number| is_number(number)) {
        return number;
    }
    version.char_indices().rev().nth(3).map_or(version, |(at, _)| &version[at..])
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

pub(super) fn folder_of(root: &Path, version: &str) -> PathBuf {
    if version.is_empty() { root.to_owned() } else { root.join(version) }
}

/// The folder of a run.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) version: String,
    pub(super) log_dir: PathBuf,
    pub(super) hold: Option<Hold>,
    /// The folders that did not exist before, from the inside.
    pub(super) created: Vec<PathBuf>,
}

/// Uses the folder of a version given by the user. `is_shared`: other files are expected in it.
pub(super) fn reuse(root: &Path, version: &str, is_shared: bool) -> Result<Made> {
    let log_dir = folder_of(root, version);
    let created = missing(&log_dir);
    fs_err::create_dir_all(&log_dir)?;
    if !is_shared && fs_err::read_dir(&log_dir)?.next().is_some() {
        tracing::warn!(folder = %log_dir.display(), "the log folder exists and is not empty; new files join the old ones");
    }
    let hold = hold(&log_dir);
    if hold.is_some() {
        replacement::remove_leftovers(&log_dir);
    } else {
        tracing::warn!(folder = %log_dir.display(), "another process logs to this folder too; tables that both write will be damaged");
    }
    Ok(Made { version: version.to_owned(), log_dir, hold, created })
}

/// Creates the folder of the next version, which is at least `at_least`.
pub(super) fn reserve(root: &Path, at_least: u64) -> Result<Made> {
    let above = missing(root);
    fs_err::create_dir_all(root)?;
    versions(root)?.iter().for_each(|(_, log_dir)| tidy(log_dir));
    let mut next = at_least;
    loop {
        next = free_number(root)?.max(next);
        if let Some(made) = make(root, format!("version_{next}"), &above)? {
            return Ok(made);
        }
        // Another process was faster, or a file has this name.
        next += 1;
    }
}

/// Creates a version next to the one given by the user: `try-v1`, `try-v2`, …
pub(super) fn reserve_beside(root: &Path, version: &str) -> Result<Made> {
    let above = missing(root);
    fs_err::create_dir_all(root)?;
    let dash = if version.is_empty() { "" } else { "-" };
    let mut number = 1_u64;
    loop {
        if let Some(made) = make(root, format!("{version}{dash}v{number}"), &above)? {
            return Ok(made);
        }
        number += 1;
    }
}

/// Whether a version is the given one, or was created [next to](reserve_beside) it.
pub(super) fn is_beside(version: &str, chosen: &str) -> bool {
    let dash = if chosen.is_empty() { "" } else { "-" };
    let number = version.strip_prefix(chosen).and_then(|rest| rest.strip_prefix(dash)?.strip_prefix('v'));
    version == chosen || number.is_some_and(is_number)
}

/// Returns `None` if the name is taken. `above`: the folders above it that did not exist before.
fn make(root: &Path, version: String, above: &[PathBuf]) -> Result<Option<Made>> {
    let log_dir = root.join(&version);
    let created = match fs_err::create_dir(&log_dir) {
        // A run that has not started has removed its folders at this moment.
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs_err::create_dir_all(root).and_then(|()| fs_err::create_dir(&log_dir)),
        created => created,
    };
    match created {
        Ok(()) => {
            let hold = hold(&log_dir);
            let created = std::iter::once(&log_dir).chain(above).cloned().collect();
            Ok(Some(Made { version, log_dir, hold, created }))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes incomplete files that a killed process left in the folder of an earlier run, unless that run is active.
fn tidy(log_dir: &Path) {
    if let Some(_hold) = hold_alone(log_dir) {
        replacement::remove_leftovers(log_dir);
    }
}

/// Upper limit of version numbers, so that a next number always exists. A larger number counts as an ordinary name.
const NUMBERS: u64 = 1 << 62;

/// Returns 3 for `version_3`.
pub(super) fn number_of(name: &OsStr) -> Option<u64> {
    let digits = name.to_str()?.strip_prefix("version_").filter(|number| is_number(number))?;
    digits.parse().ok().filter(|number| *number < NUMBERS)
}

fn free_number(root: &Path) -> Result<u64> {
    Ok(versions(root)?.into_iter().map(|(number, _)| number + 1).max().unwrap_or(0))
}

/// The numbers and folders of all versions.
pub(super) fn versions(root: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    let entries = match fs_err::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if let Some(number) = number_of(&entry.file_name())
            && entry.path().is_dir()
        {
            found.push((number, entry.path()));
        }
    }
    Ok(found)
}
