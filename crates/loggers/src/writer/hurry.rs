//! Time limits for loggers that may never answer.
//!
//! Until a signal requests the process to end, calls of a logger have no time limit. After a signal, the run waits only
//! for loggers that make progress. A logger that spends more than its [`longest_call`](crate::Logger::longest_call) in
//! one call is abandoned, together with its thread and its queued jobs.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Interval at which a waiting caller checks for a signal.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The progress of the logger's thread, and whether it is abandoned.
#[derive(Debug, Default)]
pub(super) struct Hurry {
    longest_call: Duration,
    /// Number of calls of the logger that have returned.
    returned: AtomicU64,
    given_up: AtomicBool,
    /// The number is not 0 once a signal has arrived.
    signal: Mutex<Option<Arc<AtomicUsize>>>,
}

impl Hurry {
    pub(super) fn new(longest_call: Duration) -> Self {
        Self { longest_call, ..Self::default() }
    }

    /// Watches a signal number. A value other than 0 means that a signal has requested the process to end.
    pub(super) fn when(&self, signal: Arc<AtomicUsize>) {
        *self.signal.lock().unwrap_or_else(PoisonError::into_inner) = Some(signal);
    }

    /// Counts a returned call of the logger.
    pub(super) fn returned(&self) {
        self.returned.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn has_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    fn is_asked_to_end(&self) -> bool {
        let signal = self.signal.lock().unwrap_or_else(PoisonError::into_inner);
        signal.as_ref().is_some_and(|signal| signal.load(Ordering::Relaxed) != 0)
    }

    /// Repeats `attempt` until it returns a result. `attempt` gets the maximum time that it should take. Returns `None`
    /// if the logger is abandoned, now or before.
    pub(super) fn wait<R>(&self, mut attempt: impl FnMut(Duration) -> Option<R>) -> Option<R> {
        let mut stuck: Option<(u64, Instant)> = None;
        while !self.has_given_up() {
            if let Some(answer) = attempt(LOOK_EVERY) {
                return Some(answer);
            }
            if !self.is_asked_to_end() {
                continue;
            }
            let returned = self.returned.load(Ordering::Relaxed);
            match stuck {
                Some((before, since)) if before == returned => {
                    if since.elapsed() >= self.longest_call {
                        self.given_up.store(true, Ordering::Relaxed);
                    }
                }
                _ => stuck = Some((returned, Instant::now())),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_logger_that_is_stuck_after_a_signal_is_given_up() {
        let (hurry, signal) = (Hurry::new(Duration::ZERO), Arc::new(AtomicUsize::new(0)));
        let mut looks = 0;
        let answer = |looks: &mut u32, at: u32| {
            *looks += 1;
            (*looks == at).then_some("answer")
        };
        assert_eq!(hurry.wait(|_| answer(&mut looks, 3)), Some("answer"));
        hurry.when(Arc::clone(&signal));
        looks = 0;
        assert_eq!(hurry.wait(|_| answer(&mut looks, 3)), Some("answer"), "no signal has come");
        signal.store(15, Ordering::Relaxed);
        assert_eq!((hurry.wait(|_| None::<()>), hurry.has_given_up()), (None, true));
        assert_eq!(hurry.wait(|_| Some(())), None, "a second call does not wait");

        let slow = Hurry::new(Duration::from_millis(20));
        slow.when(signal);
        looks = 0;
        let gets_on = slow.wait(|_| {
            slow.returned();
            std::thread::sleep(Duration::from_millis(15));
            answer(&mut looks, 5)
        });
        assert_eq!(gets_on, Some("answer"));
    }
}
