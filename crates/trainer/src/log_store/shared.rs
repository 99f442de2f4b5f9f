//! Names that training and validation share, so that one hides the other.

use std::collections::BTreeMap;

use stormfire_module::Hook;

use super::LogStore;

impl LogStore {
    /// Each name that was logged in both loops, with a hook of the training and one of the validation.
    pub(crate) fn shared_names(&self) -> BTreeMap<&str, (Hook, Hook)> {
        let train: BTreeMap<&str, Hook> = self.train.slots.iter().map(|slot| (&*slot.name, slot.hook)).collect();
        let shared = self.evaluation.slots.iter().filter_map(|slot| Some((&*slot.name, (*train.get(&*slot.name)?, slot.hook))));
        shared.collect()
    }
}
