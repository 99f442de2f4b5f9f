//! A device value that several threads may need.

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
};

use super::{Part, ReadError, Result, Scalar, read_parts};

type Function = dyn Fn(&[Part]) -> f64 + Send + Sync;

/// Makes one number of a state on the host.
#[derive(Clone)]
pub struct OnHost(Arc<Function>);

impl OnHost {
    /// Wraps a function. All parts that it gets are on the host.
    pub fn new(function: impl Fn(&[Part]) -> f64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(function))
    }

    /// The number.
    pub fn apply(&self, parts: &[Part]) -> f64 {
        (self.0)(parts)
    }
}

impl fmt::Debug for OnHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnHost")
    }
}

/// The origin of a number.
#[derive(Clone, Debug)]
pub enum Source {
    /// A scalar.
    One(Scalar),
    /// A state, which a function makes one number on the host.
    Computed(Arc<[Part]>, OnHost),
}

impl Source {
    /// The scalar, or NaN if it is a state.
    pub fn scalar(self) -> Scalar {
        match self {
            Source::One(scalar) => scalar,
            Source::Computed(..) => Scalar::Host(f64::NAN),
        }
    }
}

/// A number that several consumers may need. It is read once, by the first thread that needs it. The others wait for
/// that thread.
#[derive(Clone, Debug)]
pub struct Reading(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pending: Mutex<Pending>,
    /// Signals that a thread has released its claim.
    settled: Condvar,
    host: OnceLock<f64>,
}

#[derive(Debug)]
struct Pending {
    /// After the read: the number itself.
    source: Source,
    /// Whether a thread is reading it.
    is_claimed: bool,
}

impl Reading {
    /// Wraps a scalar that will be read later.
    pub fn new(scalar: Scalar) -> Self {
        Self::of(Source::One(scalar))
    }

    /// Wraps a state that will be read later, and a function that makes it one number on the host. Readings of the same
    /// state share its read.
    pub fn computed(parts: &Arc<[Part]>, compute: OnHost) -> Self {
        if parts.iter().all(Part::is_on_host) {
            return Self::new(Scalar::Host(compute.apply(parts)));
        }
        Self::of(Source::Computed(Arc::clone(parts), compute))
    }

    fn of(source: Source) -> Self {
        let host = if let Source::One(Scalar::Host(value)) = source { OnceLock::from(value) } else { OnceLock::new() };
        Reading(Arc::new(Inner { pending: Mutex::new(Pending { source, is_claimed: false }), settled: Condvar::new(), host }))
    }

    /// The origin of the number: the number itself if it was read.
    pub fn source(&self) -> Source {
        self.lock().source.clone()
    }

    /// The value, if it was already read. Never waits.
    pub fn get(&self) -> Option<f64> {
        self.0.host.get().copied()
    }

    /// The value. Waits for it if it was not read yet. For several values, [`read_all`](Self::read_all) waits once.
    ///
    /// # Errors
    /// As [`read`](crate::read::read).
    pub fn read(&self) -> Result<f64> {
        let values = Self::read_all(std::slice::from_ref(self))?;
        values.first().copied().ok_or_else(|| ReadError { count: 1, reason: "it returned nothing".into() })
    }

    /// Reads all values in one transaction and returns them in order. Waits for values that other threads are reading.
    ///
    /// # Errors
    /// As [`read`](crate::read::read).
    pub fn read_all(readings: &[Reading]) -> Result<Vec<f64>> {
        loop {
            // A thread never waits while other threads wait for its claims.
            let claims: Vec<Claim<'_>> = readings.iter().filter_map(Reading::claim).collect();
            settle(&claims)?;
            drop(claims);
            readings.iter().for_each(Reading::wait);
            let values: Option<Vec<f64>> = readings.iter().map(Reading::get).collect();
            // If another thread's read has failed, this thread tries.
            if let Some(values) = values {
                return Ok(values);
            }
        }
    }

