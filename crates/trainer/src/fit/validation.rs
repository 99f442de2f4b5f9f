//! Validation inside a fit: before the training, and whenever it is due.

use std::time::Duration;

use stormfire_data::{Loader, for_trainer::DriveLoader as _};
use stormfire_module::{
    Error, Event, LightningModule, Result, RunningStage,
    for_trainer::{training_mode::in_training, warn_if_misspelled},
    place::Stopwatch,
};
use stormfire_optim::for_trainer::DriveOptimizers as _;
use stormfire_values::Every;

use super::FitLoop;
use crate::{evaluate::evaluate, guard::guard, in_force::InForce};

impl<M: LightningModule> FitLoop<'_, M> {
    pub(super) fn sanity_check(&mut self) -> Result<()> {
        let limits = self.engine.run.limits.sanity_batches.clone();
        let resumed = self.engine.run.place.progress.has_begun();
        // Data that can be read only once is kept for the validation itself.
        let is_single_pass = self.val.loaders.iter().any(Loader::is_single_pass);
        if self.val.is_empty() || is_single_pass || resumed || limits.iter().all(|&n| n == Some(0)) {
            return Ok(());
        }
        let all = std::mem::replace(&mut self.val.limits, limits);
        let requests = std::mem::take(&mut self.engine.run.place.requests);
        self.engine.run.moment.stage = RunningStage::SanityCheck;
        self.engine.fire(self.module, Event::SanityCheckStart)?;
        self.validate(RunningStage::SanityCheck)?;
        self.engine.run.moment.stage = RunningStage::SanityCheck;
        self.engine.fire(self.module, Event::SanityCheckEnd)?;
        for name in self.training.optimizers.watched_metrics() {
            warn_if_misspelled(&mut self.engine.store, &self.engine.run, "ReduceLrOnPlateau", name);
        }
        self.engine.run.moment.stage = RunningStage::Train;
        // Requests during the check are dropped. Requests from before it still apply.
        self.engine.run.place.requests = requests;
        self.engine.store.clear();
        self.engine.books.in_force = InForce::Trained;
        if !self.val.is_empty() {
            self.val.limits = all;
        }
        Ok(())
    }

    pub(super) fn is_validation_due(&self, stepped: bool) -> bool {
        if self.val.is_empty() {
            return false;
        }
        let (run, every) = (&self.engine.run, &self.engine.frame.config.val_check_interval);
        // Reading the clock costs a noticeable part of a small step.
        let elapsed = if matches!(every, Every::Time(_)) { run.place.last_validation.elapsed() } else { Duration::ZERO };
        every.is_due(&run.tick_after_batch(stepped, elapsed))
    }

    /// Validates with the weights in force, in evaluation mode. Then restores the trained ones, in training mode.
    pub(super) fn validate(&mut self, stage: RunningStage) -> Result<()> {
        let started = self.engine.frame.profiler.start();
        let given = self.engine.given_weights(self.module)?;
        self.engine.books.in_force.enter(self.module, given);
        // A panic in a step must not leave the weights in force in the module either.
        let result = guard(|| evaluate(self.engine, self.module, &mut self.val, stage));
        let trained = match (self.engine.books.in_force.leave(self.module, result.is_ok()), &result) {
            (Err(late), Err(_)) => {
                // The first error is the one to report.
                tracing::error!("after the validation had failed: {late}");
                None
            }
            (left, _) => left?,
        };
        *self.module = in_training(trained.unwrap_or_else(|| self.module.clone()), self.engine.frame.checkpointing);
        self.engine.stop_time(started, "validation");
        self.engine.run.place.last_validation = Stopwatch::default();
        self.tell_if_names_are_shared();
        match result {
            // As in Lightning, loaders without a step only cause a warning.
            // With several ranks, one without a batch does not notice.
            Err(Error::NotImplemented { .. }) if self.engine.world() == 1 => {
                tracing::warn!("there is a validation loader, but no `validation_step`: this fit does not validate");
                self.val.limits.fill(Some(0));
                self.engine.run.limits.val_batches.fill(Some(0));
                self.engine.run.place.evaluating = None;
                self.engine.books.in_force = InForce::Trained;
                Ok(())
            }
            other => other.map(drop),
        }
    }
}

impl<M: LightningModule> FitLoop<'_, M> {
    /// Warns once: callbacks, the progress bar and charts cannot distinguish the two values.
    fn tell_if_names_are_shared(&mut self) {
        if self.said_names_are_shared {
            return;
        }
        for (name, (train, validation)) in self.engine.store.shared_names() {
            self.said_names_are_shared = true;
            tracing::warn!(
                "`{name}` is logged in `{train}` and in `{validation}`: a lookup returns the newer value; give them different names, such as `train_{name}` and `val_{name}`"
            );
        }
    }
}
