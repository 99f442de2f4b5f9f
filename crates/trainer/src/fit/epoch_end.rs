//! The end of a training epoch.

use stormfire_module::{Error, Event, LightningModule, Result, RunningStage, for_trainer::monitored_of_epoch};
use stormfire_optim::for_trainer::DriveOptimizers as _;

use super::{FitLoop, end};
use crate::{engine::RandomPart, log_store::Sent, logger_step};

impl<M: LightningModule> FitLoop<'_, M> {
    pub(super) fn end_epoch(&mut self) -> Result<()> {
        let engine = &mut *self.engine;
        engine.run.place.validation_is_due = false;
        logger_step::set_to_last(&mut engine.run.place);
        self.finite.watch_epoch(engine, self.module);
        engine.store.reach_epoch_end(RunningStage::Train)?;
        engine.sync_values(Sent::Epoch(RunningStage::Train))?;
        engine.log_skipped_batches()?;
        engine.reseed(RandomPart::EpochEnd);
        engine.fire(self.module, Event::TrainEpochEnd)?;
        let metrics = engine.time("epoch_metrics", |engine| engine.store.end_epoch(RunningStage::Train))?;
        self.finite.end_epoch(engine, self.module)?;
        end::tell_if_nothing_is_trained(&engine.run.place);
        let completed = engine.run.place.progress.epoch as u64 + 1;
        // An epoch that was cut short is judged by its own values only: it may not have been validated.
        let mut of_epoch = |name: &str| {
            engine.found_by_zero(|engine| match monitored_of_epoch(&mut engine.store, &engine.run, name) {
                Err(Error::MetricMissing { .. }) if engine.run.is_cut_short() => Ok(None),
                value => value.map(Some),
            })
        };
        self.training.optimizers.step_watching_schedules(Some(completed), &mut of_epoch)?;
        let place = &engine.run.place;
        let sent = metrics.send(&engine.run.loggers, place.logger_step, place.progress.epoch);
        engine.note_logged(sent);
        engine.run.place.progress.epoch += 1;
        engine.run.place.progress.batch_in_epoch = 0;
        self.refresh_learning_rates();
        self.agree()?;
        self.keep()?;
        self.write_checkpoints()
    }
}
