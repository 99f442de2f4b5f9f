//! What a manifest says of progress and optimizers, with types.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Manifest;

/// Progress of a fit: whole numbers, each counted up at one place in the loop. Resuming follows from them alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Epochs that are complete; the 0-based number of the epoch that runs now.
    pub epoch: usize,
    /// Training batches of this epoch that are complete.
    pub batch_in_epoch: usize,
    /// Training batches that are complete, over all epochs.
    pub batches: u64,
    /// Training batches after which at least one optimizer stepped.
    pub global_step: u64,
}

impl Progress {
    /// Whether a training batch or epoch is complete; an epoch may be without batches, when all of it was skipped.
    pub fn has_begun(&self) -> bool {
        self.epoch > 0 || self.batches > 0
    }
}

/// An optimizer in a manifest.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct SavedOptimizer {
    /// Its name: that of its algorithm unless it was given another.
    pub name: String,
    /// How often it had stepped.
    pub steps: u64,
    /// The learning rate that held.
    pub lr: f64,
    /// The state of its schedule, if it has one.
    #[serde(default)]
    pub schedule: Option<SavedSchedule>,
}

/// The state of a schedule in a manifest.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SavedSchedule {
    /// A scheduler of burn, as it was before its last step.
    Scheduler {
        /// By number of the parameter group and name: `{"0.current_iter": 5}`.
        before_last_step: Map<String, Value>,
        /// How often it was asked for a rate.
        looks: u64,
    },
    /// One that watches a metric.
    Plateau {
        /// The best value, the patience that is used up, and so on.
        state: Value,
        /// How often it has looked at the metric.
        looks: u64,
    },
}

impl Manifest {
    /// How far the run was; `None` for a manifest that says nothing of it, or not all.
    pub fn progress(&self) -> Option<Progress> {
        Progress::deserialize(&self.progress).ok()
    }

    /// The optimizers and their schedules; none for a manifest that says nothing of them.
    ///
    /// ```no_run
    /// # use stormfire_checkpoint::Checkpoint;
    /// let manifest = Checkpoint::read_manifest("last.ckpt")?;
    /// for optimizer in manifest.optimizers()? {
    ///     println!("{}: {} steps, now at {}", optimizer.name, optimizer.steps, optimizer.lr);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When they are not as this version writes them.
    pub fn optimizers(&self) -> serde_json::Result<Vec<SavedOptimizer>> {
        Option::deserialize(&self.optimizers).map(Option::unwrap_or_default)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn progress_and_schedules_have_types() {
        let schedules = [
            json!({ "scheduler": { "before_last_step": { "0.current_iter": 5 }, "looks": 7 } }),
            json!({ "plateau": { "state": { "best": 0.5 }, "looks": 2 } }),
            json!(null),
        ];
        let optimizers = schedules.map(|schedule| json!({ "name": "Adam", "steps": 7, "lr": 0.1, "schedule": schedule, "parameters": {} }));
        let progress = json!({ "epoch": 1, "batch_in_epoch": 2, "batches": 12, "global_step": 7 });
        let manifest = Manifest { progress, optimizers: json!(optimizers), ..Manifest::default() };
        assert_eq!(manifest.progress(), Some(Progress { epoch: 1, batch_in_epoch: 2, batches: 12, global_step: 7 }));
        let read = manifest.optimizers().unwrap();
        assert_eq!((read.len(), read[0].steps, read[2].schedule.as_ref()), (3, 7, None));
        assert!(
            matches!(&read[0].schedule, Some(SavedSchedule::Scheduler { before_last_step, looks: 7 }) if before_last_step["0.current_iter"] == 5)
        );
        assert!(matches!(&read[1].schedule, Some(SavedSchedule::Plateau { state, looks: 2 }) if state["best"] == 0.5));
        assert_eq!((Manifest::default().progress(), Manifest::default().optimizers().unwrap()), (None, Vec::new()));
        assert!(Manifest { optimizers: json!([{}]), ..Manifest::default() }.optimizers().is_err());
    }
}
