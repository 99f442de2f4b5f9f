//! The sending thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use stormfire_store::hold::Hold;

use super::backoff::Backoff;
use super::spool::{self, Batch, Mark};
use super::{ACKED, Carrier, Failure, Record, Sending, keep};
use crate::Delivery;

/// Number of retries, each with a fresh address, after a store has refused a record. Then the record is dropped.
pub(super) const TURNED_AWAY: u32 = 4;

/// State shared by the outbox and the sending thread.
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The next task of the sender.
enum Next {
    Send(u64, u64),
    Idle,
}

#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
struct State {
    /// The sender may read up to this position.
    flushed: u64,
    acked: u64,
    pushed: u64,
    delivered: u64,
    refused: u64,
    /// Number of damaged lines found by this process. `damaged_before` counts earlier ones.
    damaged: u64,
    damaged_before: u64,
    /// Size of the kept files, in bytes.
    files: u64,
    /// Whether a warning about the limit was logged.
    is_limit_told: bool,
    /// A caller waits for the delivery.
    urgent: bool,
    /// The pause between two attempts must end now.
    nudged: bool,
    closed: bool,
    /// The sender is inside a request.
    busy: bool,
    /// Time of the last progress.
    progress: Instant,
    /// The reason of the last failure, if the last attempt failed.
    trouble: Option<String>,
    /// The first unreported refusal.
    refusal: Option<String>,
}

