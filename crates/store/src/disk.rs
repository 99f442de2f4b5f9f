//! The part of [`files`](crate::files) for disks: durable files and links to them.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::error::{Error, Result};
use crate::folder;
use crate::replacement::{self, NORMAL, locked_file, put_in_place, remove_leftovers};

mod early_sync;
mod freeing;
#[cfg(test)]
mod tests;

/// [`crate::files::link_or_copy`] on disks.
pub(crate) fn link_or_copy(from: &Path, to: &Path) -> Result<()> {
    // A hard link to a symbolic link would be another symbolic link.
    let (from, source) = open_to_link(from)?;
    match name_again(to, |name| fs::hard_link(&from, name)) {
        Ok(()) => Ok(()),
        Err(_) => copy(&source, to),
    }
}

fn copy(mut source: &File, to: &Path) -> Result<()> {
    let size = source.metadata().map_or(0, |metadata| metadata.len());
    let copied = put(to, |mut file| io::copy(&mut source, &mut file).map(drop));
    copied.map_err(|error| Error::write(to, size, error))
}

/// [`crate::files::symlink_or_copy`] on disks.
pub(crate) fn symlink_or_copy(target: &Path, link: &Path) -> Result<()> {
    let (real, _lock) = open_to_link(target)?;
    let folder = folder::create(folder::of(link)).and_then(|()| fs::canonicalize(folder::of(link)));
    let folder = folder.map_err(|error| Error::write(link, 0, error))?;
    if link.file_name().is_some_and(|name| folder.join(name) == real) {
        return Ok(());
    }
    let text = way(&folder, &real);
    match name_again(link, |name| symlink(&text, name)) {
        Ok(()) => Ok(()),
        Err(_) => link_or_copy(&real, link),
    }
}

/// The relative path from a folder to a file, both absolute.
fn way(folder: &Path, file: &Path) -> PathBuf {
    let shared = folder.components().zip(file.components()).take_while(|(a, b)| a == b).count();
    let up = folder.components().skip(shared).map(|_| Path::new(".."));
    up.chain(file.components().skip(shared).map(|part| Path::new(part.as_os_str()))).collect()
}

/// The real path of a file, and the open file. A shared lock keeps other processes from removing it as a leftover, in
/// case the path is a temporary name.
fn open_to_link(path: &Path) -> Result<(PathBuf, File)> {
    let io = |error| Error::read(path, error);
    let real = fs::canonicalize(path).map_err(io)?;
    let file = File::open(&real).map_err(io)?;
    // Without support for locks, no process removes leftovers either.
    let _ = file.lock_shared();
    Ok((real, file))
}

#[cfg(unix)]
fn symlink(text: &Path, name: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(text, name)
}

#[cfg(windows)]
fn symlink(text: &Path, name: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(text, name)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Writes a file and renames it to its final name.
pub(crate) fn put(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let folder = folder::of(path);
    folder::create(folder)?;
    remove_leftovers(folder);
    freeing::wait();
    let file = locked_file(folder, NORMAL)?;
    early_sync::write_and_sync(file.as_file(), write)?;
    let old = freeing::hold(path);
    put_in_place(file, path)?;
    freeing::free(old);
    Ok(())
}

fn name_again(path: &Path, make: impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    folder::create(folder::of(path))?;
    replacement::name_again(path, make)
}

/// [`crate::files::check_writable`] on disks.
pub(crate) fn check_writable(folder: &Path) -> io::Result<()> {
    let there = existing(folder);
    require_folder(there)?;
    check_missing(there, folder)?;
    locked_file(there, NORMAL).map(drop)
}

/// [`crate::files::check_names`] on disks.
pub(crate) fn check_names(file: &Path) -> io::Result<()> {
    let there = existing(file);
    if there != file {
        require_folder(there)?;
    }
    check_missing(there, file)
}

/// The part of a path that exists.
fn existing(path: &Path) -> &Path {
    path.ancestors().find(|part| part.symlink_metadata().is_ok()).unwrap_or(Path::new("."))
}

fn require_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::NotADirectory, format!("`{}` is not a folder", path.display())))
}

/// Refuses names below an existing folder that its file system cannot store, such as one that is too long.
fn check_missing(there: &Path, path: &Path) -> io::Result<()> {
    path.strip_prefix(there).unwrap_or(path).components().try_for_each(|name| match there.join(name).symlink_metadata() {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    })
}
