//! Files on a disk or behind a URL: the few things that are done with them.

use std::{
    fs::{self, File},
    io::{self, BufReader, Write},
    path::{Path, PathBuf},
};

use crate::disk;
use crate::entry::{Entry, Reader};
use crate::error::{Error, Result};
use crate::place::Place;
use crate::url::{is_url, on_disk};

/// A file is read in pieces of this size.
const BUFFER: usize = 1 << 20;

/// The absolute path of a file or folder on a disk; a URL as it is, without slashes at its end.
///
/// # Errors
/// [`Error::Url`] for a URL that cannot be used; [`Error::Read`] for an empty path, or where the current folder is gone.
pub fn absolute(path: &Path) -> Result<PathBuf> {
    match Place::of(path)? {
        Place::Disk(path) => std::path::absolute(&path).map_err(|error| Error::read(path, error)),
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
/// [`Error::Url`]; [`Error::Read`] if a store does not answer.
pub fn exists(path: &Path) -> Result<bool> {
    match Place::of(path)? {
        Place::Disk(path) => Ok(path.exists()),
        Place::Store(object) => object.exists().map_err(|error| Error::read(path, error)),
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
            listed => listed.map_err(|error| Error::read(folder, error)),
        },
        // It is the bucket that is missing.
        Place::Store(object) => object.list().map_err(|source| Error::Read { path: folder.into(), source }),
    }
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
/// [`Error::Url`], [`Error::Write`].
pub fn check_writable(folder: &Path) -> Result<()> {
    match Place::of(folder)? {
        Place::Disk(on_disk) => disk::check_writable(&on_disk).map_err(|error| Error::write(folder, 0, error)),
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
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::read(path, error)),
        _ => Ok(()),
    }
}

/// Writes a file of `len` bytes, making its folder where that is missing. A reader finds the old file or the new one. When
/// this returns the file is durable.
///
/// # Errors
/// [`Error::Url`], [`Error::Write`]. Then the old file is still there.
pub fn write(path: &Path, len: u64, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let written = match Place::of(path)? {
        Place::Disk(path) => disk::put(&path, write),
        Place::Store(object) => object.write(len, write),
    };
    written.map_err(|error| Error::write(path, len, error))
}

/// What a file holds, and how many bytes that are.
///
/// # Errors
/// [`Error::Url`], [`Error::NotFound`], [`Error::NotAFile`], [`Error::Read`].
pub fn open(path: &Path) -> Result<(Reader, u64)> {
    let io = |error| Error::read(path, error);
    match Place::of(path)? {
        Place::Disk(on_disk) => {
            // Looked at before it is opened: to open a pipe is to wait for somebody who writes.
            let metadata = fs::metadata(&on_disk).map_err(io)?;
            if !metadata.is_file() {
                return Err(Error::NotAFile { path: path.into(), is_folder: metadata.is_dir() });
            }
            let file = File::open(on_disk).map_err(io)?;
            Ok((Box::new(BufReader::with_capacity(BUFFER, file)), metadata.len()))
        }
        Place::Store(object) => object.open().map_err(io),
    }
}

/// Gives a file a second name: as a hard link where there are such links, else as a copy, also from a disk to a store and
/// back. Replaces what has that name.
///
/// # Errors
/// [`Error::NotFound`] for `from`; for `to` as [`write`].
pub fn link_or_copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
    let (from, to) = (from.as_ref(), to.as_ref());
    match (Place::of(from)?, Place::of(to)?) {
        (Place::Disk(from), Place::Disk(to)) => return disk::link_or_copy(&from, &to),
        (Place::Store(object), Place::Store(copy)) if object.copy_within(&copy).map_err(|error| Error::read(from, error))? => return Ok(()),
        _ => {}
    }
    let (mut reader, len) = open(from)?;
    write(to, len, |mut out| io::copy(&mut reader, &mut out).map(drop))
}

/// Makes `link` a symbolic link to `target`, or a second name or a copy of it where there are no such links, as in a store.
/// Replaces the link or the file that was there. The link is relative: both can be moved together.
///
/// # Errors
/// [`Error::NotFound`] for `target`; for `link` as [`write`].
pub fn symlink_or_copy(target: impl AsRef<Path>, link: impl AsRef<Path>) -> Result<()> {
    match (Place::of(target.as_ref())?, Place::of(link.as_ref())?) {
        (Place::Disk(target), Place::Disk(link)) => disk::symlink_or_copy(&target, &link),
        _ => link_or_copy(target, link),
    }
}
