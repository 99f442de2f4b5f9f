//! Runs, and parts of runs, that only test whether everything works.

use stormfire_module::{Context, RunningStage, Stage};

/// Whether checkpoints and stops do not apply: outside of a fit, in a `fast_dev_run`, or in a sanity check.
pub(crate) fn is_rehearsal(ctx: &Context<'_>) -> bool {
    ctx.stage() != Stage::Fit || ctx.run().fast_dev_run || ctx.running() == RunningStage::SanityCheck
}
