//! What lies in a folder, and what it is read with.

use std::io::BufRead;
use std::path::PathBuf;
use std::time::SystemTime;

/// A reader of an object.
pub type Reader = Box<dyn BufRead + Send>;

/// An entry of a folder: a file or a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path.
    pub path: PathBuf,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// When it was written, if that is known.
    pub modified: Option<SystemTime>,
}
