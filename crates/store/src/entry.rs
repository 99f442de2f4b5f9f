//! Entries of a folder, and readers of objects.

use std::io::BufRead;
use std::path::PathBuf;
use std::time::SystemTime;

/// A reader of an object.
pub type Reader = Box<dyn BufRead + Send>;

/// An entry of a folder: a file or a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The path.
    pub path: PathBuf,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// The time of the last write, if known.
    pub modified: Option<SystemTime>,
}
