//! Files that are replaced as a whole.

use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::at;
use crate::folder::{make_anew, of};
use crate::names;

/// A file that takes another's place in one instant when it is complete.
pub struct Replacement {
    file: BufWriter<NamedTempFile>,
    path: PathBuf,
}

impl Replacement {
    /// One that is as readable as any file that the user makes.
    pub fn new(path: &Path) -> io::Result<Self> {
        Self::with_mode(path, 0o666)
    }

    /// One that only its owner may read.
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

    /// The number of bytes that were written.
    pub fn written(&mut self) -> io::Result<u64> {
        self.file.stream_position()
    }

    /// Writes a value as JSON, and puts it in place.
    ///
    /// # Errors
    /// As [`Replacement::commit`], and what the value says that cannot be JSON.
    pub fn commit_json(mut self, value: &impl serde::Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self, value).map_err(io::Error::from)?;
        self.commit().map(drop)
    }

    /// Makes the content durable and puts it in place. The open file is returned.
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

/// Removes what a kill left of a replacement. Only for a file that no other process writes.
pub fn clear(path: &Path) {
    let (folder, prefix) = place(path);
    remove(folder, |name| name.starts_with(&prefix));
}

/// As [`clear`] for all files of a folder that nobody else writes to.
pub fn clear_all(folder: &Path) {
    remove(folder, |name| name.starts_with('.') && name.contains(REPLACEMENT));
}

fn remove(folder: &Path, is_left: impl Fn(&str) -> bool) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if is_left(&entry.file_name().to_string_lossy()) {
            // It does no harm where it is.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// In the names of files that are to take the place of others.
const REPLACEMENT: &str = ".new-";

/// The folder of a file, and how the names of its replacements begin.
fn place(path: &Path) -> (&Path, String) {
    let folder = of(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // There has to be room for what is added to a name that is as long as a name may be.
    let name = names::fit(&name, names::FILE, |_| true);
    (folder, format!(".{name}{REPLACEMENT}"))
}
