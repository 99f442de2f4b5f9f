//! A run's folder in a store: what lies there, and where the loggers write in its stead.

use std::io;
use std::path::{Component, Path, PathBuf};

use stormfire_store::{Entry, Object, Place};

use crate::{Error, Result};

/// Below the current folder, where loggers write what goes to a store.
const LOCAL: &str = ".stormfire/logs";

/// The folder on a disk for what belongs behind a URL: the same one in every process that is started here.
pub(super) fn local(url: &Path) -> PathBuf {
    let text = url.to_string_lossy();
    Path::new(LOCAL).join(text.replacen("://", "/", 1))
}

/// The URL of the store's folder that a folder on a disk stands for, if it does.
///
/// A run of a [`RunDir`](crate::RunDir) whose `save_dir` is a URL lies in another folder on each machine, but always stands
/// for the same URL.
///
/// ```
/// use std::path::{Path, PathBuf};
/// let url = stormfire_loggers::remote_folder(Path::new("/home/me/.stormfire/logs/s3/bucket/runs/version_0"));
/// assert_eq!(url, Some(PathBuf::from("s3://bucket/runs/version_0")));
/// assert_eq!(stormfire_loggers::remote_folder(Path::new("/home/me/logs/version_0")), None);
/// ```
pub fn remote_folder(folder: &Path) -> Option<PathBuf> {
    let parts: Vec<&str> =
        folder.components().filter_map(|part| if let Component::Normal(part) = part { part.to_str() } else { None }).collect();
    let begin = parts.windows(2).position(|pair| pair == [".stormfire", "logs"])? + 2;
    let (scheme, rest) = parts[begin..].split_first()?;
    Some(PathBuf::from(format!("{scheme}://{}", rest.join("/"))))
}

fn object(url: &Path) -> Result<Object> {
    match Place::of(url).map_err(|bad| Error::Url { url: bad.url, reason: bad.reason, hint: bad.hint })? {
        Place::Store(object) => Ok(object),
        Place::Disk(path) => Err(Error::other(format!("`{}` is in no store", path.display()))),
    }
}

/// An error that names the URL, as errors of files name the path.
fn at(url: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("`{}` cannot be read or written: {error}", url.display()))
}

/// What lies in a folder of a store, without what lies deeper.
pub(super) fn list(url: &Path) -> Result<Vec<Entry>> {
    Ok(object(url)?.list().map_err(|error| at(url, &error))?)
}

/// Sends what a file holds at this moment; returns its length.
pub(super) fn upload(file: &Path, url: &Path) -> Result<u64> {
    let mut source = fs_err::File::open(file)?;
    let length = source.metadata()?.len();
    object(url)?
        .write(length, |mut out| {
            // It may grow meanwhile; one that shrinks is sent again.
            let copied = io::copy(&mut io::Read::take(&mut source, length), &mut out)?;
            if copied == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        })
        .map_err(|error| at(url, &error))?;
    Ok(length)
}

/// Removes an object; it is no error if there is none.
pub(super) fn remove(url: &Path) -> Result<()> {
    match object(url)?.remove() {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(url, &error).into()),
        _ => Ok(()),
    }
}

/// Brings the files of a run to the disk that are not there, or are longer in the store; whether there are any in the store.
///
/// A log only grows: what is shorter is older.
pub(super) fn bring_back(url: &Path, folder: &Path) -> Result<bool> {
    let mut found = false;
    for entry in list(url)? {
        let Some(name) = entry.path.file_name() else { continue };
        let here = folder.join(name);
        if super::mirror::is_left_out(name) {
            continue;
        }
        found = true;
        if entry.is_folder {
            bring_back(&entry.path, &here)?;
            continue;
        }
        let (mut reader, length) = object(&entry.path)?.open().map_err(|error| at(&entry.path, &error))?;
        if fs_err::metadata(&here).is_ok_and(|known| known.len() >= length) {
            continue;
        }
        fs_err::create_dir_all(folder)?;
        let mut file = crate::append::Replacement::new(&here)?;
        io::copy(&mut reader, &mut file).map_err(|error| at(&entry.path, &error))?;
        file.commit()?;
    }
    Ok(found)
}
