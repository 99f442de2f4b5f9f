//! Folders on a disk.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The folder that a file is in; `.` for a name alone.
pub fn of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The absolute path of a folder; of an empty one that of the current folder.
///
/// # Errors
/// The current folder is gone.
pub fn absolute(folder: &Path) -> io::Result<PathBuf> {
    std::path::absolute(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
}

/// Makes a folder again that somebody has removed under the run. Says so, once for each.
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
