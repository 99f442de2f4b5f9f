//! Ranks that are processes, connected by MPI.
//!
//! One thread of the process makes all calls of MPI (`engine.rs`). It owns the buffers that MPI works on, because a
//! request to a rank that has died never ends: the caller gets an error, and the thread keeps the buffers until the
//! process ends. The same thread sends signs of life to the other ranks, watches theirs, and passes on failures
//! (`control.rs`).

mod all_reduce;
mod connection;
mod control;
mod ending;
mod engine;
mod heads;
mod neighbours;
mod payloads;
mod peer;
mod pulse;
mod waiting;

use std::{
    sync::{
        Arc,
        mpsc::{self, Sender},
    },
    thread,
    time::Duration,
};

use crate::{
    communicator::Communicator,
    error::{Error, Result},
    launched::Launched,
};
pub(crate) use ending::Ending;
use engine::{Engine, Job, Started};
use pulse::{Pulse, Watch};

/// One of several processes.
pub(crate) struct MpiRank {
    rank: usize,
    world: usize,
    local_rank: usize,
    jobs: Sender<Job>,
    watch: Watch,
    /// Why calls can no longer be completed.
    failed: Option<Error>,
    /// The memory of the last buckets, so that large ones are not allocated again.
    singles: Vec<f32>,
    doubles: Vec<f64>,
}

/// Connects this process with the others.
///
/// # Errors
/// Fails if MPI does not see the processes that the launcher started.
pub(crate) fn start(launched: &Launched, silence: Duration) -> Result<(MpiRank, Ending)> {
    let (jobs, received) = mpsc::channel();
    let (sender, started) = mpsc::sync_channel(1);
    let pulse = Arc::new(Pulse::default());
    let failed = |reason: String| Error::Engine(reason);
    let of_engine = Arc::clone(&pulse);
    thread::Builder::new()
        .name("mpi".to_owned())
        .spawn(move || engine::live(received, &sender, of_engine, silence))
        .map_err(|error| failed(format!("its thread cannot be started: {error}")))?;
    let Started { rank, world, neighbours } = started.recv().map_err(|_| failed("its thread ended at the start".to_owned()))??;
    if (rank, world) != (launched.rank, launched.world) {
        return Err(Error::Unconnected { launched: *launched, rank, world });
    }
    let watch = Watch { pulse, neighbours, silence };
    let ending = Ending { jobs: jobs.clone(), watch: watch.clone() };
    let (singles, doubles) = (Vec::new(), Vec::new());
    Ok((MpiRank { rank, world, local_rank: launched.local_rank, jobs, watch, failed: None, singles, doubles }, ending))
}

impl MpiRank {
    /// Lets the engine work, and waits for the result.
    fn ask<T: Send + 'static>(&mut self, work: impl FnOnce(&mut Engine) -> T + Send + 'static) -> Result<T> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let (sender, answer) = mpsc::sync_channel(1);
        let refused = sender.clone();
        // The caller waits for the answer, unless MPI no longer returns.
        let work = Box::new(move |engine: &mut Engine| drop(sender.send(Ok(work(engine)))));
        let refuse = Box::new(move |error| drop(refused.send(Err(error))));
        let result = match self.jobs.send(Job::Call { work, refuse }) {
            Ok(()) => self.watch.receive(&answer).and_then(|result| result),
            Err(_) => Err(pulse::ended()),
        };
        if let Err(error) = &result {
            self.failed = Some(error.clone());
        }
        result
    }
}

impl Communicator for MpiRank {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world(&self) -> usize {
        self.world
    }

    fn local_rank(&self) -> usize {
        self.local_rank
    }

    fn all_reduce(&mut self, bucket: &mut [f32]) -> Result<()> {
        let memory = std::mem::take(&mut self.singles);
        self.singles = reduce(self, bucket, memory)?;
        Ok(())
    }

    fn all_reduce_f64(&mut self, bucket: &mut [f64]) -> Result<()> {
        let memory = std::mem::take(&mut self.doubles);
        self.doubles = reduce(self, bucket, memory)?;
        Ok(())
    }

    fn agree(&mut self, flags: u64) -> Result<u64> {
        self.ask(move |engine| engine.agree(flags))
    }

    fn gather(&mut self, bytes: Vec<u8>) -> Result<Option<Vec<Vec<u8>>>> {
        self.ask(move |engine| engine.gather(bytes))
    }

    fn broadcast(&mut self, bytes: &mut Vec<u8>) -> Result<()> {
        let mut sent = std::mem::take(bytes);
        *bytes = self.ask(move |engine| {
            engine.broadcast(&mut sent);
            sent
        })?;
        Ok(())
    }

    fn barrier(&mut self) -> Result<()> {
        self.ask(Engine::barrier)
    }

    fn abort(&mut self, reason: &str) {
        let (sender, done) = mpsc::sync_channel(1);
        if self.failed.is_none() && self.jobs.send(Job::Abort { reason: reason.to_owned(), done: sender }).is_ok() {
            // An error means that MPI does not return, and with it the way to the others is lost.
            let _ = self.watch.receive(&done);
        }
    }
}

/// Sums a bucket in memory that is given back.
fn reduce<T: all_reduce::Number>(ranks: &mut MpiRank, bucket: &mut [T], mut memory: Vec<T>) -> Result<Vec<T>> {
    memory.clear();
    memory.extend_from_slice(bucket);
    let memory = ranks.ask(move |engine| {
        engine.all_reduce(&mut memory);
        memory
    })?;
    bucket.copy_from_slice(&memory);
    Ok(memory)
}
