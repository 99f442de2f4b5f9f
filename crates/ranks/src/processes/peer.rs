//! What this rank knows of another one.

use std::time::{Duration, Instant};

/// Maximum number of unanswered signs of life to a rank. More would fill the memory of MPI while a rank is stopped.
const MAX_UNANSWERED: u64 = 64;

pub(super) struct Peer {
    pub(super) rank: usize,
    pub(super) heard: Instant,
    /// Signs of life: sent to it, received by it, received from it.
    pub(super) sent: u64,
    pub(super) acknowledged: u64,
    pub(super) received: u64,
    /// It knows of the failure, and is ending.
    pub(super) noticed: bool,
    /// The number of calls after which it has ended.
    pub(super) ended: Option<u64>,
}

impl Peer {
    pub(super) fn new(rank: usize) -> Self {
        Self { rank, heard: Instant::now(), sent: 0, acknowledged: 0, received: 0, noticed: false, ended: None }
    }

    /// Whether another sign of life may be sent.
    pub(super) fn has_room(&self) -> bool {
        self.sent < self.acknowledged + MAX_UNANSWERED
    }

    pub(super) fn is_silent(&self, now: Instant, silence: Duration) -> bool {
        now.saturating_duration_since(self.heard) > silence
    }
}
