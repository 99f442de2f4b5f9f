//! Atomic replacement of files on a disk. A reader finds the old file or the new one, never a partial one, even after a
//! crash of the machine.
//!
//! A new file is written under a temporary name in the same folder, synced, and renamed. Its writer holds a lock on it
//! until the rename. The operating system releases the lock when the process dies. So a temporary file that can be
//! locked is a leftover, and the next save removes it.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use tempfile::{NamedTempFile, TempPath};

use crate::error::{Error, Result};
use crate::folder;

mod early_sync;
#[cfg(test)]
mod tests;

const PREFIX: &str = ".saving-";

/// [`crate::files::link_or_copy`] on disks.
pub(crate) fn link_or_copy(from: &Path, to: &Path) -> Result<()> {
    // A hard link to a symbolic link would be another symbolic link.
    let (from, source) = open_to_link(from)?;
    match name_anew(to, |name| fs::hard_link(&from, name)) {
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
    let folder = create_folder(folder::of(link)).and_then(|()| fs::canonicalize(folder::of(link)));
    let folder = folder.map_err(|error| Error::write(link, 0, error))?;
    if link.file_name().is_some_and(|name| folder.join(name) == real) {
        return Ok(());
    }
    let text = way(&folder, &real);
    match name_anew(link, |name| symlink(&text, name)) {
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
    create_folder(folder)?;
    remove_leftovers(folder);
    let file = locked_file(folder)?;
    early_sync::write_and_sync(file.as_file(), write)?;
    // The lock ends when the file is closed, after the temporary name is gone.
    let (file, name) = file.into_parts();
    let placed = rename(name, path);
    drop(file);
    placed
}

/// Gives an existing file another name, through a temporary name.
fn name_anew(path: &Path, make: impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    let folder = folder::of(path);
    create_folder(folder)?;
    rename(builder().make_in(folder, make)?.into_temp_path(), path)
}

fn rename(name: TempPath, path: &Path) -> io::Result<()> {
    let old = name.to_path_buf();
    name.persist(path).map_err(|error| error.error)?;
    // By POSIX, renaming one name of a file to another name of the same file does nothing.
    let _ = fs::remove_file(old);
    sync_folder(folder::of(path))
}

fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).rand_bytes(12);
    // A temporary file is private by default. A checkpoint has the normal permissions.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
}

fn locked_file(folder: &Path) -> io::Result<NamedTempFile> {
    const TRIES: usize = 8;
    for _ in 0..TRIES {
        let file = builder().tempfile_in(folder)?;
        // Between the two calls, another writer may have taken the file for a leftover.
        if !matches!(file.as_file().try_lock(), Err(TryLockError::WouldBlock)) && file.path().exists() {
            return Ok(file);
        }
    }
    Err(io::Error::other("another process removes the temporary files as soon as they are created"))
}

/// Removes the temporary files of killed processes. A failure only leaves more entries in the folder.
fn remove_leftovers(folder: &Path) {
    let is_ours = |name: &OsStr| name.to_str().is_some_and(|name| name.starts_with(PREFIX));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| is_ours(&entry.file_name())) {
        // The lock is held until the name is removed. The writer may have just created the file. It checks after
        // locking whether the file still exists.
        let file = OpenOptions::new().read(true).write(true).open(entry.path());
        let is_left = match &file {
            Ok(file) => file.try_lock().is_ok(),
            // A symbolic link to a file that was removed.
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if is_left && fs::remove_file(entry.path()).is_ok() {
            tracing::debug!("removed `{}`, an unfinished file of a process that ended", entry.path().display());
        }
    }
}

/// [`crate::files::check_writable`] on disks.
pub(crate) fn check_writable(folder: &Path) -> io::Result<()> {
    let is_there = |path: &&Path| path.symlink_metadata().is_ok();
    let there = folder.ancestors().find(is_there).unwrap_or(Path::new("."));
    if !there.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, format!("`{}` is no folder", there.display())));
    }
    builder().tempfile_in(there).map(drop)
}

/// Creates a folder and its parents. All of them are durable afterwards.
fn create_folder(folder: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
    fs::create_dir_all(folder)
        .map_err(|error| io::Error::new(error.kind(), format!("failed to create directory `{}`: {error}", folder.display())))?;
    missing.into_iter().try_for_each(|created| sync_folder(folder::of(created)))
}

/// Makes new names in a folder durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    match File::open(folder)?.sync_all() {
        // Some network file systems do not support it.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {}
        synced => synced?,
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}
