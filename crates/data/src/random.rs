//! Random numbers for the code that makes batches. They depend on the seed, the epoch and the batch, not on the number
//! of workers.

use std::{
    cell::Cell,
    convert::Infallible,
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    sync::Once,
};

use burn::tensor::{Device, Distribution, Shape, Tensor, TensorData};
use rand_core::TryRng;

use crate::{
    Position,
    foreign_draws::{self, Announced, Seen},
    shuffle::{Xoshiro256, derive},
};

thread_local! {
    /// The seed of the batch that this thread is making, and the number of generators it has requested.
    static BATCH: Cell<Option<(u64, usize)>> = const { Cell::new(None) };
}

/// Returns a random generator for the current batch. Works in batchers, in functions given to
/// [`Loader::collate`](crate::Loader::collate) and [`Loader::map`](crate::Loader::map), in datasets and their mappers,
/// and in iterators of [`Loader::from_fn`](crate::Loader::from_fn).
///
/// Its numbers depend on the run's seed (given or drawn), the loader, the epoch and the batch, and on nothing else.
/// They are the same for any number of workers and after a resume. Outside of a run, they depend on the loader's own
/// seed. Each call within a batch returns a different generator, in an order that is always the same.
///
/// **burn's own generator cannot do this.** `Tensor::random` and `random_like` draw from one generator for the whole
/// process. With workers, the numbers of each thread depend on the other threads, including the module's dropout. A run
/// warns of it. Without workers, they are repeatable too.
///
/// Only the thread that makes the batch knows which batch it is. Call `random` on that thread, and
/// [`fork`](Random::fork) the generator for your own threads. Elsewhere, `random` warns and its numbers are not
/// repeatable.
///
/// ```
/// use burn::{data::dataset::InMemDataset, prelude::*, tensor::Distribution};
/// use stormfire_data::{Loader, Position, random};
///
/// let augment = |points: Vec<f32>, device: &Device| {
///     let mut random = random();
///     // Half of the points are mirrored, all get some noise.
///     let points: Vec<f32> = points.into_iter().map(|x| if random.chance(0.5) { -x } else { x }).collect();
///     let noise = random.tensor::<1>([points.len()], Distribution::Normal(0.0, 0.1), device);
///     Tensor::<1>::from_floats(points.as_slice(), device) + noise
/// };
/// let first = |workers: usize| {
///     let points = InMemDataset::new(vec![1.0, 2.0, 3.0, 4.0]);
///     let loader = Loader::collate(points, augment).batch_size(2).workers(workers);
///     let batch = loader.batches(Position::default(), &Device::flex()).unwrap().next().unwrap().unwrap();
///     batch.value.into_data()
/// };
/// assert_eq!(first(0), first(2));
/// ```
pub fn random() -> Random {
    static TOLD: Once = Once::new();
    if let Some((seed, taken)) = BATCH.get() {
        BATCH.set(Some((seed, taken + 1)));
        return Random::new(derive(seed, taken));
    }
    TOLD.call_once(|| {
        tracing::warn!("`random()` was called outside of making a batch, or on another thread: these numbers are not repeatable");
    });
    Random::new(RandomState::new().build_hasher().finish())
}

/// A random number generator, returned by [`random`].
///
/// It implements the trait of the crate `rand` 0.10 (`rand_core::Rng`), so it works with any function that takes such a
/// generator. It is not cryptographically secure.
pub struct Random {
    generator: Xoshiro256,
}

impl Random {
    /// A generator with this seed.
    pub fn new(seed: u64) -> Self {
        Self { generator: Xoshiro256::new(seed, 0) }
    }

    /// The generator of an epoch, for a [`Sampler`](crate::Sampler).
    pub fn of_epoch(seed: u64, epoch: usize) -> Self {
        Self { generator: Xoshiro256::new(seed, epoch as u64) }
    }

    /// Returns another generator, for another thread or purpose. Its numbers are independent of the next numbers of
    /// this one.
    pub fn fork(&mut self) -> Self {
        Self::new(self.generator.next())
    }

    /// Uniform in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.generator.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns true with this probability: never at 0, always at 1.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Uniform in `0..bound`. 0 if the range is empty.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { self.generator.below(bound as u64) as usize }
    }

    /// Puts items into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }

    /// Returns a tensor with one of burn's distributions, like `Tensor::random`, but with this generator. It is drawn
    /// on the host.
    pub fn tensor<const D: usize>(&mut self, shape: impl Into<Shape>, distribution: Distribution, device: &Device) -> Tensor<D> {
        Tensor::from_data(TensorData::random::<f32, _, _>(shape, distribution, self), device)
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Random").finish_non_exhaustive()
    }
}

impl TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.generator.next() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.generator.next())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.generator.next().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// The seeds of one loader's random numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chance {
    seed: u64,
    /// Whether the loader is in a run. A run reseeds burn's generator for its own steps.
    of_run: bool,
}

impl Chance {
    /// Combines the run's seed, if the loader is in a run, with a seed that distinguishes this loader from others.
    pub(crate) fn new(run: Option<u64>, own: u64) -> Self {
        Self { seed: derive(derive(run.unwrap_or(0), own as usize), 0), of_run: run.is_some() }
    }

    /// In a run, announces a check of the other threads that make batches. A loader inside of a batch makes its own
    /// while the iterating thread has its turn.
    pub(crate) fn announce(self, threads: &Seen, device: &Device) -> Announced {
        if self.of_run && BATCH.get().is_none() { threads.announce(device) } else { Announced::default() }
    }

    /// Runs code that makes a batch. On the iterating thread in a run, it also seeds burn's generator. On any other
    /// thread, that would change the numbers of the iterating thread.
    pub(crate) fn of_batch<T>(self, position: Position, iterating: Option<&Device>, code: impl FnOnce() -> T) -> T {
        struct Restore(Option<(u64, usize)>);
        impl Drop for Restore {
            fn drop(&mut self) {
                BATCH.set(self.0);
            }
        }
        let seed = derive(derive(self.seed, position.epoch), position.batch);
        let iterating = iterating.filter(|_| self.of_run);
        let _turn = iterating.and_then(|_| foreign_draws::turn());
        if let Some(device) = iterating {
            device.seed(seed);
        }
        let _restore = Restore(BATCH.replace(Some((seed, 0))));
        code()
    }
}
