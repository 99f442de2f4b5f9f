//! Random numbers for whoever makes batches: a function of the seed, the epoch and the batch, for any number of workers.

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
    shuffle::{Xoshiro256, derive},
};

thread_local! {
    /// The seed of the batch that is being made on this thread, and how many generators it has got.
    static BATCH: Cell<Option<(u64, usize)>> = const { Cell::new(None) };
}

/// A generator for the batch that is being made: in batchers and functions given to [`Loader::collate`](crate::Loader::collate) and
/// [`Loader::map`](crate::Loader::map), in datasets and their items' maps, in iterators of [`Loader::from_fn`](crate::Loader::from_fn).
///
/// What it draws follows from the run's seed (given or drawn), the loader, the epoch and the batch, and from nothing else: it
/// is the same with any number of workers, and in a run that continues. Outside of a run it follows from the loader's own seed. Each call
/// gives another generator, the first of a batch always the same.
///
/// **burn's own generator cannot do this.** `Tensor::random` and `random_like` draw from one generator for the whole process, so that with
/// workers each thread gets what the others leave, the module's dropout included. Without workers they are repeatable too.
///
/// Only the thread that makes the batch knows which batch that is: take the generator there, and [`fork`](Random::fork) it for
/// threads of your own. Elsewhere this warns, and draws from no seed.
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
        tracing::warn!("`random()` was called where no batch is being made, or on a thread of its own: these numbers follow from no seed");
    });
    Random::new(RandomState::new().build_hasher().finish())
}

/// A generator of random numbers, from [`random`].
///
/// It is also one of the crate `rand` 0.10 (`rand_core::Rng`), and can be given to all that takes such a one. Its numbers are
/// fit for data and not for secrets.
pub struct Random {
    generator: Xoshiro256,
}

impl Random {
    /// The generator of this seed.
    pub fn new(seed: u64) -> Self {
        Self { generator: Xoshiro256::new(seed, 0) }
    }

    /// Another generator, for another thread or another purpose; its numbers have nothing to do with those to come here.
    pub fn fork(&mut self) -> Self {
        Self::new(self.generator.next())
    }

    /// Uniform in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.generator.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with this probability: never at 0, always at 1.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Uniform in `0..bound`; 0 if that is empty.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { self.generator.below(bound as u64) as usize }
    }

    /// Puts items into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }

    /// A tensor of burn's distribution, as `Tensor::random` makes one, with this generator. It is drawn on the host.
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

/// What the random numbers of one loader follow from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chance {
    seed: u64,
    /// It belongs to a run, which seeds burn's generator again for all that it does itself.
    of_run: bool,
}

impl Chance {
    /// From the run's seed, if the loader is in one, and whatever tells this loader from others.
    pub(crate) fn new(run: Option<u64>, own: u64) -> Self {
        Self { seed: derive(derive(run.unwrap_or(0), own as usize), 0), of_run: run.is_some() }
    }

    /// Whether the loader is in a run.
    pub(crate) fn is_of_run(self) -> bool {
        self.of_run
    }

    /// Runs code that makes a batch. burn's own generator is seeded for it, if this is the thread that iterates over the loader in a
    /// run: on any other thread that would change what this one draws.
    pub(crate) fn of_batch<T>(self, position: Position, iterating: Option<&Device>, code: impl FnOnce() -> T) -> T {
        struct Restore(Option<(u64, usize)>);
        impl Drop for Restore {
            fn drop(&mut self) {
                BATCH.set(self.0);
            }
        }
        let seed = derive(derive(self.seed, position.epoch), position.batch);
        if let Some(device) = iterating.filter(|_| self.of_run) {
            device.seed(seed);
        }
        let _restore = Restore(BATCH.replace(Some((seed, 0))));
        code()
    }
}
