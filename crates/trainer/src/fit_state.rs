//! The state of a fit at one moment. It has three uses: a checkpoint, the state kept for a failure, and an epoch that a
//! limit cuts short.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::{Device, TensorData};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stormfire_checkpoint::{Manifest, Saved, Snapshot, tensor_names::take_under};
use stormfire_module::{Result, moment::Progress, place::Place, requests::Requests, state};
use stormfire_optim::for_trainer::OptimizersSnapshot;

use crate::{
    in_force::Weights,
    log_state::{LogState, METRICS_FOLDER, Pending},
    saved_log::SavedLog,
};

/// A fit at one moment: handles of its tensors, and the small state.
#[derive(Debug)]
pub(crate) struct FitState<M> {
    pub(crate) weights: Weights<M>,
    pub(crate) optimizers: OptimizersSnapshot,
    /// The gradients of an incomplete window.
    pub(crate) gradients: Snapshot,
    pub(crate) run: RunState,
}

/// The state without the values that a step changes: the parameters, the optimizers and the gradients. Logged numbers
/// that are still on the device are in `pending`.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunState {
    pub(crate) place: Place,
    pub(crate) log: LogState,
    pub(crate) pending: Pending,
    /// The states of the callbacks, by key.
    pub(crate) callbacks: BTreeMap<String, Saved>,
    pub(crate) data_module: Saved,
    /// The positions of the loggers, if they were awaited.
    pub(crate) loggers: Vec<SavedLog>,
}

/// The plain values of a [`RunState`], as in a manifest.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SavedRun {
    pub(crate) progress: Progress,
    pub(crate) place: Place,
    pub(crate) log: LogState,
    pub(crate) callbacks: Map<String, Value>,
    pub(crate) data_module: Value,
    pub(crate) loggers: Vec<SavedLog>,
}

/// The folder for the tensors of the state before the early end of an epoch.
pub(crate) const UNFINISHED: &str = "unfinished/";

/// The folder for the tensors of the data module.
pub(crate) const DATA_MODULE: &str = "data_module/";
const CALLBACKS: &str = "callbacks/";

/// The folder for the tensors of a callback. The key is escaped, because a `/` in it could lead into another callback's
/// folder.
fn folder_of(key: &str) -> String {
    format!("{CALLBACKS}{}/", key.replace('%', "%25").replace('/', "%2F"))
}

impl RunState {
    /// Adds the tensors to a snapshot, below a folder, and returns the plain values.
    pub(crate) fn save(self, folder: &str, snapshot: &mut Snapshot) -> Result<SavedRun> {
        let Self { place, mut log, pending: _, callbacks, mut data_module, loggers } = self;
        log.move_arrays(folder, snapshot);
        let mut plain = Map::new();
        for (key, mut saved) in callbacks {
            saved.add_to(&format!("{folder}{}", folder_of(&key)), snapshot)?;
            plain.insert(key, saved.take_json());
        }
        data_module.add_to(&format!("{folder}{DATA_MODULE}"), snapshot)?;
        let progress = place.progress.clone();
        Ok(SavedRun { progress, place, log, callbacks: plain, data_module: data_module.take_json(), loggers })
    }

    /// Restores a state, and takes its tensors from those of a checkpoint.
    pub(crate) fn load(saved: SavedRun, folder: &str, tensors: &mut BTreeMap<String, TensorData>, device: &Device) -> Self {
        let SavedRun { progress, place, mut log, callbacks, data_module, loggers } = saved;
        log.take_arrays(&mut take_under(tensors, &format!("{folder}{METRICS_FOLDER}")));
        let mut read = |json, below: &str| Saved::read(json, take_under(tensors, &format!("{folder}{below}")), device);
        let data_module = read(data_module, DATA_MODULE);
        let callbacks = callbacks.into_iter().map(|(key, json)| (key.clone(), read(json, &folder_of(&key)))).collect();
        Self { place: Place { progress, ..place }, log, pending: Pending::default(), callbacks, data_module, loggers }
    }
}

impl SavedRun {
    /// Reads the values of a manifest.
    pub(crate) fn of(manifest: &Manifest) -> Result<Self> {
        let (callbacks, data_module) = (manifest.callbacks.clone(), manifest.data_module.clone());
        let mut run = Self { callbacks, data_module, ..Self::default() };
        state::load(&mut run.progress, manifest.progress.clone())?;
        state::load(&mut run.place, manifest.place.clone())?;
        state::load(&mut run.log, manifest.log.clone())?;
        state::load(&mut run.loggers, manifest.loggers.clone())?;
        Ok(run)
    }

    /// The state before the early end of an epoch, if the manifest has one.
    pub(crate) fn unfinished(manifest: &Manifest) -> Result<Option<Self>> {
        let mut unfinished = Self::default();
        state::load(&mut unfinished, manifest.unfinished_epoch.clone())?;
        Ok((!manifest.unfinished_epoch.is_null()).then_some(unfinished))
    }

    /// Replaces the `ended` state by this one, from before the early end of its epoch. The later requests and the
    /// states of the callbacks that save are taken from `ended`. Only the tensors of these callbacks stay.
    pub(crate) fn in_place_of(self, ended: Self, savers: &BTreeSet<String>, tensors: &mut BTreeMap<String, TensorData>) -> Self {
        let Self { progress, mut place, log, mut callbacks, data_module, loggers } = self;
        place.requests = Requests { skip_epoch: place.requests.skip_epoch, ..ended.place.requests };
        let of_savers: Vec<_> = savers.iter().map(|key| folder_of(key)).collect();
        let is_left = |name: &str| [DATA_MODULE, CALLBACKS, METRICS_FOLDER].into_iter().any(|folder| name.starts_with(folder));
        tensors.retain(|name, _| !is_left(name) || of_savers.iter().any(|folder| name.starts_with(folder)));
        // A callback without a state at that time starts without one.
        callbacks.extend(ended.callbacks.into_iter().filter(|(key, _)| savers.contains(key)));
        Self { progress, place, log, callbacks, data_module, loggers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tensors_of_one_key_are_not_those_of_another() {
        let device = Device::flex();
        let tensor = burn::tensor::Tensor::<1>::ones([2], &device);
        let keys = ["a", "a/b", "a%2Fb", "b"];
        let callbacks = keys.map(|key| (key.to_owned(), Saved::default().with_tensor(format!("of {key}"), &tensor))).into();
        let state = RunState { callbacks, ..RunState::default() };
        let mut snapshot = Snapshot::default();
        let saved = state.save(UNFINISHED, &mut snapshot).unwrap();
        let mut tensors: BTreeMap<_, _> = snapshot.read().unwrap().into_iter().collect();
        let mut back = RunState::load(saved, UNFINISHED, &mut tensors, &device);
        assert!(tensors.is_empty());
        for key in keys {
            let own = back.callbacks.get_mut(key).unwrap();
            let taken: Option<burn::tensor::Tensor<1>> = own.take_tensor(&format!("of {key}")).unwrap();
            assert!(taken.is_some() && own.is_empty(), "{key}");
        }
    }
}
