//! The clock for everything in a run that measures or waits for a time, and its control in tests.
//!
//! [`Every::Time`](crate::Every::Time), `max_time`, `Timer`, `ThroughputMonitor` and the progress bar read [`now`],
//! always on the training thread. A test stops this clock and advances it manually, so that the test does not depend on
//! the speed of the machine:
//!
//! ```
//! use std::time::Duration;
//! use stormfire_values::clock;
//!
//! let _stopped = clock::stop();
//! let begin = clock::now();
//! // In a step or a hook: this batch took an hour.
//! clock::advance(Duration::from_hours(1));
//! assert_eq!(clock::now() - begin, Duration::from_hours(1));
//! ```

use std::{
    cell::Cell,
    marker::PhantomData,
    time::{Duration, Instant},
};

thread_local! {
    /// The time on this thread while the clock is stopped.
    static BY_HAND: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The time: that of the system, unless the clock is [stopped](stop) on this thread.
#[inline]
pub fn now() -> Instant {
    BY_HAND.get().unwrap_or_else(Instant::now)
}

/// The time since a moment. Zero for a moment in the future.
#[inline]
pub fn since(moment: Instant) -> Duration {
    now().saturating_duration_since(moment)
}

/// Keeps the clock of this thread stopped until it is dropped.
#[derive(Debug)]
#[must_use = "dropping this restarts the clock"]
pub struct Stopped {
    before: Option<Instant>,
    /// It belongs to the thread.
    not_send: PhantomData<*const ()>,
}

/// Stops the clock of this thread. From now on only [`advance`] changes it.
pub fn stop() -> Stopped {
    Stopped { before: BY_HAND.replace(Some(now())), not_send: PhantomData }
}

/// Advances the clock of this thread. Has no effect unless the clock is [stopped](stop), so a step of a test that
/// advances it does nothing in a normal run.
pub fn advance(time: Duration) {
    BY_HAND.set(BY_HAND.get().map(|now| now.checked_add(time).unwrap_or(now)));
}

impl Drop for Stopped {
    fn drop(&mut self) {
        BY_HAND.set(self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_clock_is_advanced_explicitly_on_its_own_thread_only() {
        let begin = now();
        {
            let _stopped = stop();
            let stood = now();
            advance(Duration::from_hours(5));
            assert_eq!((now() - stood, since(stood)), (Duration::from_hours(5), Duration::from_hours(5)));
            let elsewhere = std::thread::spawn(move || since(begin)).join().unwrap();
            assert!(elsewhere < Duration::from_hours(1), "{elsewhere:?}");
            assert_eq!(since(now() + Duration::from_secs(1)), Duration::ZERO);
        }
        advance(Duration::from_hours(5));
        assert!(since(begin) < Duration::from_hours(1));
    }
}
