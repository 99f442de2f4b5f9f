//! The thread that makes all calls of MPI.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender},
    },
    thread,
    time::{Duration, Instant},
};

use mpi::{Threading, environment::Universe, request::RequestCollection, traits::CommunicatorCollectives as _};

use super::{
    connection::Connection,
    control::Control,
    neighbours::{Neighbour, identity, neighbours},
    pulse::Pulse,
    waiting::{Patience, Waiting},
};
use crate::error::{Error, Result};

/// How long the thread sleeps while it has nothing to do. Then it checks the other ranks.
const IDLE: Duration = Duration::from_millis(100);
/// After a failure, a rank that has not noticed it yet gets this time to end. Then this process ends and the launcher
/// kills the others.
const PATIENCE: Duration = Duration::from_secs(3);

/// A request of another thread of this process.
pub(super) enum Job {
    /// A collective call. `refuse` gets the error if it cannot be completed.
    Call { work: Box<dyn FnOnce(&mut Engine) + Send>, refuse: Box<dyn FnOnce(Error) + Send> },
    /// This rank fails.
    Abort { reason: String, done: SyncSender<()> },
    /// The process ends.
    End { done: SyncSender<()> },
}

/// The connection with the other ranks, and the current call.
pub(super) struct Engine {
    pub(super) ranks: Connection,
    control: Control,
    patience: Patience,
    jobs: Receiver<Job>,
    /// Takes the error of the current call.
    refuse: Option<Box<dyn FnOnce(Error) + Send>>,
    /// MPI itself. It is finalized when this is dropped, after the communicators.
    universe: Option<Universe>,
}

/// The facts that the thread has found when it starts.
pub(super) struct Started {
    pub(super) rank: usize,
    pub(super) world: usize,
    /// The other ranks on this machine.
    pub(super) neighbours: Arc<Vec<(usize, Neighbour)>>,
}

/// The whole life of the thread.
pub(super) fn live(jobs: Receiver<Job>, started: &SyncSender<Result<Started>>, pulse: Arc<Pulse>, silence: Duration) {
    // This thread alone calls MPI, so it needs no locks inside of MPI.
    let Some((universe, _)) = mpi::initialize_with_threading(Threading::Funneled) else {
        let _ = started.send(Err(Error::Engine("this program has initialized it already".to_owned())));
        return;
    };
    let of_all = universe.world();
    let ranks = Connection::new(&of_all);
    let (rank, world) = (ranks.rank, ranks.world);
    let mut identities = vec![0; 3 * world];
    of_all.all_gather_into(&identity()[..], &mut identities[..]);
    let neighbours = Arc::new(neighbours(identities.as_chunks().0, rank));
    let patience = Patience::with_ranks(neighbours.len() + 1);
    let control = Control::new(Connection::new(&of_all), Arc::clone(&neighbours), pulse, silence);
    // The process may have given up in the meantime.
    let _ = started.send(Ok(Started { rank, world, neighbours }));
    Engine { ranks, control, patience, jobs, refuse: None, universe: Some(universe) }.work();
}

impl Engine {
    /// Works until the process ends. After a failure it never returns.
    fn work(mut self) {
        loop {
            match self.jobs.recv_timeout(IDLE) {
                Ok(Job::Call { work, refuse }) => {
                    self.refuse = Some(refuse);
                    self.check();
                    work(&mut self);
                    self.refuse = None;
                    self.control.completed += 1;
                }
                Ok(Job::Abort { reason, done }) => {
                    self.control.abort(reason);
                    let _ = done.send(());
                }
                Ok(Job::End { done }) => {
                    if self.end() {
                        drop(self);
                        let _ = done.send(());
                        return;
                    }
                    let _ = done.send(());
                    rest();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.control.tick();
        }
    }

    /// Waits until all requests are complete. Does not return if another rank has died.
    pub(super) fn wait<D: ?Sized>(&mut self, requests: &mut RequestCollection<'_, D>) {
        let (mut waiting, mut finished) = (Waiting::new(self.patience), Vec::new());
        while requests.incomplete() > 0 {
            requests.test_some(&mut finished);
            self.control.tick();
            if finished.is_empty() {
                self.check();
                waiting.pause();
            } else {
                waiting.restart();
            }
        }
    }

    /// Returns if the current call can still be completed.
    fn check(&mut self) {
        if let Some(error) = self.control.error(self.control.completed + 1) {
            self.give_up(&error);
        }
    }

    /// The current call has met, and fails on all ranks with the same error. None of them needs this one.
    pub(super) fn refuse_call(&mut self, error: &Error) -> ! {
        self.control.completed += 1;
        self.give_up(error)
    }

    /// The current call fails, and all later ones. This never returns, because MPI may still use the buffers of the
    /// current call. They live on this thread's stack and in what it owns.
    fn give_up(&mut self, error: &Error) -> ! {
        self.control.notice();
        if let Some(refuse) = self.refuse.take() {
            refuse(error.clone());
        }
        loop {
            match self.jobs.recv_timeout(IDLE) {
                Ok(Job::Call { refuse, .. }) => refuse(error.clone()),
                Ok(Job::Abort { done, .. }) => drop(done.send(())),
                Ok(Job::End { done }) => {
                    if self.end() {
                        drop(self.universe.take());
                    }
                    let _ = done.send(());
                    rest();
                }
                Err(RecvTimeoutError::Timeout) => {}
                // Only the end of the process is left.
                Err(RecvTimeoutError::Disconnected) => thread::sleep(IDLE),
            }
            self.control.tick();
        }
    }

    /// Waits until all ranks have come to their end. Returns whether they have, so that MPI can be finalized, which
    /// waits for all of them. It is finalized after a failure, too, if possible: `mpirun` of Open MPI 4.1 sometimes
    /// crashes or hangs when several processes end without it.
    fn end(&mut self) -> bool {
        self.control.end();
        let mut waiting = Waiting::new(self.patience);
        while !self.control.has_failed() && !self.control.all_have_ended() {
            self.control.tick();
            waiting.pause();
        }
        let (start, mut waiting) = (Instant::now(), Waiting::new(self.patience));
        while self.control.others_are_ending(start.elapsed(), PATIENCE) {
            self.control.tick();
            waiting.pause();
        }
        self.control.finalize()
    }
}

/// From here on nothing may call MPI, and nothing that it uses may be dropped. Only the end of the process is left.
fn rest() -> ! {
    loop {
        thread::park();
    }
}
