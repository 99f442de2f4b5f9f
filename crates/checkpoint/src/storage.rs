//! Checkpoint files on a disk or behind a URL: the few things that are done with them.
//!
//! The crate `stormfire-store` says what a path may be and knows the stores.

use std::{
    fs::{self, File},
    io::{self, BufReader, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use stormfire_store::Place;
pub(crate) use stormfire_store::Reader;
pub use stormfire_store::{is_url, on_disk};

use crate::{Error, FileKind, Result, encode::CHUNK, place};

#[cfg(test)]
mod tests;

/// The absolute path of a file or folder on a disk; a URL as it is, without slashes at its end.
///
/// # Errors
/// [`Error::Url`] for a URL that cannot be used; [`Error::Io`] for an empty path, or where the current folder is gone.
pub fn absolute(path: &Path) -> Result<PathBuf> {
    match Place::of(path)? {
        Place::Disk(path) => std::path::absolute(&path).map_err(|error| Error::io(path, error)),
        Place::Store(object) => Ok(object.path()),
    }
}

/// One spelling for all spellings of a file: links in its folder are followed, the file itself may be a link.
pub fn spelled_out(path: &Path) -> PathBuf {
    let path = absolute(path).unwrap_or_else(|_| path.into());
    let folder = path.parent().filter(|_| !is_url(&path)).and_then(|folder| folder.canonicalize().ok());
    match (folder, path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => path,
    }
}

/// Equal for two names of one file, also where one is a symbolic link to the other.
pub fn identity(path: &Path) -> PathBuf {
    let real = on_disk(path).and_then(|path| path.canonicalize().ok());
    real.unwrap_or_else(|| spelled_out(path))
}

/// Whether there is a file or folder of this name; a store has no folders.
///
/// # Errors
/// [`Error::Url`]; [`Error::Permission`] or [`Error::Io`] if a store does not answer.
pub fn exists(path: &Path) -> Result<bool> {
    match Place::of(path)? {
        Place::Disk(path) => Ok(path.exists()),
        Place::Store(object) => object.exists().map_err(|error| Error::io(path, error)),
    }
}

/// A file or folder in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path.
    pub path: PathBuf,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// When it was written, where that is known.
    pub modified: Option<SystemTime>,
}

impl From<stormfire_store::Entry> for Entry {
    fn from(entry: stormfire_store::Entry) -> Self {
        let stormfire_store::Entry { path, is_folder, modified } = entry;
        Self { path, is_folder, modified }
    }
}

impl Entry {
    /// Whether it has the extension of a checkpoint.
    pub fn is_checkpoint(&self) -> bool {
        !self.is_folder && self.path.extension().is_some_and(|extension| extension == "ckpt")
    }
}

/// What lies in a folder, in no order; nothing if there is no such folder.
///
/// # Errors
/// As [`exists`]; also what the operating system says.
pub fn list(folder: &Path) -> Result<Vec<Entry>> {
    match Place::of(folder)? {
        Place::Disk(on_disk) => match list_disk(&on_disk) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed.map_err(|error| Error::io(folder, error)),
        },
        // It is the bucket that is missing.
        Place::Store(object) => {
            let listed = object.list().map_err(|error| Error::while_writing(folder, 0, error))?;
            Ok(listed.into_iter().map(Entry::from).collect())
        }
    }
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
        if entry.is_checkpoint() {
            found.push(entry);
        } else if entry.is_folder && depth > 0 {
            found.extend(checkpoints(&entry.path, depth - 1)?);
        }
    }
    Ok(found)
}

fn list_disk(folder: &Path) -> io::Result<Vec<Entry>> {
    let entry = |entry: fs::DirEntry| {
        let path = entry.path();
        let metadata = fs::metadata(&path).ok();
        let modified = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
        Entry { path, is_folder: metadata.is_some_and(|metadata| metadata.is_dir()), modified }
    };
    fs::read_dir(folder)?.map(|found| found.map(entry)).collect()
}

/// Whether files could be written into a folder, or the folder be made, by making a file there and removing it again. A folder that
/// is not there is not made. A store is not asked.
///
/// # Errors
/// As [`write()`](crate::write()).
pub fn check_writable(folder: &Path) -> Result<()> {
    match Place::of(folder)? {
        Place::Disk(on_disk) => place::check_writable(&on_disk).map_err(|error| Error::while_writing(folder, 0, error)),
        Place::Store(_) => Ok(()),
    }
}

/// Removes a file; it is no error if there is none.
///
/// # Errors
/// As [`list`].
pub fn remove(path: &Path) -> Result<()> {
    let removed = match Place::of(path)? {
        Place::Disk(path) => fs::remove_file(path),
        Place::Store(object) => object.remove(),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(path, error)),
        _ => Ok(()),
    }
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
    let written = match Place::of(path)? {
        Place::Disk(path) => place::place(&path, write),
        Place::Store(object) => object.write(len, write),
    };
    written.map_err(|error| Error::while_writing(path, len, error))
}

/// What a file holds, and how many bytes that are.
pub(crate) fn open(path: &Path) -> Result<(Reader, u64)> {
    let io = |error| Error::io(path, error);
    match Place::of(path)? {
        Place::Disk(on_disk) => {
            // Looked at before it is opened: to open a pipe is to wait for somebody who writes.
            let metadata = fs::metadata(&on_disk).map_err(io)?;
            if !metadata.is_file() {
                let kind = if metadata.is_dir() { FileKind::Folder } else { FileKind::Special };
                return Err(Error::NotACheckpoint { path: path.into(), kind });
            }
            let file = File::open(on_disk).map_err(io)?;
            Ok((Box::new(BufReader::with_capacity(CHUNK, file)), metadata.len()))
        }
        Place::Store(object) => object.open().map_err(io),
    }
}

/// Gives a file a second name: as a hard link where there are such links, else as a copy, also from a disk to a store and
/// back. Replaces what has that name.
///
/// # Errors
/// [`Error::NotFound`] for `from`; for `to` as [`write()`](crate::write()).
pub fn link_or_copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
    let (from, to) = (from.as_ref(), to.as_ref());
    match (Place::of(from)?, Place::of(to)?) {
        (Place::Disk(from), Place::Disk(to)) => return place::link_or_copy(&from, &to),
        (Place::Store(object), Place::Store(copy)) if object.copy_within(&copy).map_err(|error| Error::io(from, error))? => return Ok(()),
        _ => {}
    }
    let (mut reader, len) = open(from)?;
    write(to, len, |mut out| io::copy(&mut reader, &mut out).map(drop))
}

/// Makes `link` a symbolic link to `target`, or a second name or a copy of it where there are no such links, as in a store.
/// Replaces the link or the file that was there. The link is relative: both can be moved together.
///
/// # Errors
/// [`Error::NotFound`] for `target`; for `link` as [`write()`](crate::write()).
pub fn symlink_or_copy(target: impl AsRef<Path>, link: impl AsRef<Path>) -> Result<()> {
    match (Place::of(target.as_ref())?, Place::of(link.as_ref())?) {
        (Place::Disk(target), Place::Disk(link)) => place::symlink_or_copy(&target, &link),
        _ => link_or_copy(target, link),
    }
}
