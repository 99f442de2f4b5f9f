//! Keeps a copy of a local folder in a store.

#[cfg(test)]
#[cfg(feature = "remote")]
mod tests;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use crate::error::{Error, Result};
use crate::files;
use crate::replacement::Replacement;

/// [`Mirror::settle`] gives up after this time.
pub const PATIENCE: Duration = Duration::from_mins(1);
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// The pause after a pass, as a multiple of the duration of the pass. A store cannot append, so a file that grows is
/// sent again as a whole. The pause keeps the sending to a fraction of the time.
const RARELY: u32 = 4;

/// Whether a mirror skips a file or folder of this name.
pub type IsLeftOut = fn(&OsStr) -> bool;

/// A thread that sends changed files.
#[derive(Debug)]
pub struct Mirror {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
struct State {
    /// The number of requested passes, and the last of them in which everything was sent.
    asked: u64,
    done: u64,
    closed: bool,
    busy: bool,
    failing: bool,
    /// A caller waits, so the pause after a failure should end now.
    nudged: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next pass. Returns `None` once the mirror is closed.
    fn next(&self, pause: Duration) -> Option<u64> {
        let until = Instant::now() + pause;
        let mut state = self.lock();
        loop {
            if state.closed && (state.asked == state.done || state.failing) {
                return None;
            }
            let left = until.saturating_duration_since(Instant::now());
            let urgent = std::mem::take(&mut state.nudged) || (state.asked > state.done && !state.failing);
            if left.is_zero() || urgent {
                state.busy = true;
                return Some(state.asked);
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Mirror {
    /// Sends the folder at `local` to `url` repeatedly, `interval` after the last pass.
    pub fn start(local: PathBuf, url: PathBuf, interval: Duration, is_left_out: IsLeftOut) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let mut sender = Sender { local, url, is_left_out, sent: HashMap::new() };
        let inner = Arc::clone(&shared);
        let body = move || {
            let (mut pause, mut retry) = (interval, FIRST_RETRY);
            while let Some(asked) = inner.next(pause) {
                let begin = Instant::now();
                let outcome = sender.pass();
                let mut state = inner.lock();
                state.busy = false;
                match outcome {
                    Ok(()) => {
                        (state.failing, state.done) = (false, asked);
                        (pause, retry) = (interval.max(begin.elapsed() * RARELY), FIRST_RETRY);
                    }
                    Err(error) => {
                        if !std::mem::replace(&mut state.failing, true) {
                            tracing::warn!(url = %sender.url.display(), %error, "changed files stay on this disk until the store accepts them");
                        }
                        (pause, retry) = (retry, (retry * 2).min(interval.max(FIRST_RETRY)));
                    }
                }
                inner.changed.notify_all();
            }
        };
        let thread = std::thread::Builder::new().name("mirror".to_owned()).spawn(body)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Sends the changed files and waits until the store has them, for at most one minute. Returns whether the store
    /// has them.
    pub fn settle(&self) -> bool {
        let until = Instant::now() + PATIENCE;
        let mut state = self.shared.lock();
        state.asked += 1;
        state.nudged = true;
        let asked = state.asked;
        self.shared.changed.notify_all();
        while state.done < asked {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Drop for Mirror {
    /// Makes one more pass, unless the store is unreachable. Does not wait for a request in progress, which may take
    /// minutes.
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.asked += 1;
        state.closed = true;
        let wait = !state.busy;
        drop(state);
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && wait
            && thread.join().is_err()
        {
            tracing::error!("the thread that sends files to a store panicked");
        }
    }
}

/// The length and the modification time of a file when it was sent.
type Version = (u64, Option<SystemTime>);

struct Sender {
    local: PathBuf,
    url: PathBuf,
    is_left_out: IsLeftOut,
    sent: HashMap<PathBuf, Version>,
}

impl Sender {
    /// Sends every changed file, and removes deleted ones. Stops at the first error. Files that were already sent are
    /// not sent again.
    fn pass(&mut self) -> Result<()> {
        let mut files = Vec::new();
        walk(&self.local, Path::new(""), self.is_left_out, &mut files)?;
        for (name, version) in &files {
            if self.sent.get(name) != Some(version) {
                let length = upload(&self.local.join(name), &self.url.join(name))?;
                // Bytes added since then are sent in the next pass.
                self.sent.insert(name.clone(), (length, version.1));
            }
        }
        let gone: Vec<PathBuf> = self.sent.keys().filter(|name| !files.iter().any(|(known, _)| known == *name)).cloned().collect();
        for name in gone {
            files::remove(&self.url.join(&name))?;
            self.sent.remove(&name);
        }
        Ok(())
    }
}

/// Collects the files below a folder, with names relative to the folder.
fn walk(folder: &Path, below: &Path, is_left_out: IsLeftOut, into: &mut Vec<(PathBuf, Version)>) -> Result<()> {
    let here = folder.join(below);
    let io = |error| Error::read(&here, error);
    for entry in fs::read_dir(&here).map_err(io)? {
        let entry = entry.map_err(io)?;
        if is_left_out(&entry.file_name()) {
            continue;
        }
        let name = below.join(entry.file_name());
        // The file was removed in the meantime.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            walk(folder, &name, is_left_out, into)?;
        } else {
            into.push((name, (metadata.len(), metadata.modified().ok())));
        }
    }
    Ok(())
}

/// Sends the current content of a file. Returns its length.
fn upload(file: &Path, url: &Path) -> Result<u64> {
    let read = |error| Error::read(file, error);
    let mut source = fs::File::open(file).map_err(read)?;
    let length = source.metadata().map_err(read)?.len();
    files::write(url, length, |mut out| {
        // The file may grow during the upload. A file that shrinks is sent again.
        let copied = io::copy(&mut io::Read::take(&mut source, length), &mut out)?;
        if copied == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    })?;
    Ok(length)
}

/// Copies files of a mirror to the disk that are missing there or are longer in the store. Returns whether the store
/// has any.
///
/// The files of a mirror only grow, so a shorter file is an older one.
///
/// # Errors
/// Those of [`files::open`] and [`files::list`], and [`Error::Write`].
pub fn bring_back(url: &Path, folder: &Path, is_left_out: IsLeftOut) -> Result<bool> {
    let mut found = false;
    for entry in files::list(url)? {
        let Some(name) = entry.path.file_name() else { continue };
        let here = folder.join(name);
        if is_left_out(name) {
            continue;
        }
        found = true;
        if entry.is_folder {
            bring_back(&entry.path, &here, is_left_out)?;
            continue;
        }
        let (mut reader, length) = files::open(&entry.path)?;
        if fs::metadata(&here).is_ok_and(|known| known.len() >= length) {
            continue;
        }
        let write = |error| Error::write(&here, length, error);
        fs::create_dir_all(folder).map_err(write)?;
        let mut file = Replacement::new(&here).map_err(write)?;
        io::copy(&mut reader, &mut file).map_err(|error| Error::read(&entry.path, error))?;
        file.commit().map_err(write)?;
    }
    Ok(found)
}