impl Shared {
    pub(super) fn new(acked: u64, flushed: u64, waiting: u64) -> Self {
        let state = State {
            flushed,
            acked,
            pushed: waiting,
            delivered: 0,
            refused: 0,
            damaged: 0,
            damaged_before: 0,
            files: 0,
            is_limit_told: false,
            urgent: false,
            nudged: false,
            closed: false,
            busy: false,
            progress: Instant::now(),
            trouble: None,
            refusal: None,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn pushed(&self) {
        self.lock().pushed += 1;
    }

    /// Sets the number of damaged lines and the size of kept files that an earlier process left.
    pub(super) fn found(&self, damaged: u64, files: u64) {
        let mut state = self.lock();
        (state.damaged_before, state.files) = (damaged, files);
    }

    /// Number of waiting bytes, including unflushed records up to `end`.
    pub(super) fn waits_up_to(&self, end: u64) -> u64 {
        let state = self.lock();
        end.saturating_sub(state.acked) + state.files
    }

    pub(super) fn kept(&self, bytes: u64) {
        self.lock().files += bytes;
    }

    pub(super) fn removed(&self, bytes: u64) {
        let mut state = self.lock();
        state.files = state.files.saturating_sub(bytes);
    }

    /// Counts a dropped record. Returns true for the first one.
    pub(super) fn left_out(&self, reason: &str) -> bool {
        let mut state = self.lock();
        state.pushed += 1;
        state.refused += 1;
        state.refusal.get_or_insert_with(|| reason.to_owned());
        !std::mem::replace(&mut state.is_limit_told, true)
    }

    pub(super) fn flushed(&self, end: u64) {
        let mut state = self.lock();
        // If records are waiting already, the sender wakes by itself when they are due.
        let is_idle = state.acked == state.flushed;
        if std::mem::replace(&mut state.flushed, end) != end && is_idle {
            self.changed.notify_all();
        }
    }

    pub(super) fn rewound(&self, end: u64, waiting: u64) {
        let mut state = self.lock();
        state.flushed = end;
        state.pushed = waiting;
    }

    pub(super) fn acked(&self) -> u64 {
        self.lock().acked
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.lock().trouble.clone()
    }

    pub(super) fn take_refusal(&self) -> Option<String> {
        self.lock().refusal.take()
    }

    pub(super) fn delivery(&self) -> Delivery {
        self.lock().delivery()
    }

    pub(super) fn settle(&self, patience: Duration) -> Delivery {
        let mut state = self.lock();
        state.urgent = true;
        state.nudged = true;
        state.progress = Instant::now();
        self.changed.notify_all();
        while state.acked < state.flushed {
            let Some(left) = patience.checked_sub(state.progress.elapsed()).filter(|left| !left.is_zero()) else { break };
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.urgent = false;
        state.delivery()
    }

    /// Requests the sender to end. Returns false if it is inside a request, which may take long.
    pub(super) fn close(&self) -> bool {
        let mut state = self.lock();
        state.closed = true;
        self.changed.notify_all();
        !state.busy
    }

    /// Waits until records are ready and have waited for `linger`, or until the next idle call is due. Returns `None`
    /// once closed.
    fn next(&self, linger: Duration, beat: Option<Instant>) -> Option<Next> {
        let mut state = self.lock();
        let mut since = None;
        loop {
            if state.closed {
                return None;
            }
            let to_beat = beat.map_or(Duration::from_hours(1), |beat| beat.saturating_duration_since(Instant::now()));
            if to_beat.is_zero() {
                state.busy = true;
                return Some(Next::Idle);
            }
            let wait = if state.acked < state.flushed {
                let since = *since.get_or_insert_with(Instant::now);
                let left = linger.saturating_sub(since.elapsed());
                if left.is_zero() || state.urgent {
                    state.busy = true;
                    return Some(Next::Send(state.acked, state.flushed));
                }
                left
            } else {
                Duration::from_hours(1)
            };
            state = self.changed.wait_timeout(state, wait.min(to_beat)).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn rest(&self) {
        self.lock().busy = false;
    }

    /// Sleeps between two attempts. Ends early if a caller waits for the records or the outbox is closed.
    fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut state = self.lock();
        state.busy = false;
        while !state.closed
            && !std::mem::take(&mut state.nudged)
            && let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
        {
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn advance(&self, to: u64, delivered: u64, refusal: Option<(u64, String)>) {
        let mut state = self.lock();
        state.acked = to;
        state.delivered += delivered;
        if let Some((count, reason)) = refusal {
            state.refused += count;
            state.refusal.get_or_insert(reason);
        }
        state.busy = false;
        state.progress = Instant::now();
        state.trouble = None;
        self.changed.notify_all();
    }

    fn put_apart(&self, to: u64) {
        let mut state = self.lock();
        state.acked = to;
        state.damaged += 1;
        state.busy = false;
        state.progress = Instant::now();
        self.changed.notify_all();
    }

    /// Stores a failure. Returns true if the previous attempt succeeded.
    fn failed(&self, reason: &str) -> bool {
        self.lock().trouble.replace(reason.to_owned()).is_none()
    }
}

impl State {
    fn delivery(&self) -> Delivery {
        let Self { delivered, refused, damaged, damaged_before, pushed, .. } = *self;
        let spooled = pushed.saturating_sub(delivered + refused + damaged);
        Delivery { delivered, refused, spooled, damaged: damaged + damaged_before }
    }
}

pub(super) struct Sender<R> {
    folder: PathBuf,
    carrier: Box<dyn Carrier<R>>,
    sending: Sending,
    shared: Arc<Shared>,
    acked: Mark,
    /// Records that were read and not sent yet. A carrier may take only a part of them, and a server may be
    /// unreachable.
    batch: Batch<R>,
    refusals: u64,
    /// The number of refusals of the first record by a store.
    turned_away: u32,
    told_of_damage: bool,
    /// A request may outlive the outbox.
    _hold: Hold,
}

impl<R: Record> Sender<R> {
    pub(super) fn new(folder: PathBuf, hold: Hold, carrier: Box<dyn Carrier<R>>, sending: Sending, shared: Arc<Shared>) -> Self {
        let acked = Mark::of(&folder, ACKED);
        Self {
            folder,
            carrier,
            sending,
            shared,
            acked,
            batch: Batch::default(),
            refusals: 0,
            turned_away: 0,
            told_of_damage: false,
            _hold: hold,
        }
    }

    pub(super) fn run(mut self) {
        let mut backoff = Backoff::default();
        let mut linger = self.sending.linger;
        let every = self.sending.idle_every;
        let mut beat = every.map(|every| Instant::now() + every);
        while let Some(next) = self.shared.next(linger, beat) {
            let Next::Send(from, to) = next else {
                self.idle();
                beat = every.map(|every| Instant::now() + every);
                continue;
            };
            match self.send(from, to) {
                Ok(full) => {
                    backoff.reset();
                    // If more records wait, the next request can be filled without delay.
                    linger = if full { Duration::ZERO } else { self.sending.linger };
                }
                Err((after, reason)) => {
                    let wait = backoff.next(after);
                    if self.shared.failed(&reason) {
                        tracing::warn!(logger = self.sending.logger, "{reason}; retrying until it succeeds, nothing is lost");
                    } else {
                        tracing::debug!(logger = self.sending.logger, ?wait, "{reason}");
                    }
                    linger = Duration::ZERO;
                    self.shared.pause(wait);
                }
            }
        }
    }

    fn idle(&mut self) {
        match catch_unwind(AssertUnwindSafe(|| self.carrier.idle())) {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => tracing::debug!(logger = self.sending.logger, "{}", failure.reason()),
            Err(_) => tracing::debug!(logger = self.sending.logger, "the sender panicked"),
        }
        self.shared.rest();
    }

    /// Sends once. Returns true if records remain.
    fn send(&mut self, from: u64, to: u64) -> Result<bool, (Option<Duration>, String)> {
        let local = |error: crate::Error| (None, error.to_string());
        let (count, bytes) = (self.sending.max_records, self.sending.max_bytes);
        if self.batch.records.is_empty() {
            self.batch = spool::read(&self.folder, from, to, count, bytes).map_err(local)?;
            for file in self.batch.records.iter_mut().flat_map(Record::files) {
                *file = self.folder.join(&*file);
            }
        }
        let batch = &mut self.batch;
        if batch.records.is_empty() {
            let Some((line, behind)) = batch.damaged.take() else {
                self.shared.rest();
                return Ok(false);
            };
            keep::put_apart(&self.folder, &line).map_err(|error| local(error.into()))?;
            self.acked.note(behind).map_err(local)?;
            self.shared.put_apart(behind);
            if !std::mem::replace(&mut self.told_of_damage, true) {
                tracing::warn!(logger = self.sending.logger, "{}", keep::says_damaged(&self.folder));
            }
            return Ok(behind < to);
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| self.carrier.deliver(&batch.records)))
            .unwrap_or_else(|_| Err(Failure::refused("the sender panicked")));
        let (taken, refusal) = match outcome {
            Ok(taken) => (taken.clamp(1, batch.records.len()), None),
            Err(Failure::Retry { after, reason }) => return Err((after, reason)),
            // 401 and 403 of the tracker itself were turned into retries before. A store refuses an address with an
            // expired signature. The next attempt requests a fresh address from the tracker.
            Err(Failure::Refused { status: Some(401 | 403), reason, .. }) if self.turned_away < TURNED_AWAY => {
                self.turned_away += 1;
                return Err((None, reason));
            }
            Err(Failure::Refused { count, reason, .. }) => {
                let count = count.clamp(1, batch.records.len());
                self.refusals += 1;
                if self.refusals == 1 {
                    tracing::warn!(logger = self.sending.logger, "{reason}; refused records are dropped");
                } else {
                    tracing::debug!(logger = self.sending.logger, "{reason}");
                }
                (count, Some((count as u64, reason)))
            }
        };
        self.turned_away = 0;
        let behind = batch.ends[taken - 1];
        self.acked.note(behind).map_err(local)?;
        batch.ends.drain(..taken);
        for mut record in batch.records.drain(..taken) {
            for file in record.files() {
                self.shared.removed(keep::remove(&self.folder, file));
            }
        }
        let delivered = if refusal.is_some() { 0 } else { taken as u64 };
        self.shared.advance(behind, delivered, refusal);
        Ok(behind < to)
    }
}
