//! Jobs on several threads.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use stormfire_module::{Error, Result};

/// The most jobs at a time. More processes than this are of no use on one machine, and each thread has memory.
pub const MOST_JOBS: usize = 256;

/// Does jobs on `threads` threads, at most [`MOST_JOBS`], until `next` has none. After the first error no thread starts
/// another job.
///
/// # Errors
/// The first error of `next` or `work`, if a thread panics, or if the system starts no further thread.
pub fn work_off<J>(threads: usize, next: impl Fn() -> Result<Option<J>> + Sync, work: impl Fn(J) -> Result<()> + Sync) -> Result<()> {
    let has_failed = AtomicBool::new(false);
    let all = || -> Result<()> {
        while !has_failed.load(Ordering::SeqCst)
            && let Some(job) = next()?
        {
            work(job)?;
        }
        Ok(())
    };
    let noted = || {
        let outcome = all();
        has_failed.fetch_or(outcome.is_err(), Ordering::SeqCst);
        outcome
    };
    thread::scope(|scope| {
        let mut workers = Vec::new();
        let mut outcome = Ok(());
        for _ in 0..threads.clamp(1, MOST_JOBS) {
            match thread::Builder::new().spawn_scoped(scope, noted) {
                Ok(worker) => workers.push(worker),
                Err(error) => {
                    has_failed.store(true, Ordering::SeqCst);
                    outcome = Err(Error::other(format!("a thread that runs jobs cannot be started: {error}")));
                    break;
                }
            }
        }
        let panicked = |_| Err(Error::other("a thread that runs jobs has panicked"));
        // All of them end before the first error is returned.
        let outcomes: Vec<Result<()>> = workers.into_iter().map(|worker| worker.join().unwrap_or_else(panicked)).collect();
        outcomes.into_iter().collect::<Result<()>>().and(outcome)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, Mutex};

    use super::*;

    /// Does the jobs 0 to 9, of which one fails.
    fn done(threads: usize, wrong: usize) -> (Result<()>, Vec<usize>) {
        let (left, done) = (Mutex::new(0..10), Mutex::new(Vec::new()));
        let outcome = work_off(
            threads,
            || Ok(left.lock().unwrap().next()),
            |job| {
                done.lock().unwrap().push(job);
                if job == wrong { Err(Error::other(job.to_string())) } else { Ok(()) }
            },
        );
        let mut done = done.into_inner().unwrap();
        done.sort_unstable();
        (outcome, done)
    }

    #[test]
    fn each_job_is_done_once() {
        // The system would not start as many threads as the last ones.
        for threads in [0, 1, 3, 50_000, usize::MAX] {
            let (outcome, all) = done(threads, 10);
            assert!(outcome.is_ok() && all == (0..10).collect::<Vec<_>>(), "{all:?}");
        }
    }

    #[test]
    fn an_error_starts_no_other_job() {
        let (outcome, all) = done(1, 2);
        assert_eq!((outcome.unwrap_err().to_string().as_str(), all), ("2", vec![0, 1, 2]));
        let (outcome, _) = done(3, 2);
        assert_eq!(outcome.unwrap_err().to_string(), "2");
    }

    #[test]
    fn threads_work_at_the_same_time() {
        let (left, met) = (Mutex::new(0..2), Barrier::new(2));
        let work = |_| {
            met.wait();
            Ok(())
        };
        work_off(2, || Ok(left.lock().unwrap().next()), work).unwrap();
    }
}
