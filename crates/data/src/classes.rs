//! Labels as classes.

use std::{collections::HashMap, hash::Hash};

/// The class of each item. Classes are numbered in the order in which they first occur.
#[derive(Clone, Debug)]
pub(crate) struct Classes {
    pub(crate) of_items: Vec<usize>,
    pub(crate) count: usize,
}

pub(crate) fn classes<L: Eq + Hash>(labels: impl IntoIterator<Item = L>) -> Classes {
    let mut known = HashMap::new();
    let of_items = labels
        .into_iter()
        .map(|label| {
            let next = known.len();
            *known.entry(label).or_insert(next)
        })
        .collect();
    Classes { of_items, count: known.len() }
}

impl Classes {
    /// The items of each class, in their order.
    pub(crate) fn members(&self) -> Vec<Vec<usize>> {
        let mut members = vec![Vec::new(); self.count];
        for (item, &class) in self.of_items.iter().enumerate() {
            members[class].push(item);
        }
        members
    }
}
