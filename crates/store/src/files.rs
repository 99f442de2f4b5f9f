//! Operations on files on a disk or behind a URL.

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

/// The size of the buffer of a reader.
const BUFFER: usize = 1 << 20;

/// The absolute path of a file or folder on a disk. A URL stays as it is, without trailing slashes.
///
/// # Errors
/// [`Error::Url`] for a URL that cannot be used. [`Error::Read`] for an empty path, or if the current directory no
/// longer exists.
pub fn absolute(path: &Path) -> Result<PathBuf> {
    match Place::of(path)? {
        Place::Disk(path) => std::path::absolute(&path).map_err(|error| Error::read(path, error)),
        Place::Store(object) => Ok(object.path()),
    }
}

/// One spelling for all spellings of a path. Links in the folder are resolved. The file itself may be a link.
pub fn spelled_out(path: &Path) -> PathBuf {
    let path = absolute(path).unwrap_or_else(|_| path.into());
    let folder = path.parent().filter(|_| !is_url(&path)).and_then(|folder| folder.canonicalize().ok());
    match (folder, path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => path,
    }
}

/// A path that is equal for two names of one file, also if one is a symbolic link to the other.
pub fn identity(path: &Path) -> PathBuf {
    let real = on_disk(path).and_then(|path| path.canonicalize().ok());
    real.unwrap_or_else(|| spelled_out(path))
}

/// Whether a file or folder of this name exists. A store has no folders.
///
/// # Errors
/// [`Error::Url`]; [`Error::Read`] if a store does not answer.
pub fn exists(path: &Path) -> Result<bool> {
    match Place::of(path)? {
        Place::Disk(path) => Ok(path.exists()),
        Place::Store(object) => object.exists().map_err(|error| Error::read(path, error)),
    }
}

/// Lists the entries of a folder, in no particular order. A folder that does not exist has no entries.
///
/// # Errors
/// As [`exists`], and errors of the operating system.
pub fn list(folder: &Path) -> Result<Vec<Entry>> {
    match Place::of(folder)? {
        Place::Disk(on_disk) => match list_disk(&on_disk) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed.map_err(|error| Error::read(folder, error)),
        },
        // `NotFound` means here that the bucket is missing.
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

/// Checks that files can be written into a folder, or that the folder can be created. The check creates a file and
/// removes it again. It does not create a missing folder, and it does not contact a store.
///
/// # Errors
/// [`Error::Url`], [`Error::Write`].
pub fn check_writable(folder: &Path) -> Result<()> {
    match Place::of(folder)? {
        Place::Disk(on_disk) => disk::check_writable(&on_disk).map_err(|error| Error::write(folder, 0, error)),
        Place::Store(_) => Ok(()),
    }
}

/// Checks that the path of a file has names that the file system can store, and passes through no other file. Writes
/// nothing. In a store, nothing is checked.
///
/// # Errors
/// [`Error::Url`], [`Error::Write`].
pub fn check_names(file: &Path) -> Result<()> {
    match Place::of(file)? {
        Place::Disk(on_disk) => disk::check_names(&on_disk).map_err(|error| Error::write(file, 0, error)),
        Place::Store(_) => Ok(()),
    }
}

/// Removes a file. A missing file is not an error.
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

/// Writes a file of `len` bytes and creates its folder if needed. A reader finds the old file or the new one. The file
/// is durable when this returns.
///
/// # Errors
/// [`Error::Url`], [`Error::Write`]. In both cases the old file remains.
pub fn write(path: &Path, len: u64, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let written = match Place::of(path)? {
        Place::Disk(path) => disk::put(&path, write),
        Place::Store(object) => object.write(len, write),
    };
    written.map_err(|error| Error::write(path, len, error))
}

/// Opens a file. Returns a reader and the length in bytes.
///
/// # Errors
/// [`Error::Url`], [`Error::NotFound`], [`Error::NotAFile`], [`Error::Read`].
pub fn open(path: &Path) -> Result<(Reader, u64)> {
    match Place::of(path)? {
        Place::Disk(on_disk) => {
            let (file, len) = open_on_disk(&on_disk)?;
            Ok((Box::new(BufReader::with_capacity(BUFFER, file)), len))
        }
        Place::Store(object) => object.open().map_err(|error| Error::read(path, error)),
    }
}

/// Opens a file on a disk. Returns it with its length in bytes.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotAFile`], [`Error::Read`].
pub fn open_on_disk(path: &Path) -> Result<(File, u64)> {
    let io = |error| Error::read(path, error);
    // Checked before opening, because opening a pipe would wait for a writer.
    let metadata = fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        return Err(Error::NotAFile { path: path.into(), is_folder: metadata.is_dir() });
    }
    Ok((File::open(path).map_err(io)?, metadata.len()))
}

/// Gives a file a second name: a hard link if the file system supports it, else a copy. Also copies from a disk to a
/// store and back. Replaces an existing file of that name.
///
/// # Errors
/// [`Error::NotFound`] for `from`. For `to`, those of [`write()`].
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

/// Makes `link` a symbolic link to `target`. Where symbolic links are not supported, as in a store, it becomes a second
/// name or a copy. Replaces an existing link or file. The link is relative, so both can be moved together.
///
/// # Errors
/// [`Error::NotFound`] for `target`. For `link`, those of [`write()`].
pub fn symlink_or_copy(target: impl AsRef<Path>, link: impl AsRef<Path>) -> Result<()> {
    match (Place::of(target.as_ref())?, Place::of(link.as_ref())?) {
        (Place::Disk(target), Place::Disk(link)) => disk::symlink_or_copy(&target, &link),
        _ => link_or_copy(target, link),
    }
}
