//! What time it is for everything in a run that measures or waits for a length of time, and how a test moves it.
//!
//! [`Every::Time`](crate::Every::Time), `max_time`, `Timer`, `ThroughputMonitor` and the progress bar look at [`now`], always on
//! the thread that trains. A test stops that clock and moves it by hand, so that nothing in it depends on how fast the machine
//! is:
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
    /// The time on this thread while it is moved by hand.
    static BY_HAND: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The time, of the system unless it is [stopped](stop) on this thread.
pub fn now() -> Instant {
    BY_HAND.get().unwrap_or_else(Instant::now)
}

/// How long ago this was; nothing for a moment that lies ahead.
pub fn since(moment: Instant) -> Duration {
    now().saturating_duration_since(moment)
}

/// The clock of this thread stands still as long as this lives.
#[derive(Debug)]
#[must_use = "the clock goes on when this is dropped"]
pub struct Stopped {
    before: Option<Instant>,
    /// It belongs to the thread.
    not_send: PhantomData<*const ()>,
}

/// Stops the clock of this thread: from now on only [`advance`] moves it.
pub fn stop() -> Stopped {
    Stopped { before: BY_HAND.replace(Some(now())), not_send: PhantomData }
}

/// Moves the clock of this thread on. Without effect unless it is [stopped](stop), so that what a test moves in a step does
/// nothing in a run of its own.
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
    fn a_stopped_clock_moves_by_hand_on_its_own_thread_until_it_is_let_go() {
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
