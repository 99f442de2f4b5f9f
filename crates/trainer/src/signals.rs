//! Ctrl-C and SIGTERM end a run in good order: the batch that runs is finished, logs and hooks see the end.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use signal_hook::{
    SigId,
    consts::{SIGINT, SIGTERM},
    flag, low_level,
};
use stormfire_module::Error;

/// A signal that asked the run to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// `kill`, a scheduler, a container that stops.
    Terminate,
}

impl Signal {
    /// The exit code that a shell expects of a program ended by this signal: 130 or 143.
    pub fn exit_code(self) -> u8 {
        match self {
            Signal::Interrupt => 130,
            Signal::Terminate => 143,
        }
    }
}

impl From<Signal> for Error {
    fn from(signal: Signal) -> Self {
        Error::Interrupted { by: signal.to_string() }
    }
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Signal::Interrupt => "Ctrl-C",
            Signal::Terminate => "SIGTERM",
        })
    }
}

/// How many runs are watching, and per signal a flag that is up while none is.
struct Idle {
    runs: usize,
    flags: Vec<Arc<AtomicBool>>,
}

/// Removing an action does not bring back what a signal did by default, so that is an action too, armed while no run
/// is going on. It is installed once for the life of the process.
static IDLE: Mutex<Option<Idle>> = Mutex::new(None);

fn count_runs(change: isize) {
    let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    let idle = idle.get_or_insert_with(|| Idle { runs: 0, flags: [SIGINT, SIGTERM].into_iter().filter_map(default_while_idle).collect() });
    idle.runs = idle.runs.saturating_add_signed(change);
    for flag in &idle.flags {
        flag.store(idle.runs == 0, Ordering::SeqCst);
    }
}

fn default_while_idle(signal: i32) -> Option<Arc<AtomicBool>> {
    let armed = Arc::new(AtomicBool::new(false));
    flag::register_conditional_default(signal, Arc::clone(&armed)).ok().map(|_| armed)
}

/// Watches for signals while it lives; afterwards they do what they do by default.
///
/// The first one is noted here. A second one of the same kind ends the process at once, with its exit code.
#[derive(Debug)]
pub(crate) struct SignalWatch {
    received: Arc<AtomicUsize>,
    installed: Vec<SigId>,
}

impl SignalWatch {
    pub(crate) fn install() -> Self {
        count_runs(1);
        let received = Arc::new(AtomicUsize::new(0));
        let mut installed = Vec::new();
        for (signal, kind) in [(SIGINT, Signal::Interrupt), (SIGTERM, Signal::Terminate)] {
            let again = Arc::new(AtomicBool::new(false));
            // Actions run in the order of their registration: the first signal passes the shutdown and arms it.
            let actions = [
                flag::register_conditional_shutdown(signal, i32::from(kind.exit_code()), Arc::clone(&again)),
                flag::register(signal, again),
                flag::register_usize(signal, Arc::clone(&received), signal as usize),
            ];
            for action in actions {
                match action {
                    Ok(id) => installed.push(id),
                    Err(error) => tracing::warn!("{kind} will not end a run in good order: {error}"),
                }
            }
        }
        Self { received, installed }
    }

    pub(crate) fn received(&self) -> Option<Signal> {
        match i32::try_from(self.received.load(Ordering::Relaxed)).unwrap_or_default() {
            SIGINT => Some(Signal::Interrupt),
            SIGTERM => Some(Signal::Terminate),
            _ => None,
        }
    }
}

impl Drop for SignalWatch {
    fn drop(&mut self) {
        for &id in &self.installed {
            low_level::unregister(id);
        }
        count_runs(-1);
    }
}
