use std::sync::Arc;

use super::Sampler;
use crate::{Error, Random, Result};

/// Some of the items, each once in an epoch, in a random order: `PyTorch`'s `SubsetRandomSampler`.
///
/// For a fixed order, select the items of the dataset (burn's `SelectionDataset`, [`Fold::of`](crate::Fold::of)).
#[derive(Clone, Debug)]
pub struct SubsetSampler {
    indices: Arc<[usize]>,
}

impl SubsetSampler {
    /// The items with these indices.
    pub fn new(indices: impl IntoIterator<Item = usize>) -> Self {
        Self { indices: indices.into_iter().collect() }
    }
}

impl Sampler for SubsetSampler {
    fn items(&self) -> usize {
        self.indices.len()
    }

    fn order(&self, seed: u64, epoch: usize) -> Vec<usize> {
        let mut order = self.indices.to_vec();
        Random::of_epoch(seed, epoch).shuffle(&mut order);
        order
    }

    fn check(&self, items: usize) -> Result<()> {
        match self.indices.iter().find(|&&index| index >= items) {
            Some(index) => Err(Error::sampler(format!("index {index} is past the end of the dataset, which has {items} items"))),
            None => Ok(()),
        }
    }
}
