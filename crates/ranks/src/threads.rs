//! Ranks that are threads of one process.

mod meeting;
#[cfg(test)]
mod tests;

use std::{
    any::Any,
    fmt::Display,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{
    communicator::Communicator,
    error::{Error, Result},
    here::enter,
    shared::Shared,
};
use meeting::{Brought, Meeting};

/// Runs `body` in `world` threads, each of which is a rank. Returns their results in the order of the ranks.
///
/// In `body`, [`here`](crate::here) returns the communicator of the rank. A rank that returns an error or panics aborts
/// the others. A panic becomes the result [`Error::Rank`] of that rank.
///
/// Each rank has its own `rayon` pool, in which its kernels run. The threads of the caller's pool are divided among the
/// ranks. Each rank gets at least one. If the ranks shared a pool, they would wait for each other's kernels.
///
/// ```
/// use stormfire_ranks::{Error, here, threads};
///
/// let sums = threads::run(3, |rank| {
///     let mut bucket = [rank as f32];
///     here()?.all_reduce(&mut bucket)?;
///     Ok::<_, Error>(bucket[0])
/// });
/// assert_eq!(sums, [Ok(3.0), Ok(3.0), Ok(3.0)]);
/// ```
pub fn run<T, E>(world: usize, body: impl Fn(usize) -> Result<T, E> + Sync) -> Vec<Result<T, E>>
where
    T: Send,
    E: Display + From<Error> + Send,
{
    let meeting = Arc::new(Meeting::new(world));
    thread::scope(|scope| {
        let kernel_threads = (rayon::current_num_threads() / world.max(1)).max(1);
        let start = |rank| {
            let (meeting, body) = (Arc::clone(&meeting), &body);
            let pool = pool(rank, kernel_threads)?;
            thread::Builder::new().spawn_scoped(scope, move || pool.install(|| be(rank, &meeting, body)))
        };
        let started: Vec<_> = (0..world)
            .map(|rank| {
                start(rank).map_err(|error| {
                    let reason = format!("its thread could not be started: {error}");
                    meeting.abort(rank, &reason);
                    Error::Rank { rank, reason }
                })
            })
            .collect();
        let end = |(rank, started): (usize, Result<thread::ScopedJoinHandle<'_, _>>)| match started?.join() {
            Ok(result) => result,
            Err(panic) => Err(panicked(rank, panic.as_ref()).into()),
        };
        started.into_iter().enumerate().map(end).collect()
    })
}

/// The stack in bytes of a thread that runs steps: that of a main thread on Linux, since a step may recurse as deep as
/// there.
pub const STACK: usize = 8 << 20;

/// The threads of a rank.
fn pool(rank: usize, threads: usize) -> io::Result<ThreadPool> {
    let pool = ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK).thread_name(move |_| format!("rank {rank}"));
    pool.build().map_err(io::Error::other)
}

/// The life of one rank.
fn be<T, E>(rank: usize, meeting: &Arc<Meeting>, body: &impl Fn(usize) -> Result<T, E>) -> Result<T, E>
where
    E: Display + From<Error>,
{
    let entered = enter(Shared::new(ThreadRank { rank, meeting: Arc::clone(meeting) }));
    let result = catch_unwind(AssertUnwindSafe(|| body(rank))).unwrap_or_else(|panic| {
        let error = panicked(rank, panic.as_ref());
        if let Error::Rank { reason, .. } = &error {
            meeting.abort(rank, reason);
        }
        Err(error.into())
    });
    drop(entered);
    match &result {
        Ok(_) => meeting.leave(rank),
        Err(error) => meeting.abort(rank, &error.to_string()),
    }
    result
}

fn panicked(rank: usize, panic: &(dyn Any + Send)) -> Error {
    let message = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text.as_str(),
        (None, None) => "no message",
    };
    Error::Rank { rank, reason: format!("it panicked: {message}") }
}

/// One of the threads.
struct ThreadRank {
    rank: usize,
    meeting: Arc<Meeting>,
}

impl ThreadRank {
    fn meet(&self, call: &'static str, brought: Brought) -> Result<Arc<Vec<Brought>>> {
        self.meeting.meet(self.rank, call, brought)
    }
}

impl Communicator for ThreadRank {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world(&self) -> usize {
        self.meeting.world()
    }

    fn local_rank(&self) -> usize {
        self.rank
    }

    fn all_reduce(&mut self, bucket: &mut [f32]) -> Result<()> {
        let all = self.meet("all_reduce", Brought::Singles(bucket.to_vec()))?;
        let parts = all.iter().filter_map(|brought| if let Brought::Singles(part) = brought { Some(part.as_slice()) } else { None });
        sum_in_order(bucket, parts);
        Ok(())
    }

    fn all_reduce_f64(&mut self, bucket: &mut [f64]) -> Result<()> {
        let all = self.meet("all_reduce_f64", Brought::Doubles(bucket.to_vec()))?;
        let parts = all.iter().filter_map(|brought| if let Brought::Doubles(part) = brought { Some(part.as_slice()) } else { None });
        sum_in_order(bucket, parts);
        Ok(())
    }

    fn agree(&mut self, flags: u64) -> Result<u64> {
        let all = self.meet("agree", Brought::Flags(flags))?;
        Ok(all.iter().fold(0, |agreed, brought| if let Brought::Flags(flags) = brought { agreed | flags } else { agreed }))
    }

    fn gather(&mut self, bytes: Vec<u8>) -> Result<Option<Vec<Vec<u8>>>> {
        let all = self.meet("gather", Brought::Bytes(bytes))?;
        let copy = |brought: &Brought| if let Brought::Bytes(bytes) = brought { bytes.clone() } else { Vec::new() };
        Ok(self.is_global_zero().then(|| all.iter().map(copy).collect()))
    }

    fn broadcast(&mut self, bytes: &mut Vec<u8>) -> Result<()> {
        let brought = if self.is_global_zero() { std::mem::take(bytes) } else { Vec::new() };
        let all = self.meet("broadcast", Brought::Bytes(brought))?;
        if let Some(Brought::Bytes(of_zero)) = all.first() {
            bytes.clone_from(of_zero);
        }
        Ok(())
    }

    fn barrier(&mut self) -> Result<()> {
        self.meet("barrier", Brought::Nothing).map(drop)
    }

    fn abort(&mut self, reason: &str) {
        self.meeting.abort(self.rank, reason);
    }
}

/// Writes the sum of the parts into `bucket`, added from the first to the last.
fn sum_in_order<'a, T: Copy + std::ops::AddAssign + 'a>(bucket: &mut [T], mut parts: impl Iterator<Item = &'a [T]>) {
    if let Some(first) = parts.next() {
        bucket.copy_from_slice(first);
    }
    for part in parts {
        bucket.iter_mut().zip(part).for_each(|(sum, value)| *sum += *value);
    }
}
