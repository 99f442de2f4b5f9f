//! The state of optimizers in a checkpoint.

use std::collections::BTreeMap;

use burn::{optim::ModuleOptimizer, tensor::TensorData};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stormfire_checkpoint::{ParamPaths, Snapshot, optimizer_state};

use super::{Optimizers, param_groups::SetRate};
use crate::{
    error::{Error, Result},
    schedule::ScheduleState,
};

/// The state of an optimizer in a checkpoint, without its tensors.
#[derive(Debug, Serialize, Deserialize)]
struct OptimizerState {
    name: String,
    /// Number of steps.
    steps: u64,
    /// The learning rate at the save, for information only. A resumed run takes the rate from the schedule or the code.
    lr: f64,
    schedule: Option<ScheduleState>,
    /// Rates that a callback has set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    set_rates: Vec<SetRate>,
    /// burn's counters for each parameter, by path.
    #[serde(default)]
    parameters: Map<String, Value>,
}

/// The state of the optimizers in a checkpoint, without their tensors.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OptimizerStates(Vec<OptimizerState>);

/// The optimizers at one moment, as handles that are read later, possibly on another thread.
pub struct OptimizersSnapshot {
    parts: Vec<(OptimizerState, ModuleOptimizer)>,
    paths: ParamPaths,
}

impl OptimizersSnapshot {
    /// Adds the tensors to a snapshot, as `optimizer/<name>/<parameter path>/<field>`, and returns the rest of the
    /// state. Waits for the device only if burn does not expose the state of an algorithm otherwise
    /// ([`optimizer_state::save`]).
    ///
    /// # Errors
    /// [`Error::Weights`] if burn cannot write a record.
    pub fn save(self, snapshot: &mut Snapshot) -> Result<OptimizerStates> {
        let mut states = Vec::new();
        for (mut state, optimizer) in self.parts {
            state.parameters = optimizer_state::save(&optimizer, &state.name, &self.paths, snapshot)?;
            states.push(state);
        }
        Ok(OptimizerStates(states))
    }
}

impl std::fmt::Debug for OptimizersSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.parts.iter().map(|(state, _)| state)).finish()
    }
}

/// The state of the optimizers of a module in a checkpoint.
pub trait SaveOptimizers {
    /// The current optimizers, for a checkpoint. Needs no device read and no copy.
    ///
    /// # Errors
    /// [`Error::Weights`] if burn cannot write the record of a schedule.
    fn snapshot(&self, paths: &ParamPaths) -> Result<OptimizersSnapshot>;

    /// Restores the result of [`OptimizersSnapshot::save`], for the parameters at the same paths. Other tensors are
    /// ignored, so all tensors of a checkpoint may be passed. Call it after
    /// [`DriveOptimizers::start`](super::DriveOptimizers::start).
    ///
    /// burn puts the state on `Device::default()` first, which must work on this machine.
    ///
    /// # Errors
    /// [`Error::Optimizer`] if the optimizers differ in name, number or schedule. [`Error::Weights`] if their state
    /// belongs to another algorithm or to other parameters. Do not use the optimizers after an error.
    fn load(&mut self, states: OptimizerStates, tensors: impl IntoIterator<Item = (String, TensorData)>, paths: &ParamPaths) -> Result<()>;
}

impl SaveOptimizers for Optimizers {
    fn snapshot(&self, paths: &ParamPaths) -> Result<OptimizersSnapshot> {
        let part = |optimizer: &super::Optimizer| {
            let state = OptimizerState {
                name: optimizer.name.clone(),
                steps: optimizer.steps,
                lr: optimizer.learning_rate(),
                schedule: optimizer.schedule.as_ref().map(|schedule| schedule.state(&optimizer.name)).transpose()?,
                set_rates: optimizer.set_rates.clone(),
                parameters: Map::new(),
            };
            Ok((state, optimizer.inner.clone()))
        };
        Ok(OptimizersSnapshot { parts: self.all.iter().map(part).collect::<Result<_>>()?, paths: paths.clone() })
    }

    fn load(&mut self, states: OptimizerStates, tensors: impl IntoIterator<Item = (String, TensorData)>, paths: &ParamPaths) -> Result<()> {
        let OptimizerStates(states) = states;
        self.check_names(&states)?;
        let mut tensors: BTreeMap<_, _> = tensors.into_iter().collect();
        for (optimizer, saved) in self.all.iter_mut().zip(states) {
            match (&mut optimizer.schedule, saved.schedule) {
                (Some(schedule), Some(state)) => schedule.load_state(&optimizer.name, state)?,
                (None, None) => {}
                (own, _) => return Err(one_sided_schedule(&optimizer.name, own.is_some())),
            }
            optimizer.inner = optimizer_state::load(optimizer.inner.clone(), &optimizer.name, &saved.parameters, &mut tensors, paths)?;
            optimizer.steps = saved.steps;
            optimizer.load_set_rates(saved.set_rates)?;
        }
        Ok(())
    }
}

impl Optimizers {
    fn check_names(&self, states: &[OptimizerState]) -> Result<()> {
        let saved: Vec<_> = states.iter().map(|state| state.name.as_str()).collect();
        let own: Vec<_> = self.all.iter().map(|optimizer| optimizer.name.as_str()).collect();
        let first_other = (0..saved.len().max(own.len())).find(|&i| saved.get(i) != own.get(i));
        let Some(first) = first_other.and_then(|i| own.get(i).or(saved.get(i))) else {
            return Ok(());
        };
        let list = |names: &[&str]| match names {
            [] => "none".into(),
            names => format!("`{}`", names.join("`, `")),
        };
        Err(Error::Optimizer {
            optimizer: (*first).into(),
            reason: format!("the checkpoint has {}, in this order; `configure_optimizers` returns {}", list(&saved), list(&own)),
            hint: "configure the optimizers of the checkpoint, named with `Optimizer::named`, or load its weights alone".into(),
        })
    }
}

fn one_sided_schedule(optimizer: &str, configured: bool) -> Error {
    let (reason, hint) = if configured {
        ("it has a schedule, but the checkpoint has none for it", "remove the schedule to continue, or load the weights alone")
    } else {
        ("the checkpoint has a schedule for it, but none is configured", "add `Optimizer::schedule` as it was, or load the weights alone")
    };
    Error::Optimizer { optimizer: optimizer.into(), reason: reason.into(), hint: hint.into() }
}

#[cfg(test)]
mod tests;
