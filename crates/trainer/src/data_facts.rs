//! The properties of the training data that a position in it depends on.

use serde::{Deserialize, Serialize};
use stormfire_data::{Length, Loader, for_trainer::DriveLoader as _};

/// The properties that must not change within an epoch, because a position in the data is meaningless in other data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DataFacts {
    /// Number of training batches per epoch, before any limit.
    batches: Option<usize>,
    /// Number of items in the training data.
    items: Option<usize>,
    is_shuffled: bool,
    /// The Trainer's seed, which determines the order of the data.
    pub(crate) seed: Option<u64>,
    /// The options of the loader that decide which items are in which batch, as text.
    order: String,
}

impl DataFacts {
    pub(crate) fn of<B: Send + 'static>(train: &Loader<B>, seed: Option<u64>) -> Self {
        let batches = match train.len() {
            Length::Batches(n) => Some(n),
            Length::Unknown => None,
        };
        Self { batches, items: train.dataset_len(), is_shuffled: train.is_shuffled(), seed, order: train.order() }
    }

    /// Describes the first difference.
    pub(crate) fn difference(&self, now: &Self) -> Option<String> {
        let number = |n: Option<usize>| n.map_or_else(|| "an unknown number of".to_owned(), |n| n.to_string());
        if self.items != now.items {
            return Some(format!("it has {} items, the checkpoint's had {}", number(now.items), number(self.items)));
        }
        if self.batches != now.batches {
            return Some(format!("it has {} batches an epoch, the checkpoint's had {}", number(now.batches), number(self.batches)));
        }
        if self.is_shuffled != now.is_shuffled {
            let is = |shuffled| if shuffled { "shuffled" } else { "not shuffled" };
            return Some(format!("it is {}, the checkpoint's was {}", is(now.is_shuffled), is(self.is_shuffled)));
        }
        if self.is_shuffled && self.seed != now.seed {
            return Some("it is shuffled with another `seed` than the checkpoint's".to_owned());
        }
        (self.order != now.order).then(|| format!("its loader has {}, the checkpoint's had {}", now.order, self.order))
    }
}
