//! A file that another process may extend, truncate or replace.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The number of bytes before the position that are compared to detect another file.
const ANCHOR: usize = 64;

/// The change of the file since the last call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Its time and length are the same.
    None,
    /// It may have new bytes.
    Grown,
    /// It no longer contains the bytes that were read.
    Replaced,
    /// It does not exist, or cannot be read.
    Missing,
}

/// A file that is read from its start to its growing end.
#[derive(Debug)]
pub(super) struct Growing {
    pub(super) path: PathBuf,
    /// The next unread byte.
    pub(super) position: u64,
    /// The length at the last check.
    pub(super) length: u64,
    pub(super) modified: Option<SystemTime>,
    identity: Option<u64>,
    anchor: Vec<u8>,
}

impl Growing {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, position: 0, length: 0, modified: None, identity: None, anchor: Vec::new() }
    }

    /// Compares the file with the last check.
    pub(super) fn check(&mut self) -> Change {
        let Ok(metadata) = std::fs::metadata(&self.path) else {
            self.length = self.position;
            return Change::Missing;
        };
        let (length, modified, identity) = (metadata.len(), metadata.modified().ok(), Some(identity(&metadata)));
        let is_same = (self.length, self.modified, self.identity) == (length, modified, identity);
        let is_other = self.identity.is_some() && self.identity != identity || length < self.position;
        (self.length, self.modified, self.identity) = (length, modified, identity);
        if is_same {
            Change::None
        } else if is_other || !self.is_anchored() {
            Change::Replaced
        } else {
            Change::Grown
        }
    }

    /// Whether the bytes before the position are those that were read.
    fn is_anchored(&self) -> bool {
        let mut bytes = Vec::new();
        let start = self.position.saturating_sub(self.anchor.len() as u64);
        self.anchor.is_empty() || (read_at(&self.path, start, self.anchor.len(), &mut bytes).is_ok() && bytes == self.anchor)
    }

    /// Starts again at the first byte.
    pub(super) fn rewind(&mut self) {
        self.position = 0;
        self.anchor.clear();
    }

    /// Reads at most `most` bytes from the position.
    pub(super) fn read(&self, most: usize, into: &mut Vec<u8>) -> io::Result<()> {
        read_at(&self.path, self.position, most, into)
    }

    /// Moves the position forward, so that `bytes` are left.
    pub(super) fn skip_to_end(&mut self, bytes: u64) {
        self.position = self.length.saturating_sub(bytes);
        self.anchor.clear();
    }

    /// Moves the position past `bytes`, which were read there.
    pub(super) fn advance(&mut self, bytes: &[u8]) {
        self.position += bytes.len() as u64;
        if !bytes.is_empty() {
            self.anchor = bytes[bytes.len().saturating_sub(ANCHOR)..].to_vec();
        }
    }

    pub(super) fn left(&self) -> u64 {
        self.length.saturating_sub(self.position)
    }
}

/// Reads at most `most` bytes from `start`.
pub(super) fn read_at(path: &Path, start: u64, most: usize, into: &mut Vec<u8>) -> io::Result<()> {
    into.clear();
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    file.take(most as u64).read_to_end(into).map(drop)
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn identity(metadata: &Metadata) -> u64 {
    let created = metadata.created().ok().and_then(|created| created.duration_since(SystemTime::UNIX_EPOCH).ok());
    created.map_or(0, |created| created.as_nanos() as u64)
}
