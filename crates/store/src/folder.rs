//! Folders on a disk.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The folder of a file. It is `.` for a bare file name.
pub fn of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The absolute path of a folder. An empty path means the current directory.
///
/// # Errors
/// Fails if the current directory no longer exists.
pub fn absolute(folder: &Path) -> io::Result<PathBuf> {
    std::path::absolute(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
}

/// Recreates a folder that was removed during the run. Logs a warning once per folder.
pub fn make_anew(folder: &Path) -> io::Result<()> {
    static SAID: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    std::fs::create_dir_all(folder)?;
    if SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned()) {
        tracing::warn!(
            "somebody has removed `{}` under the run, or files in it: what the loggers had open is written there again, the rest is lost",
            folder.display()
        );
    }
    Ok(())
}
