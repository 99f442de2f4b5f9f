//! Signs of life, failures and endings, in a separate communicator.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use mpi::{
    point_to_point::MatchedReceiveVec as _,
    traits::{Destination as _, Source as _},
};

use super::{connection::Connection, neighbours::Neighbour, peer::Peer, pulse::Pulse};
use crate::error::Error;

/// How often the thread checks for messages while it waits.
const LOOK: Duration = Duration::from_millis(1);
/// How often the thread checks one of the processes on this machine.
const LOOK_FOR_ONE: Duration = Duration::from_millis(20);
/// A reason that is longer is cut. A message must fit into what MPI sends without waiting for the receiver.
const LONGEST_REASON: usize = 2000;

/// The kinds of messages.
const BEAT: u8 = 0;
const FAILED: u8 = 1;
const NOTICED: u8 = 2;
const ENDED: u8 = 3;

/// A failure that the ranks have noticed.
struct Failure {
    error: Error,
    /// The calls that the failed rank had completed. Those are still good for the others.
    completed: u64,
}

pub(super) struct Control {
    ranks: Connection,
    silence: Duration,
    peers: Vec<Peer>,
    neighbours: Arc<Vec<(usize, Neighbour)>>,
    pulse: Arc<Pulse>,
    failure: Option<Failure>,
    /// The calls that this rank has completed.
    pub(super) completed: u64,
    /// Whether the others know that this rank ends.
    has_ended: bool,
    looked: Instant,
    beaten: Instant,
    looked_for: Instant,
    /// The peer to check next.
    next: usize,
}

impl Control {
    pub(super) fn new(ranks: Connection, neighbours: Arc<Vec<(usize, Neighbour)>>, pulse: Arc<Pulse>, silence: Duration) -> Self {
        let peers = ranks.others().map(Peer::new).collect();
        let now = Instant::now();
        Self {
            ranks,
            silence,
            peers,
            neighbours,
            pulse,
            failure: None,
            completed: 0,
            has_ended: false,
            looked: now,
            beaten: now,
            looked_for: now,
            next: 0,
        }
    }

    /// Does the due work: reads messages, sends a sign of life, checks the other processes. Returns at once.
    pub(super) fn tick(&mut self) {
        let now = Instant::now();
        let since = now.saturating_duration_since(self.looked);
        if since < LOOK {
            return;
        }
        if since > self.silence / 3 {
            // This process was stopped, and so it did not hear the others.
            self.peers.iter_mut().for_each(|peer| peer.heard += since);
        }
        self.looked = now;
        self.pulse.beat();
        self.read(now);
        if !self.has_ended && now.saturating_duration_since(self.beaten) >= (self.silence / 10).min(Duration::from_secs(1)) {
            self.beaten = now;
            self.beat();
        }
        if self.failure.is_none() {
            self.watch(now);
        }
    }

    /// The error of a call, if the ranks cannot complete it. Calls are counted from 1.
    pub(super) fn error(&mut self, call: u64) -> Option<Error> {
        let left = |peer: &Peer| peer.ended.filter(|completed| *completed < call).map(|completed| (peer.rank, completed));
        if self.failure.is_none()
            && let Some((rank, completed)) = self.peers.iter().find_map(left)
        {
            // The others must not think that this rank is the one that left.
            self.fail(rank, "it has ended, and others still wait for it".to_owned(), completed);
        }
        self.failure.as_ref().filter(|failure| failure.completed < call).map(|failure| failure.error.clone())
    }

    /// Whether a rank, this or another one, could not complete a call.
    pub(super) fn has_failed(&self) -> bool {
        self.failure.is_some() || self.peers.iter().any(|peer| peer.noticed)
    }

    /// This rank fails. The first failure counts, because the others follow from it.
    pub(super) fn abort(&mut self, reason: String) {
        if self.failure.is_none() {
            self.fail(self.ranks.rank, reason, self.completed);
        }
    }

    /// Reports to the others that this rank has noticed the failure.
    pub(super) fn notice(&mut self) {
        self.tell_all(NOTICED, &[]);
    }

