use std::{hash::Hash, sync::Arc};

use super::{Sampler, stratified::check_labels};
use crate::{
    Random, Result,
    classes::{Classes, classes},
};

/// Items in a random order, in which every class is as frequent as every other.
///
/// An epoch has the same number of items of each class, up to one. Items of a small class are repeated, items of a
/// large class are left out. Within a class, each item is used as often as every other, up to one.
/// [`WeightedSampler`](super::WeightedSampler) with the weights `1 / class size` has the same proportions, but each
/// item is an independent draw.
#[derive(Clone, Debug)]
pub struct ClassBalancedSampler {
    classes: Arc<Classes>,
    samples: usize,
}

impl ClassBalancedSampler {
    /// One label for each item of the dataset. An epoch has as many items as there are labels.
    pub fn new<L: Eq + Hash>(labels: impl IntoIterator<Item = L>) -> Self {
        let classes = Arc::new(classes(labels));
        Self { samples: classes.of_items.len(), classes }
    }

    /// The number of items of an epoch.
    #[must_use]
    pub fn samples(mut self, items: usize) -> Self {
        self.samples = items;
        self
    }
}

impl Sampler for ClassBalancedSampler {
    fn items(&self) -> usize {
        if self.classes.count == 0 { 0 } else { self.samples }
    }

    fn order(&self, seed: u64, epoch: usize) -> Vec<usize> {
        let mut random = Random::of_epoch(seed, epoch);
        let mut members = self.classes.members();
        // The classes that get one item more are drawn.
        random.shuffle(&mut members);
        let count = members.len().max(1);
        let mut order = Vec::with_capacity(self.samples);
        for (index, items) in members.iter_mut().enumerate() {
            let mut wanted = self.samples / count + usize::from(index < self.samples % count);
            while wanted > 0 {
                random.shuffle(items);
                let taken = wanted.min(items.len());
                order.extend_from_slice(&items[..taken]);
                wanted -= taken;
            }
        }
        random.shuffle(&mut order);
        order
    }

    fn check(&self, items: usize) -> Result<()> {
        check_labels(&self.classes, items)
    }
}
