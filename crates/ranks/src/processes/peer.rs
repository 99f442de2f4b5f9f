//! The state of another rank, as this rank knows it.

use std::time::{Duration, Instant};

/// The most signs of life that a rank has not acknowledged. More would fill the memory of MPI while a rank is stopped.
const MOST_SENT: u64 = 64;

pub(super) struct Peer {
    pub(super) rank: usize,
    pub(super) heard: Instant,
    /// Signs of life: sent to it, received by it, received from it.
    pub(super) sent: u64,
    pub(super) acknowledged: u64,
    pub(super) received: u64,
    /// It has noticed the failure, and is ending.
    pub(super) noticed: bool,
    /// It has announced its end: the number of calls that it had completed.
    pub(super) ended: Option<u64>,
}

impl Peer {
    pub(super) fn new(rank: usize) -> Self {
        Self { rank, heard: Instant::now(), sent: 0, acknowledged: 0, received: 0, noticed: false, ended: None }
    }

    /// Whether another sign of life may be sent.
    pub(super) fn has_room(&self) -> bool {
        self.sent < self.acknowledged + MOST_SENT
    }

    pub(super) fn is_silent(&self, now: Instant, silence: Duration) -> bool {
        now.saturating_duration_since(self.heard) > silence
    }
}
