//! Checkpoint files on a disk or behind a URL, with errors for checkpoints.
//!
//! The crate `stormfire-store` implements the paths and the file operations.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

pub(crate) use stormfire_store::Reader;
use stormfire_store::files;
pub use stormfire_store::{
    Entry,
    files::{identity, spelled_out},
    is_url, on_disk,
};

use crate::Result;

#[cfg(test)]
mod tests;

/// The absolute path of a local file or folder. A URL is returned unchanged, without trailing slashes.
///
/// # Errors
/// [`crate::Error::Url`] for a URL that cannot be used. [`crate::Error::Io`] for an empty path, or if the current
/// folder was deleted.
pub fn absolute(path: &Path) -> Result<PathBuf> {
    Ok(files::absolute(path)?)
}

/// Whether a file or folder with this name exists. A store has no folders.
///
/// # Errors
/// [`crate::Error::Url`], or [`crate::Error::Permission`] or [`crate::Error::Io`] if a store does not answer.
pub fn exists(path: &Path) -> Result<bool> {
    Ok(files::exists(path)?)
}

/// The contents of a folder, in no particular order. Empty if the folder does not exist.
///
/// # Errors
/// As [`exists`], and errors of the operating system.
pub fn list(folder: &Path) -> Result<Vec<Entry>> {
    Ok(files::list(folder)?)
}

/// Whether the entry has the extension of a checkpoint.
pub fn is_checkpoint(entry: &Entry) -> bool {
    !entry.is_folder && entry.path.extension().is_some_and(|extension| extension == "ckpt")
}

/// The checkpoints in a folder and up to `depth` levels below it. A local folder that cannot be read counts as empty.
///
/// # Errors
/// As [`list`], for a store: a store that does not answer does not count as empty.
pub fn checkpoints(folder: &Path, depth: usize) -> Result<Vec<Entry>> {
    let entries = match list(folder) {
        Err(error) if is_url(folder) => return Err(error),
        listed => listed.unwrap_or_default(),
    };
    let mut found = Vec::new();
    for entry in entries {
        if is_checkpoint(&entry) {
            found.push(entry);
        } else if entry.is_folder && depth > 0 {
            found.extend(checkpoints(&entry.path, depth - 1)?);
        }
    }
    Ok(found)
}

/// Checks that files can be written into a folder, or that the folder can be created. Creates and removes a test file.
/// Does not create a missing folder. Does not contact a store.
///
/// # Errors
/// As [`write()`](crate::write()).
pub fn check_writable(folder: &Path) -> Result<()> {
    Ok(files::check_writable(folder)?)
}

/// Checks that the path of a file has names that the file system can store, and passes through no other file. Writes
/// nothing. In a store, nothing is checked.
///
/// # Errors
/// As [`list`].
pub fn check_names(file: &Path) -> Result<()> {
    Ok(files::check_names(file)?)
}

/// Removes a file. A missing file is not an error.
///
/// # Errors
/// As [`list`].
pub fn remove(path: &Path) -> Result<()> {
    Ok(files::remove(path)?)
}

/// Writes a file of any kind in the same way as [`write()`](crate::write()) writes a checkpoint: a reader sees the old
/// or the new file.
///
/// # Errors
/// As [`write()`](crate::write()), for the file.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, bytes.len() as u64, |out| out.write_all(bytes))
}

/// Writes a file of `len` bytes.
pub(crate) fn write(path: &Path, len: u64, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    Ok(files::write(path, len, write)?)
}

/// Opens a file. Returns a reader and the size in bytes.
pub(crate) fn open(path: &Path) -> Result<(Reader, u64)> {
    Ok(files::open(path)?)
}

/// Opens a file on a disk, to be read at several places.
pub(crate) fn open_on_disk(path: &Path) -> Result<(std::fs::File, u64)> {
    Ok(files::open_on_disk(path)?)
}

/// Gives a file a second name: a hard link where these are supported, otherwise a copy, also between a disk and a
/// store. Replaces an existing file.
///
/// # Errors
/// [`crate::Error::NotFound`] for `from`. For `to` as [`write()`](crate::write()).
pub fn link_or_copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
    Ok(files::link_or_copy(from, to)?)
}

/// Makes `link` a symbolic link to `target`. Without symbolic links, as in a store, creates a second name or a copy.
/// Replaces an existing link or file. The link is relative, so both can be moved together.
///
/// # Errors
/// [`crate::Error::NotFound`] for `target`. For `link` as [`write()`](crate::write()).
pub fn symlink_or_copy(target: impl AsRef<Path>, link: impl AsRef<Path>) -> Result<()> {
    Ok(files::symlink_or_copy(target, link)?)
}
