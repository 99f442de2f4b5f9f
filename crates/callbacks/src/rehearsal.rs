//! Runs, and parts of runs, that only try whether everything works.

use stormfire_module::{Context, RunningStage, Stage};

/// Whether checkpoints and stops are out of place here: this is no fit, a `fast_dev_run`, or a sanity check.
pub(crate) fn is_rehearsal(ctx: &Context<'_>) -> bool {
    ctx.stage() != Stage::Fit || ctx.run().fast_dev_run || ctx.running() == RunningStage::SanityCheck
}
