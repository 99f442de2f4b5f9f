//! The call of the module's `training_batch`, on the module itself or on a cast copy of it.

use stormfire_module::{
    LightningModule, LossScale, Result, StepOutput, Stepper,
    for_trainer::{DriveStepper as _, Evidence, Lent, OtherRanks, Skipped, StepHooks, StepPlan},
};

use super::super::FitLoop;

/// The result of a `training_batch`, and the steps of its [`Stepper`].
pub(super) struct StepReport {
    pub(super) output: Result<StepOutput>,
    pub(super) has_stepped: bool,
    pub(super) skipped: Option<Skipped>,
    pub(super) evidence: Evidence,
    pub(super) has_overflowed: bool,
}

impl<M: LightningModule> FitLoop<'_, M> {
    /// Calls `training_batch` in the precision of the run.
    pub(super) fn on_copy(&mut self, batch: M::Batch, batch_idx: usize, (plan, ranks): (StepPlan, Option<OtherRanks>)) -> StepReport {
        let (threads, precision) = (self.engine.frame.threads.clone(), self.engine.precision);
        let batch = precision.batch(batch);
        let stats = precision.of_steps().map(|_| self.training.stats.of(self.module)).unwrap_or_default();
        let training = &mut *self.training;
        let run = |module: &mut M, hooks: &mut dyn StepHooks<M>| {
            let mut stepper = Stepper::new(&mut training.optimizers, &mut training.accumulated, hooks, plan);
            stepper.divide_among(threads);
            stepper.step_with(ranks);
            let output = module.training_batch(batch, batch_idx, &mut stepper);
            let (has_stepped, has_overflowed) = (stepper.has_stepped(), stepper.has_overflowed());
            StepReport { output, has_stepped, skipped: stepper.skipped(), evidence: stepper.evidence(), has_overflowed }
        };
        let Some(dtype) = precision.of_steps() else { return run(self.module, &mut *self.engine) };
        // A copy for each batch, because a hook may have changed the module.
        let (mut lent, mut copy) = Lent::new(&mut *self.engine, self.module, dtype, &stats);
        let mut report = run(&mut copy, &mut lent);
        if report.output.is_ok()
            && let Err(error) = lent.take_back(&copy)
        {
            report.output = Err(error);
        }
        report
    }

    /// Adapts the scale of the loss to what an optimizer has done.
    pub(super) fn adapt_loss_scale(&mut self, has_overflowed: bool, has_stepped: bool) {
        let Some(scale) = &mut self.engine.run.place.loss_scale else { return };
        let LossScale { scale: before, .. } = *scale;
        scale.adapt(has_overflowed, has_stepped);
        if has_overflowed {
            tracing::info!("the gradients have overflowed: no step, and the scale of the loss falls from {before} to {}", scale.scale);
        }
    }
}
