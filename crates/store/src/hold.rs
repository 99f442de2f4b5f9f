//! Exclusive use of a folder by one process.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The locks of this process. A lock would also exclude other handles in the same process, but the loggers of a process
/// may share a folder.
static HELD: Mutex<BTreeMap<PathBuf, Weak<Lock>>> = Mutex::new(BTreeMap::new());

/// Keeps other processes out of a folder until the last clone is dropped or the process ends.
#[derive(Debug, Clone)]
pub struct Hold {
    _lock: Option<Arc<Lock>>,
}

/// A child process that is just being started briefly has copies of all open files. So closing the file does not
/// reliably release the lock.
#[derive(Debug)]
struct Lock(File);

impl Lock {
    /// Whether the lock is on this file. The folder may have been removed and created again.
    fn is_on(&self, file: &File) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let identity = |file: &File| file.metadata().map(|metadata| (metadata.dev(), metadata.ino())).ok();
            identity(&self.0) == identity(file)
        }
        #[cfg(not(unix))]
        {
            let _ = file;
            true
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The lock ends with the process at the latest.
        let _ = self.0.unlock();
    }
}

/// Locks a folder. Returns `None` if another process holds the lock.
///
/// The lock is on the folder itself, which leaves no file behind. If a folder cannot be locked (Windows, some network
/// disks), no process is kept out.
pub fn hold(folder: &Path) -> Option<Hold> {
    take(folder, true)
}

/// As [`hold`], but also returns `None` if a logger of this process holds the folder.
pub fn hold_alone(folder: &Path) -> Option<Hold> {
    take(folder, false)
}

fn take(folder: &Path, shares: bool) -> Option<Hold> {
    let Ok((path, file)) = folder.canonicalize().and_then(|path| File::open(&path).map(|file| (path, file))) else {
        return Some(Hold { _lock: None });
    };
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(lock) = held.get(&path).and_then(Weak::upgrade).filter(|lock| lock.is_on(&file)) {
        return shares.then_some(Hold { _lock: Some(lock) });
    }
    match file.try_lock() {
        Ok(()) => {
            let lock = Arc::new(Lock(file));
            held.retain(|_, lock| lock.strong_count() > 0);
            held.insert(path, Arc::downgrade(&lock));
            Some(Hold { _lock: Some(lock) })
        }
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(_)) => Some(Hold { _lock: None }),
    }
}
