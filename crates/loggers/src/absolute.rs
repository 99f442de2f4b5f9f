//! Folders that stay where they are, wherever the process goes.

use std::io;
use std::path::{Path, PathBuf};

/// The absolute path of a folder; of an empty one that of the current folder.
pub(crate) fn absolute(folder: &Path) -> io::Result<PathBuf> {
    std::path::absolute(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
}
