//! Samplers: which items an epoch uses, and in which order, as a function of (seed, epoch).

mod balanced;
mod by_length;
mod stratified;
mod subset_sampler;
mod weighted;

use std::sync::Arc;

pub use balanced::ClassBalancedSampler;
pub use by_length::LengthSampler;
pub use stratified::StratifiedSampler;
pub use subset_sampler::SubsetSampler;
pub use weighted::WeightedSampler;

use crate::Result;

/// Decides which items an epoch uses, and in which order, for [`Loader::sampler`](crate::Loader::sampler).
///
/// The order depends on the seed and the epoch only. So it is the same for any number of workers and ranks, and after a
/// resume. [`Random::of_epoch`](crate::Random::of_epoch) is a generator for it.
///
/// ```
/// use burn::{data::dataset::InMemDataset, tensor::Device};
/// use stormfire_data::{Loader, Position, Sampler};
///
/// /// Every other item, and each epoch the other half.
/// struct Halves(usize);
///
/// impl Sampler for Halves {
///     fn items(&self) -> usize {
///         self.0 / 2
///     }
///
///     fn order(&self, _seed: u64, epoch: usize) -> Vec<usize> {
///         (0..self.items()).map(|item| 2 * item + epoch % 2).collect()
///     }
/// }
///
/// let loader = Loader::collate(InMemDataset::new((0..8).collect()), |items: Vec<u32>, _| items);
/// let loader = loader.batch_size(4).sampler(Halves(8));
/// let first = |epoch| loader.batches(Position::start_of(epoch), &Device::flex())?.next().transpose();
/// assert_eq!(first(0)?.map(|batch| batch.value), Some(vec![0, 2, 4, 6]));
/// assert_eq!(first(1)?.map(|batch| batch.value), Some(vec![1, 3, 5, 7]));
/// # Ok::<(), stormfire_data::Error>(())
/// ```
pub trait Sampler: Send + Sync {
    /// The number of items of an epoch, the same in every epoch.
    fn items(&self) -> usize;

    /// The indices of the items of an epoch. An index may occur several times.
    fn order(&self, seed: u64, epoch: usize) -> Vec<usize>;

    /// Checks its settings for a dataset with `items` items. The default accepts all.
    ///
    /// # Errors
    /// The reason, for example [`Error::Sampler`](crate::Error::Sampler).
    fn check(&self, items: usize) -> Result<()> {
        let _ = items;
        Ok(())
    }
}

/// Decides which items are in which batch, for [`Loader::batch_sampler`](crate::Loader::batch_sampler). Batches may
/// have different sizes.
///
/// As for a [`Sampler`], the batches depend on the seed and the epoch only.
pub trait BatchSampler: Send + Sync {
    /// The number of batches of an epoch, the same in every epoch.
    fn batches(&self) -> usize;

    /// The indices of the items of each batch of an epoch.
    fn order(&self, seed: u64, epoch: usize) -> Vec<Vec<usize>>;

    /// Checks its settings for a dataset with `items` items. The default accepts all.
    ///
    /// # Errors
    /// The reason, for example [`Error::Sampler`](crate::Error::Sampler).
    fn check(&self, items: usize) -> Result<()> {
        let _ = items;
        Ok(())
    }
}

/// The sampler of a loader.
#[derive(Clone)]
pub(crate) enum AnySampler {
    Items(Arc<dyn Sampler>),
    Batches(Arc<dyn BatchSampler>),
}

impl AnySampler {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Items(_) => "sampler",
            Self::Batches(_) => "batch_sampler",
        }
    }

    pub(crate) fn check(&self, items: usize) -> Result<()> {
        match self {
            Self::Items(sampler) => sampler.check(items),
            Self::Batches(sampler) => sampler.check(items),
        }
    }
}

#[cfg(test)]
mod fairseq;
#[cfg(test)]
mod tests;
