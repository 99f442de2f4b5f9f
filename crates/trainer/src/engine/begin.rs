//! The initial state of a run.

use std::time::Duration;

use stormfire_checkpoint::storage;
use stormfire_data::Stage;
use stormfire_loggers::Loggers;
use stormfire_module::{
    LightningModule, Result,
    for_trainer::RunInternals,
    moment::Moment,
    place::Place,
    run::{Limits, Run},
};

use super::Engine;
use crate::{
    config::TrainerConfig,
    logger_step,
    run_id::{new_run_id, owner_of},
};

impl<M: LightningModule> Engine<M> {
    /// Starts a run. It keeps nothing of the previous run, except that an evaluation belongs to the fit before it.
    pub(crate) fn begin(&mut self, stage: Stage) {
        let loggers = std::mem::take(&mut self.run.loggers);
        let before = std::mem::replace(&mut self.run, fresh_run(&self.frame.config, stage, loggers));
        let books = std::mem::take(&mut self.books);
        if stage != Stage::Fit {
            self.books = books.of_evaluation();
            let Place { progress, learning_rates, .. } = before.place;
            self.run.id = before.id;
            (self.run.place.progress, self.run.place.learning_rates) = (progress, learning_rates);
            logger_step::set_to_next(&mut self.run.place);
        }
        self.take_rank();
        self.store.clear();
        self.frame.profiler.begin_run();
    }

    /// Sets the rank and the number of ranks for hooks.
    fn take_rank(&mut self) {
        (self.run.moment.rank, self.run.moment.world) = (self.rank(), self.world());
    }

    /// Keeps the failure of a logger for [`Engine::check_logs`]. The state of the run is valid, and the checkpoints of
    /// this boundary are written first.
    pub(crate) fn note_logged(&mut self, sent: Result<()>) {
        if let Err(error) = sent {
            self.books.failed_log.get_or_insert(error);
        }
    }

    /// Returns the kept failure of a logger.
    pub(crate) fn check_logs(&mut self) -> Result<()> {
        self.books.failed_log.take().map_or(Ok(()), Err)
    }
}

/// The initial state of every run.
pub(super) fn fresh_run(config: &TrainerConfig, stage: Stage, loggers: Loggers) -> Run {
    Run {
        id: new_run_id(),
        resumed_from: None,
        stage,
        moment: Moment { num_dataloaders: 1, ..Moment::default() },
        place: Place { accumulate_grad_batches: config.accumulate_grad_batches, ..Place::default() },
        limits: Limits::default(),
        log_every_n_steps: config.log_every_n_steps,
        validates_every_epoch: false,
        step_skipped: false,
        round: 1,
        batch_items: Some(1),
        data_wait: Duration::ZERO,
        fast_dev_run: config.fast_dev_run > 0,
        default_root_dir: storage::absolute(&config.default_root_dir).unwrap_or_else(|_| config.default_root_dir.clone()),
        loggers,
        boundary: None,
        internals: RunInternals::new(owner_of),
    }
}
