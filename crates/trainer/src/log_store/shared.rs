//! Names that both training and validation log, so that one value hides the other.

use std::collections::BTreeMap;

use stormfire_module::Hook;

use super::LogStore;

impl LogStore {
    /// Each name that was logged in both loops, with its training hook and its validation hook.
    pub(crate) fn shared_names(&self) -> BTreeMap<&str, (Hook, Hook)> {
        let train: BTreeMap<&str, Hook> = self.train.slots.iter().map(|slot| (&*slot.name, slot.hook)).collect();
        let shared = self.evaluation.slots.iter().filter_map(|slot| Some((&*slot.name, (*train.get(&*slot.name)?, slot.hook))));
        shared.collect()
    }
}
