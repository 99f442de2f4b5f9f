//! The place where threads bring something for a collective call, and take what all have brought.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};

/// The contribution of a rank.
pub(super) enum Brought {
    Nothing,
    Flags(u64),
    Bytes(Vec<u8>),
    Singles(Vec<f32>),
    Doubles(Vec<f64>),
}

pub(super) struct Meeting {
    now: Mutex<Now>,
    changed: Condvar,
}

struct Now {
    /// The number of completed calls.
    rounds: u64,
    /// The contribution of each rank to the current call.
    brought: Vec<Option<(String, Brought)>>,
    /// The result of the last call. It stays until all ranks are in the next one, so no rank misses it.
    last: Result<Arc<Vec<Brought>>>,
    failed: Option<Error>,
    /// Ranks that have ended without an error.
    left: Vec<usize>,
}

impl Meeting {
    pub(super) fn new(world: usize) -> Self {
        let brought = (0..world).map(|_| None).collect();
        let now = Now { rounds: 0, brought, last: Ok(Arc::default()), failed: None, left: Vec::new() };
        Self { now: Mutex::new(now), changed: Condvar::new() }
    }

    pub(super) fn world(&self) -> usize {
        self.lock().brought.len()
    }

    /// Waits until all ranks have brought something for this call. Returns it in the order of the ranks.
    pub(super) fn meet(&self, rank: usize, call: &'static str, brought: Brought) -> Result<Arc<Vec<Brought>>> {
        let mut now = self.lock();
        now.check()?;
        let call = match &brought {
            Brought::Singles(bucket) => format!("{call} of {} numbers", bucket.len()),
            Brought::Doubles(bucket) => format!("{call} of {} numbers", bucket.len()),
            Brought::Nothing | Brought::Flags(_) | Brought::Bytes(_) => call.to_owned(),
        };
        now.brought[rank] = Some((call, brought));
        let round = now.rounds;
        if now.brought.iter().all(Option::is_some) {
            now.conclude();
            self.changed.notify_all();
        }
        while now.rounds == round {
            // A call to which all came is valid, even if a rank failed right after it.
            now.check()?;
            now = self.changed.wait(now).unwrap_or_else(PoisonError::into_inner);
        }
        now.last.clone()
    }

    /// The rank has failed. The first failure counts: the others follow from it.
    pub(super) fn abort(&self, rank: usize, reason: &str) {
        self.lock().failed.get_or_insert_with(|| Error::Rank { rank, reason: reason.to_owned() });
        self.changed.notify_all();
    }

    /// The rank has ended. No other rank may wait for it from now on.
    pub(super) fn leave(&self, rank: usize) {
        self.lock().left.push(rank);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Now {
    /// Whether all ranks can still come.
    fn check(&self) -> Result<()> {
        let left = |rank: &usize| Error::Rank { rank: *rank, reason: "it has ended, and others still wait for it".to_owned() };
        self.failed.clone().or_else(|| self.left.first().map(left)).map_or(Ok(()), Err)
    }

    /// Ends the current call.
    fn conclude(&mut self) {
        let (calls, brought): (Vec<String>, Vec<Brought>) = self.brought.iter_mut().filter_map(Option::take).unzip();
        let other = calls.iter().position(|call| *call != calls[0]);
        self.last = match other {
            None => Ok(Arc::new(brought)),
            Some(other) => {
                let call = |rank: usize| (rank, calls[rank].clone());
                let error = Error::OutOfStep { ranks: [call(0), call(other)] };
                self.failed.get_or_insert_with(|| error.clone());
                Err(error)
            }
        };
        self.rounds += 1;
    }
}
