//! Atomic replacement of files on a disk. A reader finds the old file or the new one, never a partial one, even after a
//! crash of the machine.
//!
//! A new file is written under a temporary name in the same folder, synced, and renamed. Its writer holds a lock on it
//! until the rename. The operating system releases the lock when the process dies. So a temporary file that can be
//! locked is a leftover ([`remove_leftovers`]).

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use tempfile::{NamedTempFile, TempPath};

use crate::{
    error::at,
    folder::{self, recreate},
};

const PREFIX: &str = ".saving-";

/// The normal permissions. A temporary file is private by default.
pub(crate) const NORMAL: u32 = 0o666;

/// A new file that atomically replaces another when it is complete.
pub struct Replacement {
    file: BufWriter<NamedTempFile>,
    path: PathBuf,
}

impl Replacement {
    /// Creates a replacement with the normal permissions.
    pub fn new(path: &Path) -> io::Result<Self> {
        Self::with_mode(path, NORMAL)
    }

    /// Creates a replacement that only its owner can read.
    pub fn private(path: &Path) -> io::Result<Self> {
        Self::with_mode(path, 0o600)
    }

    fn with_mode(path: &Path, mode: u32) -> io::Result<Self> {
        let folder = folder::of(path);
        let file = locked_file(folder, mode).or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            recreate(folder)?;
            locked_file(folder, mode)
        });
        let file = file.map_err(|error| at(path, "create a temporary file for", &error))?;
        Ok(Self { file: BufWriter::with_capacity(1 << 16, file), path: path.to_owned() })
    }

    /// The number of bytes written so far.
    pub fn written(&mut self) -> io::Result<u64> {
        self.file.stream_position()
    }

    /// Writes a value as JSON and commits the file.
    ///
    /// # Errors
    /// Those of [`Replacement::commit`], and an error if the value cannot be written as JSON.
    pub fn commit_json(mut self, value: &impl serde::Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self, value).map_err(io::Error::from)?;
        self.commit().map(drop)
    }

    /// Writes the whole content and commits the file.
    ///
    /// # Errors
    /// Those of [`Replacement::commit`], and of writing.
    pub fn commit_bytes(mut self, content: &[u8]) -> io::Result<()> {
        self.write_all(content)?;
        self.commit().map(drop)
    }

    /// Makes the content durable and renames the file to its final name. Returns the open file.
    pub fn commit(self) -> io::Result<File> {
        let Self { file, path } = self;
        let file = file.into_inner().map_err(|error| at(&path, "write", error.error()))?;
        file.as_file().sync_all().map_err(|error| at(&path, "write", &error))?;
        put_in_place(file, &path).map_err(|error| at(&path, "replace", &error))
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).map_err(|error| at(&self.path, "write", &error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush().map_err(|error| at(&self.path, "write", &error))
    }
}

impl Seek for Replacement {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to).map_err(|error| at(&self.path, "write", &error))
    }
}

/// Creates a file under a temporary name. The file is locked.
pub(crate) fn locked_file(folder: &Path, mode: u32) -> io::Result<NamedTempFile> {
    const TRIES: usize = 8;
    for _ in 0..TRIES {
        let file = builder(mode).tempfile_in(folder)?;
        // Between the two calls, another writer may have taken the file for a leftover.
        if !matches!(file.as_file().try_lock(), Err(TryLockError::WouldBlock)) && file.path().exists() {
            return Ok(file);
        }
    }
    Err(io::Error::other("another process removes the temporary files as soon as they are created"))
}

/// Renames a complete file to its final name, and makes the name durable. Returns the open file.
pub(crate) fn put_in_place(file: NamedTempFile, path: &Path) -> io::Result<File> {
    // The lock ends after the temporary name was removed.
    let (file, name) = file.into_parts();
    rename(name, path)?;
    let _ = file.unlock();
    Ok(file)
}

/// Renames a complete file whose content is durable. It replaces an existing file of that name. The name is durable
/// when this returns.
///
/// # Errors
/// Those of the operating system, with the path.
pub fn rename_durably(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to).and_then(|()| folder::sync(folder::of(to))).map_err(|error| at(to, "replace", &error))
}

/// Gives an existing file another name, through a temporary name.
pub(crate) fn name_again(path: &Path, make: impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    rename(builder(NORMAL).make_in(folder::of(path), make)?.into_temp_path(), path)
}

fn rename(name: TempPath, path: &Path) -> io::Result<()> {
    let old = name.to_path_buf();
    name.persist(path).map_err(|error| error.error)?;
    // In POSIX, renaming one name of a file to another name of the same file does nothing.
    let _ = fs::remove_file(old);
    folder::sync(folder::of(path))
}

#[cfg_attr(not(unix), expect(unused_variables, reason = "there are no modes"))]
fn builder(mode: u32) -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).rand_bytes(12);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    builder
}

/// Removes the temporary files of killed processes in a folder. A failure only leaves more entries there.
pub fn remove_leftovers(folder: &Path) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_in_progress_is_not_a_leftover() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hparams.yaml");
        let mut file = Replacement::private(&path).unwrap();
        fs::write(folder.path().join(".saving-killed"), "half").unwrap();
        file.write_all(b"lr: 1").unwrap();
        remove_leftovers(folder.path());
        let committed = file.commit().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "lr: 1");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        // The lock of the temporary name must not stay on the file.
        File::open(&path).unwrap().try_lock().unwrap();
        drop(committed);
    }
}
