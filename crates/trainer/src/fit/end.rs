//! The end of a fit.

use stormfire_module::{LightningModule, LossScale, place::Place, requests::StopRequest};

use super::FitLoop;
use crate::stop::Stop;

impl<M: LightningModule> FitLoop<'_, M> {
    pub(super) fn is_in_epoch(&self) -> bool {
        self.engine.run.place.progress.batch_in_epoch > 0
    }

    /// Why the fit has ended, if it has.
    pub(super) fn is_done(&mut self) -> Option<Stop> {
        // With several ranks, only what they have agreed on: the writer of checkpoints may have refused one on rank 0.
        let is_agreed = self.engine.world() == 1 || self.engine.books.is_not_finite;
        if let Some(reason) = self.finite.stop().filter(|_| is_agreed) {
            return Some(Stop::NonFinite(reason.into()));
        }
        let (progress, limits) = (&self.engine.run.place.progress, &self.engine.run.limits);
        if limits.train_batches == Some(0) {
            return Some(Stop::NoTrainingBatches);
        }
        let steps = limits.max_steps.filter(|&max| progress.global_step >= max).map(Stop::MaxSteps);
        let limit = steps.or_else(|| limits.max_epochs.filter(|&max| progress.epoch >= max).map(Stop::MaxEpochs));
        // A stop that was requested in the last epoch takes precedence over the limits.
        self.allowed_stop().map(Stop::Requested).or(limit)
    }

    /// A requested stop, once `min_epochs` and `min_steps` are reached.
    pub(super) fn allowed_stop(&mut self) -> Option<StopRequest> {
        let asked = self.engine.run.place.requests.stop().cloned()?;
        let (progress, config) = (&self.engine.run.place.progress, &self.engine.frame.config);
        // As in Lightning, `min_steps` alone also requires one whole epoch.
        let min_epochs = config.min_epochs.unwrap_or(usize::from(config.min_steps.is_some()));
        let is_bad = self.engine.run.place.requests.saves_nothing;
        let enough = is_bad || progress.epoch >= min_epochs && progress.global_step >= config.min_steps.unwrap_or(0);
        if !enough && !std::mem::replace(&mut self.said_it_continues, true) {
            tracing::info!("a stop was requested, but `min_epochs` or `min_steps` is not reached: training continues");
        }
        enough.then_some(asked)
    }
}

/// Warns after the first epoch, because a step that does not return its loss would go unnoticed.
pub(super) fn tell_if_nothing_is_trained(place: &Place) {
    if is_without_steps(place) {
        tracing::warn!("no optimizer has stepped in the first epoch: `training_step` must return its loss");
    }
}

/// Whether the first epoch had no step. Overflows of scaled gradients, which shrink the scale, take steps away, too.
fn is_without_steps(place: &Place) -> bool {
    let (progress, whole) = (&place.progress, LossScale::default().scale);
    let has_overflowed = place.loss_scale.as_ref().is_some_and(|now| now.scale < whole);
    progress.epoch == 0 && progress.batches > 0 && progress.global_step == 0 && !has_overflowed
}

#[cfg(test)]
mod tests {
    use stormfire_module::moment::Progress;

    use super::*;

    #[test]
    fn an_overflow_of_gradients_is_not_a_missing_loss() {
        let place = |global_step, scale| {
            let progress = Progress { batches: 1, global_step, ..Progress::default() };
            Place { progress, loss_scale: Some(LossScale { scale, ..LossScale::default() }), ..Place::default() }
        };
        assert!(is_without_steps(&place(0, 65536.0)));
        assert!(is_without_steps(&Place { loss_scale: None, ..place(0, 65536.0) }));
        assert!(!is_without_steps(&place(0, 32768.0)));
        assert!(!is_without_steps(&place(1, 65536.0)));
    }
}
