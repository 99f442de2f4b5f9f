//! What lies in a folder, and what it is read with.

use std::io::BufRead;
use std::path::PathBuf;
use std::time::SystemTime;

/// What an object is read with.
pub type Reader = Box<dyn BufRead + Send>;

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