    /// Reports to the others that this rank ends. They expect no sign of life from it after that, and a message that
    /// no rank receives before MPI is finalized is an error.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
        self.tell_all(ENDED, &[]);
    }

    /// Notes that MPI is finalized, if all ranks do so.
    pub(super) fn finalize(&self) -> bool {
        let all = self.all_have_ended();
        if all {
            self.pulse.finalize();
        }
        all
    }

    pub(super) fn all_have_ended(&self) -> bool {
        self.peers.iter().all(|peer| peer.ended.is_some())
    }

    /// Whether another rank needs more time to end. A rank that has not noticed the failure gets `patience`.
    pub(super) fn others_are_ending(&self, waited: Duration, patience: Duration) -> bool {
        let now = Instant::now();
        let limit = |peer: &Peer| if peer.noticed { self.silence.max(patience) } else { patience };
        let is_dead = |rank| self.neighbours.iter().any(|(other, neighbour)| *other == rank && !neighbour.is_alive());
        let mut late = self.peers.iter().filter(|peer| peer.ended.is_none() && waited < limit(peer));
        late.any(|peer| !peer.is_silent(now, self.silence) && !is_dead(peer.rank))
    }

    fn fail(&mut self, rank: usize, mut reason: String, completed: u64) {
        reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
        self.failure = Some(Failure { error: Error::Rank { rank, reason }, completed });
        self.tell_of_failure();
    }

    fn tell_of_failure(&self) {
        if let Some(Failure { error: Error::Rank { rank, reason }, completed }) = &self.failure {
            let mut words = (*rank as u64).to_le_bytes().to_vec();
            words.extend(completed.to_le_bytes());
            words.extend(reason.as_bytes());
            self.tell_all(FAILED, &words);
        }
    }

    /// Looks for ranks that have died.
    fn watch(&mut self, now: Instant) {
        if let Some(silent) = self.peers.iter().find(|peer| peer.ended.is_none() && peer.is_silent(now, self.silence)) {
            let rank = silent.rank;
            return self.fail(rank, format!("there was no sign of life from it for {:?}", self.silence), 0);
        }
        if self.neighbours.is_empty() || now.saturating_duration_since(self.looked_for) < LOOK_FOR_ONE {
            return;
        }
        self.looked_for = now;
        self.next = (self.next + 1) % self.neighbours.len();
        let (rank, neighbour) = &self.neighbours[self.next];
        if neighbour.is_alive() {
            return;
        }
        let rank = *rank;
        // Its last message may say more than its death.
        self.read(now);
        let has_ended = self.peers.iter().any(|peer| peer.rank == rank && peer.ended.is_some());
        if self.failure.is_none() && !has_ended {
            self.failure = Some(Failure { error: Error::gone(rank), completed: 0 });
            self.tell_of_failure();
        }
    }

    fn beat(&mut self) {
        for index in 0..self.peers.len() {
            let peer = &mut self.peers[index];
            if peer.has_room() && peer.ended.is_none() {
                peer.sent += 1;
                let words = peer.received.to_le_bytes();
                self.tell(index, BEAT, &words);
            }
        }
    }

    fn tell_all(&self, kind: u8, words: &[u8]) {
        (0..self.peers.len()).for_each(|index| self.tell(index, kind, words));
    }

    /// A message is so small that MPI takes it without waiting for the receiver.
    fn tell(&self, index: usize, kind: u8, words: &[u8]) {
        let mut message = vec![kind];
        message.extend(self.completed.to_le_bytes());
        message.extend(words);
        self.ranks.process(self.peers[index].rank).send(&message[..]);
    }

    fn read(&mut self, now: Instant) {
        while let Some(matched) = self.ranks.any().immediate_matched_probe() {
            let (message, status) = matched.matched_receive_vec::<u8>();
            let from = usize::try_from(status.source_rank()).unwrap_or(0);
            let Some(peer) = self.peers.iter_mut().find(|peer| peer.rank == from) else { continue };
            peer.heard = now;
            let Some((&kind, rest)) = message.split_first() else { continue };
            let mut words = rest.chunks(8).map(|word| word.try_into().map_or(0, u64::from_le_bytes));
            let completed = words.next().unwrap_or(0);
            match kind {
                BEAT => {
                    peer.received += 1;
                    peer.acknowledged = words.next().unwrap_or(0);
                }
                NOTICED => peer.noticed = true,
                ENDED => peer.ended = Some(completed),
                FAILED => {
                    peer.noticed = true;
                    let rank = words.next().and_then(|rank| usize::try_from(rank).ok()).unwrap_or(from);
                    let completed = words.next().unwrap_or(0);
                    let reason = String::from_utf8_lossy(message.get(25..).unwrap_or_default()).into_owned();
                    self.failure.get_or_insert(Failure { error: Error::Rank { rank, reason }, completed });
                }
                _ => {}
            }
        }
    }
}
