//! Threads that make values ahead of their consumer. The order does not depend on the number of threads.
//!
//! Worker `w` of `n` makes values `w, w + n, w + 2n, …` and has its own bounded channel. The consumer takes from the
//! channels in turn. The threads outlive a pass, because GPU backends keep memory per thread.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread::{Builder, JoinHandle},
};

use crate::{Error, Result};

type Job = Box<dyn FnOnce() + Send>;

/// A fixed set of threads. Each runs the jobs that it receives.
struct Pool {
    threads: Vec<(Sender<Job>, JoinHandle<()>)>,
}

impl Pool {
    fn new(size: usize) -> Result<Self> {
        let mut pool = Self { threads: Vec::with_capacity(size) };
        for worker in 0..size {
            let (sender, jobs) = channel::<Job>();
            let run = move || {
                for job in jobs {
                    // A job reports its own panics. Catching them here keeps the thread alive for the next pass.
                    drop(catch_unwind(AssertUnwindSafe(job)));
                }
            };
            let handle = Builder::new().name(format!("loader-{worker}")).spawn(run).map_err(Error::Spawn)?;
            pool.threads.push((sender, handle));
        }
        Ok(pool)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let (senders, handles): (Vec<_>, Vec<_>) = self.threads.drain(..).unzip();
        drop(senders);
        for handle in handles {
            drop(handle.join());
        }
    }
}

/// The idle pools of one loader.
///
/// A pass takes a whole pool, so that two concurrent passes (a validation in the middle of a training epoch) never wait
/// for each other.
#[derive(Default)]
pub(crate) struct Pools {
    idle: Mutex<Vec<Pool>>,
}

impl Pools {
    fn take(&self, size: usize) -> Result<Pool> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(pool) if pool.threads.len() == size => Ok(pool),
            _ => Pool::new(size),
        }
    }

    fn give_back(&self, pool: Pool) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(pool);
    }
}

/// A worker's end of its channel.
pub(crate) struct Outlet<T> {
    sender: SyncSender<T>,
    stop: Arc<AtomicBool>,
}

impl<T> Outlet<T> {
    /// Waits for room in the channel. Returns false if the consumer was dropped and the worker should end.
    pub(crate) fn send(&self, value: T) -> bool {
        !self.is_stopped() && self.sender.send(value).is_ok()
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// The consumer's end of a pass.
pub(crate) struct Stream<T> {
    channels: Vec<Receiver<T>>,
    next: usize,
    stop: Arc<AtomicBool>,
    running: Receiver<()>,
    pool: Option<Pool>,
    pools: Arc<Pools>,
}

impl<T: Send + 'static> Stream<T> {
    /// Starts `work(worker, outlet)` on each of `workers` threads. Each prefetches up to `prefetch` values.
    pub(crate) fn start(
        pools: &Arc<Pools>,
        workers: usize,
        prefetch: usize,
        work: impl Fn(usize, &Outlet<T>) + Send + Sync + 'static,
    ) -> Result<Self> {
        let pool = pools.take(workers)?;
        let stop = Arc::new(AtomicBool::new(false));
        let work = Arc::new(work);
        let (alive, running) = channel::<()>();
        let mut channels = Vec::with_capacity(workers);
        for (worker, (jobs, _)) in pool.threads.iter().enumerate() {
            let (sender, receiver) = sync_channel(prefetch);
            let (outlet, work, alive) = (Outlet { sender, stop: stop.clone() }, work.clone(), alive.clone());
            let job = move || {
                // Dropped last, even after a panic. This signals to the consumer that the worker no longer uses the
                // pass.
                let _alive = alive;
                let (work, outlet) = (work, outlet);
                work(worker, &outlet);
            };
            // A dead thread drops the job, and the consumer sees a closed channel.
            drop(jobs.send(Box::new(job)));
            channels.push(receiver);
        }
        Ok(Self { channels, next: 0, stop, running, pool: Some(pool), pools: pools.clone() })
    }
}

impl<T> Stream<T> {
    /// The next value. `None` if the next worker in turn has ended.
    pub(crate) fn recv(&mut self) -> Option<T> {
        let value = self.channels.get(self.next)?.recv().ok()?;
        self.next = (self.next + 1) % self.channels.len();
        Some(value)
    }
}

impl<T> Drop for Stream<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // This wakes a worker that waits for room in its channel.
        self.channels.clear();
        // Nothing is ever sent. This returns when the last job has been dropped.
        let _ = self.running.recv();
        if let Some(pool) = self.pool.take() {
            self.pools.give_back(pool);
        }
    }
}
