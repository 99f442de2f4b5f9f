//! Files that are replaced as a whole.

use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::at;
use crate::folder::{make_anew, of};
use crate::names;

/// A new file that atomically replaces another when it is complete.
pub struct Replacement {
    file: BufWriter<NamedTempFile>,
    path: PathBuf,
}

impl Replacement {
    /// Creates a replacement with the normal permissions.
    pub fn new(path: &Path) -> io::Result<Self> {
        Self::with_mode(path, 0o666)
    }

    /// Creates a replacement that only its owner can read.
    pub fn private(path: &Path) -> io::Result<Self> {
        Self::with_mode(path, 0o600)
    }

    #[cfg_attr(not(unix), expect(unused_variables, reason = "there are no modes"))]
    fn with_mode(path: &Path, mode: u32) -> io::Result<Self> {
        let (folder, prefix) = place(path);
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
        let file = builder.tempfile_in(folder).or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            make_anew(folder)?;
            builder.tempfile_in(folder)
        });
        let file = file.map_err(|error| at(path, "create a file beside", &error))?;
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

    /// Makes the content durable and renames the file to its final name. Returns the open file.
    pub fn commit(self) -> io::Result<std::fs::File> {
        let Self { file, path } = self;
        let file = file.into_inner().map_err(|error| at(&path, "write", error.error()))?;
        file.as_file().sync_all().map_err(|error| at(&path, "write", &error))?;
        file.persist(&path).map_err(|error| at(&path, "replace", &error.error))
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

/// Removes the leftovers of a replacement after a kill. Only for a file that no other process writes.
pub fn clear(path: &Path) {
    let (folder, prefix) = place(path);
    remove(folder, |name| name.starts_with(&prefix));
}

/// As [`clear`], for all files of a folder that no other process writes to.
pub fn clear_all(folder: &Path) {
    remove(folder, |name| name.starts_with('.') && name.contains(REPLACEMENT));
}

fn remove(folder: &Path, is_left: impl Fn(&str) -> bool) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if is_left(&entry.file_name().to_string_lossy()) {
            // A leftover does no harm.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The marker in the names of temporary files.
const REPLACEMENT: &str = ".new-";

/// The folder of a file, and the prefix of the names of its replacements.
fn place(path: &Path) -> (&Path, String) {
    let folder = of(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // The prefix must leave room for the suffix, even if the name has the maximum length.
    let name = names::fit(&name, names::FILE, |_| true);
    (folder, format!(".{name}{REPLACEMENT}"))
}
