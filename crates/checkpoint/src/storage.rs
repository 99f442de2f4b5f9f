//! Checkpoint files on a disk or behind a URL: the few things that are done with them.
//!
//! A path is a URL if its text begins with a scheme and `://`. `s3://bucket/key`, `gs://bucket/key` and
//! `az://container/key` name an object in a store, which needs the cargo feature `remote`; what follows the bucket is the
//! key as it stands, without escapes. `file:///folder` is the folder `/folder`. `memory://name/key` is gone with the process:
//! it is for tests.
//!
//! A [`PathBuf`] keeps the text of a URL, and `join`, `parent` and `starts_with` do what one would hope; nothing in
//! [`std::fs`] does. A store has no folders: a key has a name up to each of its slashes, and nothing needs to be made.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{Error, FileKind, Result, encode::CHUNK, place};

#[cfg(any(test, not(feature = "remote")))]
#[cfg_attr(feature = "remote", expect(dead_code, reason = "a test looks at its error"))]
mod absent;
#[cfg(feature = "remote")]
mod remote;
#[cfg(test)]
mod tests;

#[cfg(not(feature = "remote"))]
use absent::Object;
#[cfg(feature = "remote")]
use remote::Object;

/// What a file is read with.
pub(crate) type Reader = Box<dyn BufRead + Send>;

/// Where a path leads.
enum Place {
    Disk(PathBuf),
    Store(Object),
}

impl Place {
    fn of(path: &Path) -> Result<Self> {
        match split(path) {
            None => Ok(Self::Disk(path.into())),
            Some(("file", folder)) => from_file_url(folder).map(Self::Disk),
            Some((scheme, rest)) => {
                let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
                check_bucket(scheme, bucket)?;
                Object::new(scheme, bucket, key).map(Self::Store)
            }
        }
    }
}

/// The scheme of a URL and what follows `://`.
fn split(path: &Path) -> Option<(&str, &str)> {
    let (scheme, rest) = path.to_str()?.split_once("://")?;
    let is_scheme = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_scheme.then_some((scheme, rest))
}

fn from_file_url(folder: &str) -> Result<PathBuf> {
    // `file:///C:/runs`
    let path = if cfg!(windows) { folder.trim_start_matches('/') } else { folder };
    if Path::new(path).is_absolute() {
        return Ok(path.into());
    }
    Err(Error::Url {
        url: format!("file://{folder}"),
        reason: "it is no absolute path".into(),
        hint: "write three slashes, as in `file:///home/me/runs`, or the path alone".into(),
    })
}

fn check_bucket(scheme: &str, bucket: &str) -> Result<()> {
    const KNOWN: [&str; 4] = ["s3", "gs", "az", "memory"];
    let error = |reason: &str, hint: &str| {
        // Never with a bucket that is none: somebody may have written a password there.
        Err(Error::Url { url: format!("{scheme}://…"), reason: reason.into(), hint: hint.into() })
    };
    if !KNOWN.contains(&scheme) {
        return error("the scheme is not known", "use `s3://`, `gs://`, `az://`, `file://` or the path of a folder");
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if bucket.is_empty() || !bucket.bytes().all(is_plain) {
        return error("it names no bucket", "write it as `s3://bucket/folder`; credentials come from the environment");
    }
    Ok(())
}

/// The path on this machine's disks: the path itself, that of a `file://` URL, or `None` for a URL of a store.
pub fn on_disk(path: &Path) -> Option<&Path> {
    match split(path) {
        None => Some(path),
        Some(("file", folder)) => Some(Path::new(if cfg!(windows) { folder.trim_start_matches('/') } else { folder })),
        Some(_) => None,
    }
}

/// Whether a path is the URL of something in a store.
pub fn is_url(path: &Path) -> bool {
    on_disk(path).is_none()
}

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
        Place::Store(object) => object.list().map_err(|error| Error::while_writing(folder, 0, error)),
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
            let file = File::open(on_disk).map_err(io)?;
            let metadata = file.metadata().map_err(io)?;
            if metadata.is_dir() {
                return Err(Error::NotACheckpoint { path: path.into(), kind: FileKind::Folder });
            }
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
