//! The queue between producers and a writer's thread.

use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{QUEUE_CAPACITY, hurry::Hurry};
use crate::{Error, Logger, Metrics, Result};

/// While work keeps coming, the thread checks for it at this interval instead of being woken by each job.
const LINGER: Duration = Duration::from_millis(20);
/// After this time without work the thread sleeps until it is woken.
const IDLE: Duration = Duration::from_secs(1);

pub(crate) type Run = Box<dyn FnOnce(&mut dyn Logger) -> Result<()> + Send>;

pub(super) enum Job {
    /// The most common job. It needs no box.
    Metrics(Metrics, Option<u64>),
    Run(Run),
    /// A job that a caller waits for.
    Settle(Run, SyncSender<()>),
}

#[derive(Default)]
struct State {
    jobs: Vec<Job>,
    error: Option<Error>,
    /// Runs directly before the next job. Its result then becomes the mark.
    before_next: Option<(Job, Receiver<Result<Value>>)>,
    mark: Option<Receiver<Result<Value>>>,
    /// The thread sleeps until it is woken.
    asleep: bool,
    /// A caller waits for a result.
    urgent: bool,
    /// Number of producers that wait for space.
    held: usize,
    closed: bool,
}

pub(super) struct Queue {
    state: Mutex<State>,
    work: Condvar,
    room: Condvar,
    pub(super) hurry: Hurry,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("waiting", &self.lock().jobs.len()).finish_non_exhaustive()
    }
}

impl Queue {
    pub(super) fn new(hurry: Hurry) -> Self {
        let state = State { jobs: Vec::with_capacity(QUEUE_CAPACITY), ..State::default() };
        Self { state: Mutex::new(state), work: Condvar::new(), room: Condvar::new(), hurry }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job and returns the kept error, if there is one.
    pub(super) fn push(&self, job: Job) -> Result<()> {
        let mut state = self.add(job, false);
        state.error.take().map_or(Ok(()), Err)
    }

    /// Adds a job. A kept error stays for the next report.
    pub(super) fn push_quietly(&self, job: Job) {
        drop(self.add(job, false));
    }

    /// Adds a job that a caller waits for.
    pub(super) fn push_urgent(&self, job: Job) {
        drop(self.add(job, true));
    }

    /// Adds an urgent job without the `before_next` job, which stays scheduled.
    pub(super) fn push_aside(&self, job: Job) {
        let mut state = self.lock();
        state.jobs.push(job);
        state.urgent = true;
        state.asleep = false;
        self.work.notify_one();
    }

    fn add(&self, job: Job, urgent: bool) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        if state.jobs.len() >= QUEUE_CAPACITY {
            drop(state);
            let _: Option<()> = self.hurry.wait(|time| self.has_room_within(time).then_some(()));
            state = self.lock();
        }
        if self.hurry.has_given_up() {
            // The logger is abandoned, so the job is dropped.
            return state;
        }
        if let Some((first, answer)) = state.before_next.take() {
            state.jobs.push(first);
            state.mark = Some(answer);
        }
        state.jobs.push(job);
        state.urgent |= urgent;
        // Waking costs a system call. It happens only if the thread would otherwise be too late.
        if urgent || state.asleep || state.jobs.len() == QUEUE_CAPACITY / 2 {
            state.asleep = false;
            self.work.notify_one();
        }
        state
    }

    /// Waits for space, for at most `time`. Another producer may be faster. The queue can then exceed its capacity by
    /// one job per waiting producer.
    fn has_room_within(&self, time: Duration) -> bool {
        let mut state = self.lock();
        if state.jobs.len() >= QUEUE_CAPACITY {
            state.held += 1;
            state = self.room.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0;
            state.held -= 1;
        }
        state.jobs.len() < QUEUE_CAPACITY
    }

    /// Schedules a job directly before the next pushed job. Replaces an earlier job of this kind.
    pub(super) fn before_next(&self, job: Option<(Job, Receiver<Result<Value>>)>) {
        let mut state = self.lock();
        (state.before_next, state.mark) = (job, None);
    }

    /// Takes the result of the scheduled job, if a job was pushed after it. Otherwise unschedules it.
    pub(super) fn take_mark(&self) -> Option<Receiver<Result<Value>>> {
        let mut state = self.lock();
        state.before_next = None;
        state.mark.take()
    }

    /// Waits for jobs and takes them all. Returns false once the queue is closed and empty.
    pub(super) fn next(&self, batch: &mut Vec<Job>) -> bool {
        let mut state = self.lock();
        let since = Instant::now();
        loop {
            let half_full = state.jobs.len() >= QUEUE_CAPACITY / 2;
            if half_full || state.urgent || state.closed || (!state.jobs.is_empty() && since.elapsed() >= LINGER) {
                break;
            }
            state = if state.jobs.is_empty() && since.elapsed() >= IDLE {
                state.asleep = true;
                self.work.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                self.work.wait_timeout(state, LINGER).unwrap_or_else(PoisonError::into_inner).0
            };
        }
        state.asleep = false;
        state.urgent = false;
        std::mem::swap(&mut state.jobs, batch);
        if state.held > 0 {
            self.room.notify_all();
        }
        !(state.closed && batch.is_empty())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().jobs.is_empty()
    }

    /// Lets the thread end after the queued jobs.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_one();
    }

    /// Keeps an error for the next report. If an error is kept already, returns the new one.
    pub(super) fn latch(&self, error: Error) -> Option<Error> {
        let mut state = self.lock();
        if state.error.is_some() {
            return Some(error);
        }
        state.error = Some(error);
        None
    }

    pub(super) fn take_error(&self) -> Option<Error> {
        self.lock().error.take()
    }
}
