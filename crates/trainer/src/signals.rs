//! Ctrl-C, SIGTERM and the signal of a scheduler end a run cleanly: the current batch is finished, and logs and hooks
//! see the end.
//!
//! Signals that the program already ignores stay ignored. Signals that it already handles still reach its handler,
//! during a run and after it. Then only that handler decides the effect of a second signal.

mod disposition;

use std::sync::{
    Arc, LazyLock, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use disposition::Disposition;
use signal_hook::{SigId, consts, flag, low_level};
use stormfire_module::{Error, Result};

/// A signal that requested the run to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// `kill`, a scheduler, or a stopped container.
    Terminate,
    /// SIGHUP, if it is the [`RequeueSignal`](crate::RequeueSignal).
    Hangup,
    /// SIGUSR1, if it is the [`RequeueSignal`](crate::RequeueSignal).
    User1,
    /// SIGUSR2, if it is the [`RequeueSignal`](crate::RequeueSignal).
    User2,
}

impl Signal {
    pub(crate) const ALL: [Signal; 5] = [Signal::Interrupt, Signal::Terminate, Signal::Hangup, Signal::User1, Signal::User2];

    /// The conventional exit code of a program that this signal ended, 128 plus its number: 130 for Ctrl-C, 143 for
    /// SIGTERM.
    pub fn exit_code(self) -> u8 {
        u8::try_from(128 + self.number()).unwrap_or(u8::MAX)
    }

    fn of_number(number: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| number != 0 && usize::try_from(signal.number()) == Ok(number))
    }

    /// The number of the signal. 0 if it does not exist on this system.
    fn number(self) -> i32 {
        match self {
            Signal::Interrupt => consts::SIGINT,
            Signal::Terminate => consts::SIGTERM,
            #[cfg(unix)]
            Signal::Hangup => consts::SIGHUP,
            #[cfg(unix)]
            Signal::User1 => consts::SIGUSR1,
            #[cfg(unix)]
            Signal::User2 => consts::SIGUSR2,
            #[cfg(not(unix))]
            _ => 0,
        }
    }
}

/// The number of the signal that requested a run of this process to end. 0 without one.
static INTERRUPTED: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);

/// Returns an error if a signal has requested any run of this process to end. A caller that starts another run has
/// ignored that end.
///
/// # Errors
/// [`Error::Interrupted`].
pub fn check_not_interrupted() -> Result<()> {
    match Signal::of_number(INTERRUPTED.load(Ordering::SeqCst)) {
        Some(signal) => Err(Error::Interrupted { by: format!("{signal} before this run started") }),
        None => Ok(()),
    }
}

/// Allows runs again after a signal has ended one, and returns that signal.
///
/// After Ctrl-C, SIGTERM or the requeue signal, every later run of the process is refused with [`Error::Interrupted`],
/// for all Trainers. So a loop over folds does not continue with the next fold, and the score of a half-trained module
/// is not mistaken for a result. A program that continues on purpose (for example, if it treats Ctrl-C as the end of
/// the current fit only) calls this function after the interrupted run has returned.
///
/// ```
/// use stormfire_trainer::forget_interrupt;
///
/// // fit.stop.is_interrupted(), and the program tests the module in its current state:
/// let signal = forget_interrupt();
/// # assert_eq!(signal, None);
/// ```
pub fn forget_interrupt() -> Option<Signal> {
    Signal::of_number(INTERRUPTED.swap(0, Ordering::SeqCst))
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
            Signal::Hangup => "SIGHUP",
            Signal::User1 => "SIGUSR1",
            Signal::User2 => "SIGUSR2",
        })
    }
}

/// State of a signal that a run has watched.
struct Known {
    number: i32,
    /// Its disposition before the first of these runs.
    before: Disposition,
    runs: usize,
    /// Set while no run watches the signal.
    idle: Arc<AtomicBool>,
}

/// Removing an action does not restore the default effect of a signal. So the default effect is also an action, armed
/// while no run watches. It is installed once per process, and only if no other handler was installed.
static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());

fn known<R>(number: i32, with: impl FnOnce(&mut Known) -> R) -> R {
    let mut all = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let index = all.iter().position(|known| known.number == number).unwrap_or_else(|| {
        // After the first registration there is always a handler: ours.
        let before = disposition::of(number);
        let idle = Arc::new(AtomicBool::new(true));
        if before == Disposition::Default
            && let Err(error) = flag::register_conditional_default(number, Arc::clone(&idle))
        {
            tracing::warn!("the signal {number} will do nothing after the run: {error}");
        }
        all.push(Known { number, before, runs: 0, idle });
        all.len() - 1
    });
    with(&mut all[index])
}

