//! Frees the blocks of a large replaced file on another thread. A rename over a file of 1.2 GB takes 0.4 s otherwise.

use std::{
    fs::File,
    path::Path,
    sync::{Mutex, PoisonError},
    thread::{self, JoinHandle},
};

/// Smaller files are freed at once.
const LARGE: u64 = 32 << 20;

static FREEING: Mutex<Vec<JoinHandle<()>>> = Mutex::new(Vec::new());

/// Opens a large file that is about to be replaced. The system frees a file when it is closed everywhere.
pub(super) fn hold(path: &Path) -> Option<File> {
    let is_large = path.symlink_metadata().is_ok_and(|old| old.is_file() && old.len() >= LARGE);
    // On other systems, an open file may not be replaced.
    if cfg!(unix) && is_large { File::open(path).ok() } else { None }
}

/// Closes the replaced file on another thread.
pub(super) fn free(old: Option<File>) {
    let Some(old) = old else { return };
    // Without a thread, the closure is dropped here, and the file with it.
    if let Ok(thread) = thread::Builder::new().name("free a file".into()).spawn(move || drop(old)) {
        FREEING.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
    }
}

/// Waits until all replaced files are freed. The next file may need their blocks.
pub(super) fn wait() {
    let threads = std::mem::take(&mut *FREEING.lock().unwrap_or_else(PoisonError::into_inner));
    for thread in threads {
        // The thread only closes a file.
        let _ = thread.join();
    }
}
