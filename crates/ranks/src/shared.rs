//! A communicator that several parts of a program hold.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{communicator::Communicator, error::Result, single::SingleRank};

/// A handle to a [`Communicator`], with its methods. Clones are handles to the same one.
///
/// A call waits for a call of another thread on the same communicator. The order of the calls must be the same on all
/// ranks, so only one thread of a rank should make collective calls.
#[derive(Clone)]
pub struct Shared {
    rank: usize,
    world: usize,
    local_rank: usize,
    communicator: Arc<Mutex<Box<dyn Communicator>>>,
    /// Nanoseconds in collective calls.
    waited: Arc<AtomicU64>,
}

impl Shared {
    /// Makes a handle to a communicator.
    pub fn new(communicator: impl Communicator + 'static) -> Self {
        Self {
            rank: communicator.rank(),
            world: communicator.world(),
            local_rank: communicator.local_rank(),
            communicator: Arc::new(Mutex::new(Box::new(communicator))),
            waited: Arc::default(),
        }
    }

    /// See [`Communicator::rank`].
    #[inline]
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// See [`Communicator::world`].
    #[inline]
    pub fn world(&self) -> usize {
        self.world
    }

    /// See [`Communicator::local_rank`].
    pub fn local_rank(&self) -> usize {
        self.local_rank
    }

    /// See [`Communicator::is_global_zero`].
    #[inline]
    pub fn is_global_zero(&self) -> bool {
        self.rank == 0
    }

    /// See [`Communicator::all_reduce`].
    pub fn all_reduce(&self, bucket: &mut [f32]) -> Result<()> {
        self.timed(|communicator| communicator.all_reduce(bucket))
    }

    /// See [`Communicator::all_reduce_f64`].
    pub fn all_reduce_f64(&self, bucket: &mut [f64]) -> Result<()> {
        self.timed(|communicator| communicator.all_reduce_f64(bucket))
    }

    /// See [`Communicator::agree`].
    pub fn agree(&self, flags: u64) -> Result<u64> {
        self.timed(|communicator| communicator.agree(flags))
    }

    /// See [`Communicator::gather`].
    pub fn gather(&self, bytes: Vec<u8>) -> Result<Option<Vec<Vec<u8>>>> {
        self.timed(|communicator| communicator.gather(bytes))
    }

    /// See [`Communicator::broadcast`].
    pub fn broadcast(&self, bytes: &mut Vec<u8>) -> Result<()> {
        self.timed(|communicator| communicator.broadcast(bytes))
    }

    /// See [`Communicator::barrier`].
    pub fn barrier(&self) -> Result<()> {
        self.timed(|communicator| communicator.barrier())
    }

    /// See [`Communicator::abort`].
    pub fn abort(&self, reason: &str) {
        self.lock().abort(reason);
    }

    /// The time that this rank has spent in collective calls: for the exchange, and for slower ranks.
    pub fn waited(&self) -> Duration {
        Duration::from_nanos(self.waited.load(Ordering::Relaxed))
    }

    fn timed<T>(&self, call: impl FnOnce(&mut dyn Communicator) -> Result<T>) -> Result<T> {
        if self.world == 1 {
            return call(self.lock().as_mut());
        }
        let began = Instant::now();
        let result = call(self.lock().as_mut());
        self.waited.fetch_add(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        result
    }

    /// A panic inside a call leaves the other ranks waiting, and they notice that this one has died. The communicator
    /// itself has no state that a panic can spoil.
    fn lock(&self) -> MutexGuard<'_, Box<dyn Communicator>> {
        self.communicator.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self::new(SingleRank)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("rank", &self.rank)
            .field("world", &self.world)
            .field("local_rank", &self.local_rank)
            .finish_non_exhaustive()
    }
}
