//! Some of the items of a dataset.

use std::{fmt, sync::Arc};

use burn::data::dataset::{Dataset, DatasetError};

use crate::{Error, Result};

/// Some of the items of a dataset, in a fixed order. An index may occur several times.
///
/// burn's `SelectionDataset` is the same for items that can be cloned.
pub struct Subset<I> {
    dataset: Arc<dyn Dataset<I>>,
    indices: Arc<[usize]>,
}

impl<I> Subset<I> {
    /// The items with these indices. [`Error::Split`] for an index past the end of the dataset.
    pub fn new(dataset: Arc<dyn Dataset<I>>, indices: impl Into<Arc<[usize]>>) -> Result<Self> {
        let (indices, items) = (indices.into(), dataset.len());
        match indices.iter().find(|&&index| index >= items) {
            Some(index) => Err(Error::split(format!("index {index} is past its end: it has {items} items"))),
            None => Ok(Self { dataset, indices }),
        }
    }

    /// The indices of its items in the whole dataset.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }
}

impl<I> Dataset<I> for Subset<I> {
    fn get(&self, index: usize) -> Result<I, DatasetError> {
        self.dataset.get(self.indices[index])
    }

    fn get_many(&self, indices: Vec<usize>) -> Result<Vec<I>, DatasetError> {
        self.dataset.get_many(indices.into_iter().map(|index| self.indices[index]).collect())
    }

    fn len(&self) -> usize {
        self.indices.len()
    }
}

impl<I> Clone for Subset<I> {
    fn clone(&self) -> Self {
        Self { dataset: self.dataset.clone(), indices: self.indices.clone() }
    }
}

impl<I> fmt::Debug for Subset<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subset").field("items", &self.indices.len()).finish_non_exhaustive()
    }
}