    fn claim(&self) -> Option<Claim<'_>> {
        if self.get().is_some() {
            return None;
        }
        let mut pending = self.lock();
        // Another thread may have read it since.
        if pending.is_claimed || self.get().is_some() {
            return None;
        }
        pending.is_claimed = true;
        Some(Claim { reading: self, source: pending.source.clone() })
    }

    /// Waits until no thread is reading it.
    fn wait(&self) {
        if self.get().is_some() {
            return;
        }
        let mut pending = self.lock();
        while pending.is_claimed {
            pending = self.0.settled.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A thread that panicked while holding the lock left a consistent value, because the value is only replaced as a
    /// whole.
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.0.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the values of claims in one transaction.
fn settle(claims: &[Claim<'_>]) -> Result<()> {
    let mut parts: Vec<Part> = Vec::new();
    // Where the parts of a claim begin, and of which state they are.
    let mut starts: Vec<(usize, Option<&Arc<[Part]>>)> = Vec::with_capacity(claims.len());
    for claim in claims {
        match &claim.source {
            Source::One(scalar) => {
                starts.push((parts.len(), None));
                parts.push(Part::Number(scalar.clone()));
            }
            Source::Computed(state, _) => {
                // The numbers of one state follow each other.
                let before = starts.last().and_then(|(start, of)| of.is_some_and(|of| Arc::ptr_eq(of, state)).then_some(*start));
                starts.push((before.unwrap_or(parts.len()), Some(state)));
                if before.is_none() {
                    parts.extend(state.iter().cloned());
                }
            }
        }
    }
    let read = read_parts(&parts)?;
    for (claim, (start, _)) in claims.iter().zip(starts) {
        let value = match &claim.source {
            Source::One(_) => read.get(start).map(Part::number),
            Source::Computed(state, compute) => read.get(start..start + state.len()).map(|parts| compute.apply(parts)),
        };
        let missing = || ReadError { count: parts.len(), reason: format!("it returned {}", read.len()) };
        claim.settle(value.ok_or_else(missing)?);
    }
    Ok(())
}

/// The right to read a value. It is released on drop, also after a failure.
struct Claim<'a> {
    reading: &'a Reading,
    source: Source,
}

impl Claim<'_> {
    fn settle(&self, value: f64) {
        let value = *self.reading.0.host.get_or_init(|| value);
        self.reading.lock().source = Source::One(Scalar::Host(value));
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.reading.lock().is_claimed = false;
        self.reading.0.settled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use burn::tensor::{Device, Tensor};

    use super::*;
    use crate::read::{DistantCpu, ForbidReads, device_reads};

    fn on_device(value: f32) -> Scalar {
        Tensor::<1>::from_floats([value], &Device::flex()).into()
    }

    #[test]
    fn a_reading_is_read_once() {
        let _distant = DistantCpu::new();
        let reading = Reading::new(on_device(0.5));
        assert_eq!(reading.get(), None);
        let before = device_reads();
        assert_eq!(Reading::read_all(&[reading.clone(), Reading::new(Scalar::Host(1.0)), reading.clone()]).unwrap(), [0.5, 1.0, 0.5]);
        assert_eq!(Reading::read_all(std::slice::from_ref(&reading)).unwrap(), [0.5]);
        assert_eq!(device_reads() - before, 1);
        assert_eq!((reading.get(), reading.read()), (Some(0.5), Ok(0.5)));
    }

    #[test]
    fn two_threads_read_a_value_once() {
        let _distant = DistantCpu::new();
        let readings: Vec<Reading> = (0..500).map(|i| Reading::new(on_device(i as f32))).collect();
        let reads = |backwards: bool| {
            let before = device_reads();
            for i in 0..readings.len() {
                // The neighbour is the value that the other thread may be reading.
                let i = if backwards { readings.len() - 1 - i } else { i };
                let two = [readings[i].clone(), readings[(i + 1) % readings.len()].clone()];
                assert_eq!(Reading::read_all(&two).unwrap()[..1], [i as f64]);
            }
            device_reads() - before
        };
        let in_all: u64 = thread::scope(|scope| {
            let threads = [false, false, true].map(|backwards| scope.spawn(move || reads(backwards)));
            threads.map(|thread| thread.join().unwrap()).iter().sum()
        });
        assert!(in_all <= 500, "{in_all} reads of 500 values");
    }

    #[test]
    fn the_numbers_of_one_state_share_its_read() {
        let _distant = DistantCpu::new();
        let parts: Arc<[Part]> = [on_device(2.0), on_device(3.0)].map(Part::Number).into();
        let of = |index: usize| Reading::computed(&parts, OnHost::new(move |parts| parts[index].number() * 10.0));
        let before = device_reads();
        let readings = [of(0), Reading::new(on_device(0.5)), of(1), of(0)];
        assert_eq!(Reading::read_all(&readings).unwrap(), [20.0, 0.5, 30.0, 20.0]);
        assert_eq!(device_reads() - before, 1);
        let at_hand: Arc<[Part]> = [Part::Number(4.0.into())].into();
        assert_eq!(Reading::computed(&at_hand, OnHost::new(|parts| parts[0].number())).get(), Some(4.0));
    }

    #[test]
    fn a_read_that_fails_on_one_thread_succeeds_on_another() {
        let _distant = DistantCpu::new();
        let reading = Reading::new(on_device(0.5));
        let forbidden = ForbidReads::new();
        assert!(Reading::read_all(std::slice::from_ref(&reading)).is_err());
        drop(forbidden);
        assert_eq!(Reading::read_all(&[reading]).unwrap(), [0.5]);
    }
}
