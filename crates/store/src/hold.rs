//! One process at a time in a folder.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What this process holds: a lock keeps out other files of the same process too, but its loggers may share a folder.
static HELD: Mutex<BTreeMap<PathBuf, Weak<Lock>>> = Mutex::new(BTreeMap::new());

/// Keeps other processes out of a folder until the last clone is dropped or the process ends, however it ends.
#[derive(Debug, Clone)]
pub struct Hold {
    _lock: Option<Arc<Lock>>,
}

/// A process that is just being started has copies of all open files for a moment. So to close a file is not enough.
#[derive(Debug)]
struct Lock(File);

impl Lock {
    /// Whether it is on this file. A folder may have been removed and made again.
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
        // It ends with the process at the latest.
        let _ = self.0.unlock();
    }
}

/// Holds a folder; `None` if another process does.
///
/// The lock is on the folder itself, which leaves no file behind. Where a folder cannot be locked (Windows, some network
/// disks) nobody is kept out.
pub fn hold(folder: &Path) -> Option<Hold> {
    take(folder, true)
}

/// As [`hold`], but `None` also if a logger of this process holds the folder.
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
