//! Requeues the SLURM job of a run that a signal has ended.

use stormfire_checkpoint::storage::link_or_copy;
use stormfire_data::Stage;
use stormfire_module::{LightningModule, Result};

use super::Session;
use crate::checkpoint::SearchFolders;

impl<M: LightningModule> Session<M> {
    /// Requeues the job. A fit that ended inside a hook (`in_hook`) resumes from its furthest checkpoint: that of its
    /// last boundary if the boundary was kept, otherwise an earlier one. Without a checkpoint the job would start from
    /// scratch, so it is not requeued.
    ///
    /// # Errors
    /// The checkpoint cannot be copied, or `scontrol` fails.
    pub(super) fn queue_again(&mut self, stage: Stage, in_hook: bool) -> Result<()> {
        if stage != Stage::Fit || !in_hook {
            return self.requeue.submit(stage);
        }
        let run = &self.engine.run;
        let folders = SearchFolders::of(self.callbacks(), &self.folders_of_runs()?, self.default_root_dir())?;
        let Some(furthest) = folders.furthest_of(&run.id)? else {
            tracing::warn!(
                "the job is not requeued: the signal ended a run inside a hook of this fit, where the state is incomplete, and the fit \
                 has no checkpoint yet to resume from; save more often, or set `ModelCheckpoint::save_on_exception`"
            );
            return Ok(());
        };
        let path = self.requeue.checkpoint();
        if furthest != path {
            link_or_copy(&furthest, &path)?;
        }
        tracing::info!("the signal ended a run inside a hook: the fit will resume from `{}`", furthest.display());
        self.requeue.submit(stage)
    }
}
