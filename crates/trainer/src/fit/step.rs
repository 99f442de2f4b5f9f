//! One call of the module's `training_batch`.

use stormfire_module::{
    Error, Hook, LightningModule, Result, StepOutput, Stepper,
    gradients::Clip,
    scope,
    stepper::{Evidence, StepPlan, Window},
};

use super::FitLoop;

/// What one call of the module's `training_batch` did.
pub(super) struct BatchOutcome {
    pub(super) output: StepOutput,
    pub(super) has_stepped: bool,
    pub(super) skipped: Option<String>,
    pub(super) evidence: Evidence,
}

impl<M: LightningModule> FitLoop<'_, M> {
    /// Calls the module's `training_batch`; says whether parameters changed.
    pub(super) fn training_batch(&mut self, batch: M::Batch, batch_idx: usize, window: Window) -> Result<BatchOutcome> {
        let config = self.engine.config.clone();
        let clip = config.gradient_clip_val.map(|value| Clip { value, algorithm: config.gradient_clip_algorithm });
        let plan = StepPlan { window, clip, detect_anomaly: config.detect_anomaly, finite: self.finite.plan() };
        let trains_nothing = self.training.optimizers.is_empty();
        let scope = self.engine.enter(Hook::TrainingStep);
        let mut stepper = Stepper::new(&mut self.training.optimizers, &mut self.training.accumulated, &mut *self.engine, plan);
        let output = self.module.training_batch(batch, batch_idx, &mut stepper);
        let has_stepped = stepper.has_stepped() || (trains_nothing && window.closes);
        let (skipped, evidence) = (stepper.skipped(), stepper.evidence());
        drop(scope);
        if let Some(step) = scope::take_not_implemented() {
            let hint = "implement `training_step`, or override `training_batch`".into();
            return Err(Error::NotImplemented { what: step.name().into(), hint });
        }
        let output = output.map_err(|error| self.engine.in_step(Hook::TrainingStep, error))?;
        self.engine.collect()?;
        Ok(BatchOutcome { output: output.detach(), has_stepped, skipped, evidence })
    }
}