fn count_runs(number: i32, change: isize) {
    known(number, |known| {
        known.runs = known.runs.saturating_add_signed(change);
        known.idle.store(known.runs == 0, Ordering::SeqCst);
    });
}

/// Watches for signals until it is dropped. Afterwards they have their previous effect.
///
/// The first signal is stored. A second one of the same kind ends the process at once, with its exit code, unless it is
/// the requeue signal or the program has its own handler.
#[derive(Debug)]
pub struct SignalWatch {
    received: Arc<AtomicUsize>,
    requeue: Option<Signal>,
    asks_for_requeue: Arc<AtomicBool>,
    watched: Vec<i32>,
    installed: Vec<SigId>,
}

impl SignalWatch {
    /// Watches for Ctrl-C, SIGTERM and the requeue signal.
    pub fn install(requeue: Option<Signal>) -> Self {
        let mut watch =
            Self { received: Arc::default(), requeue, asks_for_requeue: Arc::default(), watched: Vec::new(), installed: Vec::new() };
        for signal in Signal::ALL {
            if matches!(signal, Signal::Interrupt | Signal::Terminate) || requeue == Some(signal) {
                watch.add(signal);
            }
        }
        watch
    }

    fn add(&mut self, signal: Signal) {
        let number = signal.number();
        if number == 0 {
            tracing::warn!("there is no {signal} on this system");
            return;
        }
        let before = known(number, |known| known.before);
        if before == Disposition::Ignored {
            tracing::debug!("{signal} is ignored, as it was before the run");
            return;
        }
        let note = |at: &Arc<AtomicUsize>| flag::register_usize(number, Arc::clone(at), number as usize);
        let mut actions = vec![note(&self.received), note(&INTERRUPTED)];
        if self.requeue == Some(signal) {
            actions.push(flag::register(number, Arc::clone(&self.asks_for_requeue)));
        } else if before == Disposition::Default {
            let again = Arc::new(AtomicBool::new(false));
            // Actions run in the order of registration: the first signal passes the shutdown action and arms it.
            actions.push(flag::register_conditional_shutdown(number, i32::from(signal.exit_code()), Arc::clone(&again)));
            actions.push(flag::register(number, again));
        }
        for action in actions {
            match action {
                Ok(id) => self.installed.push(id),
                Err(error) => tracing::warn!("{signal} will not end a run cleanly: {error}"),
            }
        }
        self.watched.push(number);
        count_runs(number, 1);
    }

    /// The signal that requested the run to end. A later signal does not replace the requeue signal.
    pub fn received(&self) -> Option<Signal> {
        if self.asks_for_requeue.load(Ordering::Relaxed) {
            return self.requeue;
        }
        Signal::of_number(self.received.load(Ordering::Relaxed))
    }

    /// The variable with the number of that signal.
    pub(crate) fn noted_at(&self) -> &Arc<AtomicUsize> {
        &self.received
    }

    /// The signal that requeues the job.
    pub(crate) fn requeue(&self) -> Option<Signal> {
        self.requeue
    }
}

impl Drop for SignalWatch {
    fn drop(&mut self) {
        for &number in &self.watched {
            count_runs(number, -1);
        }
        for &id in &self.installed {
            low_level::unregister(id);
        }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_request_to_queue_again_is_not_outdone_by_a_later_signal() {
        let watch = SignalWatch::install(Some(Signal::User1));
        assert_eq!(watch.received(), None);
        low_level::raise(consts::SIGUSR1).unwrap();
        // A second one would end the process if it were not the requeue signal.
        low_level::raise(consts::SIGUSR1).unwrap();
        low_level::raise(consts::SIGTERM).unwrap();
        assert_eq!(watch.received(), Some(Signal::User1));
        drop(watch);
        let refused = check_not_interrupted().unwrap_err();
        assert_eq!(refused.to_string(), "interrupted by SIGTERM before this run started");
        insta::assert_snapshot!(refused.hint().unwrap(), @"later runs in this process are also refused; to run them anyway, call `forget_interrupt()` first");
        assert_eq!((forget_interrupt(), forget_interrupt()), (Some(Signal::Terminate), None));
        assert!(check_not_interrupted().is_ok());
    }
}
