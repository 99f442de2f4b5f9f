//! The SLURM job of a run that a signal has ended.

use stormfire_checkpoint::storage::link_or_copy;
use stormfire_data::Stage;
use stormfire_module::{LightningModule, Result};

use super::Session;
use crate::checkpoint::Places;

impl<M: LightningModule> Session<M> {
    /// Queues the job again. A fit that has ended inside a hook (`in_hook`) goes on from its furthest checkpoint: that of its last
    /// boundary, if that was kept, or one that it has written before. Without any the job would begin anew, so it is not queued.
    ///
    /// # Errors
    /// The furthest checkpoint cannot be copied; `scontrol` fails.
    pub(super) fn queue_again(&mut self, stage: Stage, in_hook: bool) -> Result<()> {
        if stage != Stage::Fit || !in_hook {
            return self.requeue.submit(stage);
        }
        let run = &self.engine.run;
        let places = Places::of(self.callbacks(), &self.folders_of_runs()?, self.default_root_dir())?;
        let Some(furthest) = places.furthest_of(&run.id)? else {
            tracing::warn!(
                "the job is not queued again: the signal has ended another run inside of a hook of this fit, whose state there is half \
                 done, and the fit has no checkpoint yet to go on from; save more often, or keep the state of each boundary with \
                 `ModelCheckpoint::save_on_exception`"
            );
            return Ok(());
        };
        let path = self.requeue.checkpoint();
        if furthest != path {
            link_or_copy(&furthest, &path)?;
        }
        tracing::info!("the signal has ended another run inside of a hook: the fit is to go on from `{}`", furthest.display());
        self.requeue.submit(stage)
    }
}
