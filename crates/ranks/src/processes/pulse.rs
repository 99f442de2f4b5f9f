//! Whether the thread that calls MPI still does so.
//!
//! A call of MPI should return at once. If the connection with a rank breaks, Open MPI prints why, asks the launcher to
//! end the process, and never returns. The other threads of the process must not wait for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    time::{Duration, Instant},
};

use super::neighbours::Neighbour;
use crate::error::{Error, Result};

/// How often a waiting thread checks the pulse.
const LOOK: Duration = Duration::from_millis(100);
/// The number of checks without a pulse after which the thread searches for ranks that have died. The launcher kills
/// this process about a second after such a rank.
const SUSPICIOUS: u32 = 3;

/// The activity of the thread that calls MPI, for the threads that wait for it.
#[derive(Default)]
pub(super) struct Pulse {
    /// A number that changes while MPI returns.
    beats: AtomicU64,
    /// All ranks have come to their end, and MPI lets them go one by one.
    finalizing: AtomicBool,
}

impl Pulse {
    pub(super) fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn finalize(&self) {
        self.finalizing.store(true, Ordering::Relaxed);
    }
}

/// Waits for the thread that calls MPI.
#[derive(Clone)]
pub(super) struct Watch {
    pub(super) pulse: Arc<Pulse>,
    /// The other ranks on this machine.
    pub(super) neighbours: Arc<Vec<(usize, Neighbour)>>,
    pub(super) silence: Duration,
}

impl Watch {
    /// Waits for an answer. Looks for it for a moment first, because a thread that sleeps takes long to wake.
    pub(super) fn receive<T>(&self, answer: &Receiver<T>) -> Result<T> {
        const SHORT: Duration = Duration::from_micros(20);
        let start = Instant::now();
        while start.elapsed() < SHORT {
            match answer.try_recv() {
                Ok(result) => return Ok(result),
                Err(TryRecvError::Empty) => std::hint::spin_loop(),
                Err(TryRecvError::Disconnected) => return Err(ended()),
            }
        }
        // Time is counted in checks: the time in which this process was stopped does not count.
        let (mut last, mut looks) = (self.pulse.beats.load(Ordering::Relaxed), 0);
        loop {
            match answer.recv_timeout(LOOK) {
                Ok(result) => return Ok(result),
                Err(RecvTimeoutError::Disconnected) => return Err(ended()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = self.pulse.beats.load(Ordering::Relaxed);
            looks = if now == last { looks + 1 } else { 0 };
            last = now;
            self.check(looks)?;
        }
    }

    fn check(&self, looks: u32) -> Result<()> {
        if looks < SUSPICIOUS {
            return Ok(());
        }
        let gone = self.neighbours.iter().find(|(_, neighbour)| !neighbour.is_alive());
        if let Some((rank, _)) = gone.filter(|_| !self.pulse.finalizing.load(Ordering::Relaxed)) {
            return Err(Error::gone(*rank));
        }
        if LOOK * looks > self.silence {
            return Err(Error::Engine(format!("it has not returned for {:?}; another rank has probably died", self.silence)));
        }
        Ok(())
    }
}

pub(super) fn ended() -> Error {
    Error::Engine("the connection of this process with the others has ended".to_owned())
}
