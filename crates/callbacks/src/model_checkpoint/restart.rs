//! The state of a `ModelCheckpoint` in a checkpoint, and how a resumed fit restores it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use stormfire_loggers::CheckpointInfo;
use stormfire_module::Context;
use stormfire_values::Mode;

use super::{ModelCheckpoint, top_k::Kept};

/// The saved state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct State {
    /// The metric, for programs that show the scores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) monitor: Option<String>,
    pub(super) dirpath: Option<PathBuf>,
    pub(super) best_k_models: Kept,
    pub(super) best_model_path: Option<PathBuf>,
    pub(super) best_model_score: Option<f64>,
    pub(super) current_score: Option<f64>,
    pub(super) last_model_path: Option<PathBuf>,
    /// The global step of the newest checkpoint, and of the newest `last`. Nothing is saved at step 0.
    pub(super) saved_step: u64,
    pub(super) last_step: u64,
    /// The global step of the newest failure checkpoint.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) failure_step: u64,
    /// The failure checkpoint. The next failure replaces it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failure_path: Option<PathBuf>,
    /// A save point has passed without its metric. Save as soon as the metric is available.
    pub(super) deferred: bool,
    /// A validation of this run has ended.
    pub(super) validated: bool,
    /// The seconds since the start of the last period of time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) waited: Option<f64>,
    /// The files that the newest save point replaced. A kill may come before their removal.
    pub(super) removing: Vec<PathBuf>,
    /// Files that earlier save points replaced and could not remove.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) left_over: Vec<PathBuf>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(step: &u64) -> bool {
    *step == 0
}

impl State {
    /// Updates the best checkpoint.
    pub(super) fn rank(&mut self, mode: Mode) {
        let best = self.best_k_models.best(mode).map(|(path, score)| (path.to_path_buf(), score));
        (self.best_model_path, self.best_model_score) = best.unzip();
    }
}

impl ModelCheckpoint {
    /// Restores the state of the checkpoint that the fit resumes from.
    pub(super) fn resume(&mut self, ctx: &Context<'_>) {
        let Some(dir) = self.now.destination.as_ref().map(|destination| destination.dir.clone()) else { return };
        match &self.state.dirpath {
            Some(old) if *old != dir => {
                tracing::warn!(
                    old = %old.display(), new = %dir.display(),
                    "the folder of the checkpoints has changed; only `best_model_path` is restored"
                );
                let State { best_model_path, saved_step, last_step, validated, waited, .. } = std::mem::take(&mut self.state);
                self.state = State { best_model_path, saved_step, last_step, validated, waited, ..State::default() };
            }
            _ => self.look_after_files(ctx),
        }
    }

    /// Reports the previous best and newest checkpoints to loggers that keep them.
    pub(super) fn tell_loggers(&self, ctx: &Context<'_>) {
        if let Some(newest) = &ctx.run().resumed_from {
            ctx.loggers().knows_checkpoint(&CheckpointInfo::new(newest));
        }
        if let (Some(best), Some(score), Some(monitor)) = (&self.state.best_model_path, self.state.best_model_score, &self.monitor) {
            ctx.loggers().knows_checkpoint(&CheckpointInfo::new(best).scored(monitor, score, true));
        }
    }

    /// Drops missing files from the list, and schedules the removal of files that should be gone.
    fn look_after_files(&mut self, ctx: &Context<'_>) {
        let state = &mut self.state;
        let is_lost = |path: &PathBuf| {
            let is_lost = !ctx.has_written(path);
            if is_lost {
                tracing::warn!("`{}` of the checkpoint is missing or belongs to another run: it is no longer kept", path.display());
            }
            is_lost
        };
        let last = state.last_model_path.take_if(|path| is_lost(path));
        if last.is_some() {
            // The end of training is a save point again.
            state.last_step = 0;
        }
        if state.best_k_models.drop_lost(is_lost) {
            state.rank(self.mode);
        } else {
            // Without a monitor, it is the newest. It may also be in an older folder.
            state.best_model_path.take_if(|path| !state.best_k_models.has(path) && is_lost(path));
        }
        let names = &ctx.run().place.requests.checkpoints;
        // It stays in the state until the next save point, as in an uninterrupted run.
        let behind = state.removing.iter().cloned().chain(std::mem::take(&mut state.left_over));
        self.now.left_over = behind.filter(|old| !names.contains(old) && ctx.has_written(old)).collect();
    }

    /// All files that a save point removes: those that it replaces, and those that a kill left behind. A file from
    /// which this fit resumes by request is left to the next fit.
    pub(super) fn remove_also(&mut self, ctx: &Context<'_>, paths: &[PathBuf], replaced: &[PathBuf]) -> Vec<PathBuf> {
        let names = &ctx.run().place.requests.checkpoints;
        let is_over = |old: &PathBuf| !paths.contains(old) && !names.contains(old);
        let mut now = std::mem::take(&mut self.now.left_over);
        now.retain(is_over);
        let spared = self.state.left_over.drain(..).filter(|old| is_over(old) && ctx.run().spares(old));
        let spared: Vec<_> = spared.chain(replaced.iter().filter(|old| ctx.run().spares(old)).cloned()).collect();
        self.state.left_over = now.iter().cloned().chain(spared).collect();
        replaced.iter().cloned().chain(now).collect()
    }
}
