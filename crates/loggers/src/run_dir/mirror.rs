//! Keeps a run's folder in a store as it is on the disk.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use super::remote;
use crate::Result;

/// [`Mirror::settle`] gives up after so long.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// A store has nothing to append to: a file that grows is sent anew. So that this never takes more than a part of the time,
/// a pause is so many times as long as the pass before it.
const RARELY: u32 = 4;

/// Checkpoints go where they are told to, and a name that begins with a dot is of a file that is not whole yet.
pub(super) fn is_left_out(name: &OsStr) -> bool {
    name == "checkpoints" || name.to_string_lossy().starts_with('.')
}

/// A thread that sends what has changed.
#[derive(Debug)]
pub(super) struct Mirror {
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
    /// Passes that were asked for, and the last one of them that everything was sent in.
    asked: u64,
    done: u64,
    closed: bool,
    busy: bool,
    failing: bool,
    /// Somebody waits: the pause after a failure is to end now.
    nudged: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next pass; `None` once it is over.
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
    /// Sends the folder at `local` to `url` again and again, `interval` after the last time.
    pub(super) fn start(local: PathBuf, url: PathBuf, interval: Duration) -> Result<Self> {
        let shared = Arc::<Shared>::default();
        let mut sender = Sender { local, url, sent: HashMap::new() };
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
                            tracing::warn!(url = %sender.url.display(), %error, "the logs are kept here until the store takes them");
                        }
                        (pause, retry) = (retry, (retry * 2).min(interval.max(FIRST_RETRY)));
                    }
                }
                inner.changed.notify_all();
            }
        };
        let thread = std::thread::Builder::new().name("remote logs".to_owned()).spawn(body)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Sends what has changed and waits until the store has it, a minute at most. Whether it has.
    pub(super) fn settle(&self) -> bool {
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
    /// One more pass, unless the store is away. Nobody waits for a request that is under way: it may take minutes.
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
            tracing::error!("the thread that sends logs to a store panicked");
        }
    }
}

/// A file as it was when it was sent.
type Version = (u64, Option<SystemTime>);

struct Sender {
    local: PathBuf,
    url: PathBuf,
    sent: HashMap<PathBuf, Version>,
}

impl Sender {
    /// Sends every file that has changed, and removes those that are gone. The first error ends it; what was sent before is
    /// not sent again.
    fn pass(&mut self) -> Result<()> {
        let mut files = Vec::new();
        walk(&self.local, Path::new(""), &mut files)?;
        for (name, version) in &files {
            if self.sent.get(name) != Some(version) {
                let length = remote::upload(&self.local.join(name), &self.url.join(name))?;
                // What came since then goes with the next pass.
                self.sent.insert(name.clone(), (length, version.1));
            }
        }
        let gone: Vec<PathBuf> = self.sent.keys().filter(|name| !files.iter().any(|(known, _)| known == *name)).cloned().collect();
        for name in gone {
            remote::remove(&self.url.join(&name))?;
            self.sent.remove(&name);
        }
        Ok(())
    }
}

/// The files below a folder, by their names relative to it.
fn walk(folder: &Path, below: &Path, into: &mut Vec<(PathBuf, Version)>) -> Result<()> {
    for entry in fs_err::read_dir(folder.join(below))? {
        let entry = entry?;
        if is_left_out(&entry.file_name()) {
            continue;
        }
        let name = below.join(entry.file_name());
        // One that vanished since is gone.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            walk(folder, &name, into)?;
        } else {
            into.push((name, (metadata.len(), metadata.modified().ok())));
        }
    }
    Ok(())
}
