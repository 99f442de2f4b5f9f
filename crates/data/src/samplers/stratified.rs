use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    hash::Hash,
    sync::Arc,
};

use super::Sampler;
use crate::{
    Error, Random, Result,
    classes::{Classes, classes},
};

/// All items, each once in an epoch, in a random order in which every stretch has the classes in the proportion of the
/// dataset.
///
/// Among the first `m` items of an epoch, the number of items of a class differs by less than one from its share of
/// `m`. So it differs by less than two in a batch of any size.
#[derive(Clone, Debug)]
pub struct StratifiedSampler {
    classes: Arc<Classes>,
}

impl StratifiedSampler {
    /// One label for each item of the dataset.
    pub fn new<L: Eq + Hash>(labels: impl IntoIterator<Item = L>) -> Self {
        Self { classes: Arc::new(classes(labels)) }
    }
}

impl Sampler for StratifiedSampler {
    fn items(&self) -> usize {
        self.classes.of_items.len()
    }

    /// A class with `c` of `n` items must have its `j`-th turn (from 0) in the places `floor(j n / c)` to
    /// `ceil((j + 1) n / c) - 1`. "Earliest deadline first" meets all deadlines, because the classes fill the places
    /// exactly (the schedule of Baruah et al., "Proportionate progress", 1996, for one processor).
    fn order(&self, seed: u64, epoch: usize) -> Vec<usize> {
        let mut random = Random::of_epoch(seed, epoch);
        let n = self.items() as u128;
        let mut members = self.classes.members();
        for items in &mut members {
            random.shuffle(items);
        }
        // The order of classes with the same deadline.
        let mut ranks: Vec<usize> = (0..members.len()).collect();
        random.shuffle(&mut ranks);
        let release = |class: usize, turn: usize| turn as u128 * n / members[class].len() as u128;
        let deadline = |class: usize, turn: usize| ((turn + 1) as u128 * n).div_ceil(members[class].len() as u128);
        let mut turns = vec![0; members.len()];
        let mut waiting: BTreeMap<u128, Vec<usize>> = BTreeMap::from([(0, (0..members.len()).collect())]);
        let mut ready = BinaryHeap::new();
        let mut order = Vec::with_capacity(self.items());
        for place in 0..n {
            for class in waiting.remove(&place).unwrap_or_default() {
                ready.push(Reverse((deadline(class, turns[class]), ranks[class], class)));
            }
            let Some(Reverse((_, _, class))) = ready.pop() else { continue };
            order.push(members[class][turns[class]]);
            turns[class] += 1;
            if turns[class] < members[class].len() {
                waiting.entry(release(class, turns[class]).max(place + 1)).or_default().push(class);
            }
        }
        order
    }

    fn check(&self, items: usize) -> Result<()> {
        check_labels(&self.classes, items)
    }
}

pub(super) fn check_labels(classes: &Classes, items: usize) -> Result<()> {
    match classes.of_items.len() {
        labels if labels == items => Ok(()),
        labels => Err(Error::sampler(format!("there are {labels} labels for {items} items"))),
    }
}
