//! How a thread waits for something that it has to poll.

use std::{
    thread,
    time::{Duration, Instant},
};

const SHORTEST: Duration = Duration::from_micros(20);
const LONGEST: Duration = Duration::from_millis(1);

/// The behaviour of a thread before it sleeps.
#[derive(Clone, Copy)]
pub(super) enum Patience {
    /// It polls again at once. A thread that yields to another program waits until that program has used its time.
    Spin(Duration),
    /// It lets other threads of its core go first: the rank that it waits for may be one of them.
    Yield(Duration),
}

impl Patience {
    /// Fits a machine with `here` ranks.
    pub(super) fn with_ranks(here: usize) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        if here > cores { Self::Yield(Duration::from_micros(500)) } else { Self::Spin(Duration::from_micros(100)) }
    }
}

/// Pauses that grow: a rank that waits long must not take the core from others.
pub(super) struct Waiting {
    patience: Patience,
    since: Instant,
    sleep: Duration,
}

impl Waiting {
    pub(super) fn new(patience: Patience) -> Self {
        Self { patience, since: Instant::now(), sleep: SHORTEST }
    }

    /// Something has happened. The next event may also come quickly.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.patience);
    }

    pub(super) fn pause(&mut self) {
        match self.patience {
            Patience::Spin(time) if self.since.elapsed() < time => std::hint::spin_loop(),
            Patience::Yield(time) if self.since.elapsed() < time => thread::yield_now(),
            Patience::Spin(_) | Patience::Yield(_) => {
                thread::sleep(self.sleep);
                self.sleep = (self.sleep * 5 / 4).min(LONGEST);
            }
        }
    }
}
