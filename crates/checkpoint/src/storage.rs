//! Checkpoint files on a disk or behind a URL: what is done with them, with errors that say what it means for a checkpoint.
//!
//! The crate `stormfire-store` says what a path may be, and does it.

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

/// The absolute path of a file or folder on a disk; a URL as it is, without slashes at its end.
///
/// # Errors
/// [`crate::Error::Url`] for a URL that cannot be used; [`crate::Error::Io`] for an empty path, or where the current folder is gone.
pub fn absolute(path: &Path) -> Result<PathBuf> {
    Ok(files::absolute(path)?)
}

/// Whether there is a file or folder of this name; a store has no folders.
///
/// # Errors
/// [`crate::Error::Url`]; [`crate::Error::Permission`] or [`crate::Error::Io`] if a store does not answer.
pub fn exists(path: &Path) -> Result<bool> {
    Ok(files::exists(path)?)
}

/// What lies in a folder, in no order; nothing if there is no such folder.
///
/// # Errors
/// As [`exists`]; also what the operating system says.
pub fn list(folder: &Path) -> Result<Vec<Entry>> {
    Ok(files::list(folder)?)
}

/// Whether it has the extension of a checkpoint.
pub fn is_checkpoint(entry: &Entry) -> bool {
    !entry.is_folder && entry.path.extension().is_some_and(|extension| extension == "ckpt")
}

/// The checkpoints in a folder, and in those up to so many levels below it. A folder on a disk that cannot be read has none.
///
/// # Errors
/// As [`list`], for a store: one that does not answer is not to be taken for an empty one.
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

/// Whether files could be written into a folder, or the folder be made, by making a file there and removing it again. A folder that
/// is not there is not made. A store is not asked.
///
/// # Errors
/// As [`write()`](crate::write()).
pub fn check_writable(folder: &Path) -> Result<()> {
    Ok(files::check_writable(folder)?)
}

/// Removes a file; it is no error if there is none.
///
/// # Errors
/// As [`list`].
pub fn remove(path: &Path) -> Result<()> {
    Ok(files::remove(path)?)
}

/// Writes a file of any kind, as [`write()`](crate::write()) does a checkpoint: a reader finds the old one or the new one.
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

/// What a file holds, and how many bytes that are.
pub(crate) fn open(path: &Path) -> Result<(Reader, u64)> {
    Ok(files::open(path)?)
}

/// Gives a file a second name: as a hard link where there are such links, else as a copy, also from a disk to a store and
/// back. Replaces what has that name.
///
/// # Errors
/// [`crate::Error::NotFound`] for `from`; for `to` as [`write()`](crate::write()).
pub fn link_or_copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
    Ok(files::link_or_copy(from, to)?)
}

/// Makes `link` a symbolic link to `target`, or a second name or a copy of it where there are no such links, as in a store.
/// Replaces the link or the file that was there. The link is relative: both can be moved together.
///
/// # Errors
/// [`crate::Error::NotFound`] for `target`; for `link` as [`write()`](crate::write()).
pub fn symlink_or_copy(target: impl AsRef<Path>, link: impl AsRef<Path>) -> Result<()> {
    Ok(files::symlink_or_copy(target, link)?)
}
