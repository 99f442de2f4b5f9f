//! Typed views of a manifest's progress and optimizers.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Manifest;

/// Progress of a fit. Each counter is incremented at one place in the loop. They determine where a fit resumes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Number of completed epochs. This is also the 0-based number of the current epoch.
    pub epoch: usize,
    /// Number of completed training batches in this epoch.
    pub batch_in_epoch: usize,
    /// Number of completed training batches over all epochs.
    pub batches: u64,
    /// Number of training batches after which at least one optimizer stepped.
    pub global_step: u64,
}

impl Progress {
    /// Whether a training batch or an epoch is complete. An epoch may have no batches if it was skipped.
    pub fn has_begun(&self) -> bool {
        self.epoch > 0 || self.batches > 0
    }
}

/// A saved optimizer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct SavedOptimizer {
    /// The name: the algorithm's name, or a custom one.
    pub name: String,
    /// Number of steps.
    pub steps: u64,
    /// The learning rate at the save.
    pub lr: f64,
    /// The state of its schedule, if it has one.
    #[serde(default)]
    pub schedule: Option<SavedSchedule>,
}

/// The state of a saved schedule.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SavedSchedule {
    /// A scheduler of burn, in its state before its last step.
    Scheduler {
        /// The key is the index of the parameter group and the field: `{"0.current_iter": 5}`.
        before_last_step: Map<String, Value>,
        /// How often its learning rate was requested.
        looks: u64,
    },
    /// A schedule that watches a metric.
    Plateau {
        /// The best value, the used patience and similar.
        state: Value,
        /// How often it has checked the metric.
        looks: u64,
    },
}

impl Manifest {
    /// The progress of the run. `None` if the manifest has no complete progress.
    pub fn progress(&self) -> Option<Progress> {
        Progress::deserialize(&self.progress).ok()
    }

    /// The optimizers and their schedules. Empty if the manifest has none.
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
    /// If their format differs from that of this version.
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
