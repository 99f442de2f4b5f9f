//! A disk with limited capacity, for tests.

use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::append::Target;

/// A file on a disk of limited capacity. Clones are handles of the same file.
#[derive(Clone, Debug, Default)]
pub struct SmallDisk {
    /// The content of the disk.
    pub bytes: Arc<Mutex<Vec<u8>>>,
    /// The capacity in bytes.
    pub capacity: Arc<Mutex<usize>>,
    at: usize,
}

impl Write for SmallDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (mut disk, capacity) =
            (self.bytes.lock().unwrap_or_else(PoisonError::into_inner), *self.capacity.lock().unwrap_or_else(PoisonError::into_inner));
        let taken = bytes.len().min(capacity.saturating_sub(self.at));
        if taken == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let end = self.at + taken;
        if disk.len() < end {
            disk.resize(end, 0);
        }
        disk[self.at..end].copy_from_slice(&bytes[..taken]);
        self.at = end;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for SmallDisk {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(at) = to else { return Err(io::ErrorKind::Unsupported.into()) };
        self.at = at as usize;
        Ok(at)
    }
}

impl Target for SmallDisk {
    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).resize(len as usize, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn put_back(&mut self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
}
