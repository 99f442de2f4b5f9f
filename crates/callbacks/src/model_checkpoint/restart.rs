//! What a checkpoint holds of a `ModelCheckpoint`, and how a fit goes on from it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use stormfire_loggers::CheckpointInfo;
use stormfire_module::{Context, plateau::Mode};

use super::{ModelCheckpoint, top_k::Kept};

/// What is in a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct State {
    pub(super) dirpath: Option<PathBuf>,
    pub(super) best_k_models: Kept,
    pub(super) best_model_path: Option<PathBuf>,
    pub(super) best_model_score: Option<f64>,
    pub(super) current_score: Option<f64>,
    pub(super) last_model_path: Option<PathBuf>,
    /// The global step of the newest checkpoint, and of the newest `last`; nothing is saved at step 0.
    pub(super) saved_step: u64,
    pub(super) last_step: u64,
    /// The global step of the newest checkpoint of a failure.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) failure_step: u64,
    /// That checkpoint, which the next failure replaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failure_path: Option<PathBuf>,
    /// A save point has passed without its metric: save as soon as that is there.
    pub(super) deferred: bool,
    /// A validation of this run is over.
    pub(super) validated: bool,
    /// The seconds since the last period of time began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) waited: Option<f64>,
    /// What the newest save point replaced: a kill may come before the removal.
    pub(super) removing: Vec<PathBuf>,
    /// What earlier ones replaced, and could not be removed then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) left_over: Vec<PathBuf>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(step: &u64) -> bool {
    *step == 0
}

impl State {
    /// Brings the best one up to date.
    pub(super) fn rank(&mut self, mode: Mode) {
        let best = self.best_k_models.best(mode).map(|(path, score)| (path.to_path_buf(), score));
        (self.best_model_path, self.best_model_score) = best.unzip();
    }
}

impl ModelCheckpoint {
    /// Takes up the state of the checkpoint that the fit goes on from.
    pub(super) fn go_on(&mut self, ctx: &Context<'_>) {
        let Some(dir) = self.now.destination.as_ref().map(|destination| destination.dir.clone()) else { return };
        match &self.state.dirpath {
            Some(old) if *old != dir => {
                tracing::warn!(
                    old = %old.display(), new = %dir.display(),
                    "the folder of the checkpoints has changed; only `best_model_path` is taken over"
                );
                let State { best_model_path, saved_step, last_step, validated, waited, .. } = std::mem::take(&mut self.state);
                self.state = State { best_model_path, saved_step, last_step, validated, waited, ..State::default() };
            }
            _ => self.look_after_files(ctx),
        }
    }

    /// Loggers that keep the best and the newest checkpoint of a run learn those of before.
    pub(super) fn tell_loggers(&self, ctx: &Context<'_>) {
        if let Some(newest) = &ctx.run().resumed_from {
            ctx.loggers().knows_checkpoint(&CheckpointInfo::new(newest));
        }
        if let (Some(best), Some(score), Some(monitor)) = (&self.state.best_model_path, self.state.best_model_score, &self.monitor) {
            ctx.loggers().knows_checkpoint(&CheckpointInfo::new(best).scored(monitor, score, true));
        }
    }

    /// What is gone from the folder is not kept any more, and what should be gone will be.
    fn look_after_files(&mut self, ctx: &Context<'_>) {
        let state = &mut self.state;
        let is_lost = |path: &PathBuf| {
            let is_lost = !ctx.has_written(path);
            if is_lost {
                tracing::warn!("`{}`, which the checkpoint knows, is gone or not of this run: it is not kept any more", path.display());
            }
            is_lost
        };
        let last = state.last_model_path.take_if(|path| is_lost(path));
        if last.is_some() {
            // The end of training is then a save point again.
            state.last_step = 0;
        }
        if state.best_k_models.drop_lost(is_lost) {
            state.rank(self.mode);
        } else {
            // Without a monitor it is the newest; it may also lie in an older folder.
            state.best_model_path.take_if(|path| !state.best_k_models.has(path) && is_lost(path));
        }
        let names = &ctx.run().place.requests.checkpoints;
        let behind = std::mem::take(&mut state.removing).into_iter().chain(std::mem::take(&mut state.left_over));
        self.now.left_over = behind.filter(|old| !names.contains(old) && ctx.has_written(old)).collect();
    }

    /// Everything that a save point removes: what it replaces, and what a kill has left over. What cannot be removed now,
    /// because this fit was told to go on from it, is left to the next one.
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
