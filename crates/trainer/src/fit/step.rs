//! A call of the module's `training_batch`.

mod on_copy;

use stormfire_checkpoint::{ParamPaths, Snapshot};
use stormfire_module::{
    Error, Hook, LightningModule, Result, StepOutput, Stepper,
    for_trainer::{DriveStepper as _, Evidence, OtherRanks, Skipped, StepPlan, scope},
};
use stormfire_optim::{
    for_trainer::{DriveOptimizers as _, SaveOptimizers as _},
    gradients::Clip,
    window::Window,
};

use self::on_copy::StepReport;
use super::FitLoop;
use crate::logger_step;

/// The result of the module's `training_batch`.
pub(super) struct BatchOutcome {
    pub(super) output: StepOutput,
    pub(super) has_stepped: bool,
    pub(super) skipped: Option<Skipped>,
    pub(super) evidence: Evidence,
}

impl<M: LightningModule> FitLoop<'_, M> {
    fn step_plan(&self, window: Window) -> StepPlan {
        let config = &self.engine.frame.config;
        let clip = config.gradient_clip_val.map(|value| Clip { value, algorithm: config.gradient_clip_algorithm });
        let loss_scale = self.engine.run.place.loss_scale;
        StepPlan { window, clip, detect_anomaly: config.detect_anomaly, finite: self.finite.plan(), loss_scale }
    }

    /// Does the work of the last batch for an epoch that ends before it: the step with the gradients of an incomplete
    /// window, and that of the epoch schedules.
    pub(super) fn end_early(&mut self) -> Result<()> {
        if self.engine.run.place.is_last_batch {
            return Ok(());
        }
        // A rank may have had no batch in this window.
        let is_open =
            if self.engine.world() == 1 { !self.training.accumulated.is_empty() } else { self.engine.run.place.window.batches > 0 };
        if is_open {
            self.close_window()?;
        }
        self.training.optimizers.step_epoch_schedules(self.engine.run.place.progress.epoch as u64 + 1)?;
        self.refresh_learning_rates();
        Ok(())
    }

    fn close_window(&mut self) -> Result<()> {
        let window = Window { opens: false, closes: true, size: self.engine.run.place.window.size };
        let engine = &mut *self.engine;
        logger_step::set_to_next(&mut engine.run.place);
        engine.run.place.logs_this_step = engine.logs_step(engine.run.place.logger_step);
        let BatchOutcome { has_stepped, skipped, evidence, .. } = self.without_batch(window)?;
        let round = self.round();
        let engine = &mut *self.engine;
        engine.run.place.window.add(window, round, &self.training.accumulated);
        engine.run.place.progress.global_step += u64::from(has_stepped);
        engine.run.step_skipped = skipped.is_some();
        self.finite.judge(skipped, has_stepped, &mut engine.run)?;
        self.finite.add(evidence, &engine.run);
        engine.store.end_window(engine.run.step_skipped)?;
        self.log_step(has_stepped)
    }

    /// The part of a rank without a batch in the step of all ranks.
    pub(super) fn without_batch(&mut self, window: Window) -> Result<BatchOutcome> {
        let (plan, ranks) = (self.step_plan(window), self.other_ranks());
        let trains_nothing = self.training.optimizers.is_empty();
        let mut stepper = Stepper::new(&mut self.training.optimizers, &mut self.training.accumulated, &mut *self.engine, plan);
        stepper.step_with(ranks);
        if window.opens {
            stepper.open_window(self.module)?;
        }
        if window.closes && !trains_nothing {
            stepper.close_window(self.module)?;
        }
        let has_stepped = stepper.has_stepped() || (trains_nothing && window.closes);
        let (skipped, evidence, has_overflowed) = (stepper.skipped(), stepper.evidence(), stepper.has_overflowed());
        self.adapt_loss_scale(has_overflowed, has_stepped);
        Ok(BatchOutcome { output: StepOutput::none(), has_stepped, skipped, evidence })
    }

    /// Gives the state of the optimizers to the callbacks that take it.
    pub(super) fn show_optimizer_state(&mut self, has_stepped: bool) -> Result<()> {
        let is_logged = has_stepped && self.engine.run.place.logs_this_step;
        if !is_logged || !self.engine.callbacks_with_keys().any(|(callback, _)| callback.takes_optimizer_state()) {
            return Ok(());
        }
        let mut state = Snapshot::default();
        self.training.optimizers.snapshot(&ParamPaths::of(&*self.module))?.save(&mut state)?;
        for (callback, _) in self.engine.callbacks_with_keys().filter(|(callback, _)| callback.takes_optimizer_state()) {
            callback.take_optimizer_state(&state)?;
        }
        Ok(())
    }

    fn other_ranks(&self) -> Option<OtherRanks> {
        let engine = &self.engine;
        (engine.world() > 1).then(|| OtherRanks { ranks: engine.frame.ranks.clone(), with_batch: engine.run.round })
    }

    /// Calls the module's `training_batch`.
    pub(super) fn training_batch(&mut self, batch: M::Batch, batch_idx: usize, window: Window) -> Result<BatchOutcome> {
        let (plan, ranks) = (self.step_plan(window), self.other_ranks());
        let trains_nothing = self.training.optimizers.is_empty();
        let scope = self.engine.enter(Hook::TrainingStep);
        let StepReport { output, has_stepped, skipped, evidence, has_overflowed } = self.on_copy(batch, batch_idx, (plan, ranks));
        let has_stepped = has_stepped || (trains_nothing && window.closes);
        drop(scope);
        self.adapt_loss_scale(has_overflowed, has_stepped);
        if let Some(step) = scope::take_not_implemented() {
            let hint = "implement `training_step`, or override `training_batch`".into();
            return Err(Error::NotImplemented { what: step.name().into(), hint });
        }
        let output = output.and_then(StepOutput::detach).map_err(|error| self.engine.in_step(Hook::TrainingStep, error))?;
        self.engine.collect()?;
        Ok(BatchOutcome { output, has_stepped, skipped, evidence })
    }
}
