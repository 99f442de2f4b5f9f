//! What a run begins with.

use std::time::Duration;

use stormfire_checkpoint::storage;
use stormfire_data::Stage;
use stormfire_loggers::Loggers;
use stormfire_module::{
    LightningModule, Result,
    moment::{Moment, Progress},
    run::{Limits, Requests, Run},
    window::OpenWindow,
};

use super::Engine;
use crate::{
    config::TrainerConfig,
    data_facts::DataFacts,
    loop_state::LoopClock,
    run_id::{new_run_id, owner_of},
};

impl<M: LightningModule> Engine<M> {
    /// Begins a run: nothing is left of the one before it, but whatever is no fit is one of the fit before it.
    pub(crate) fn begin(&mut self, stage: Stage) {
        let loggers = std::mem::take(&mut self.run.loggers);
        let before = std::mem::replace(&mut self.run, fresh_run(&self.config, stage, loggers));
        if stage == Stage::Fit {
            (self.restarts, self.data) = (0, DataFacts::default());
        } else {
            self.run.logger_step = before.progress.global_step;
            (self.run.id, self.run.progress, self.run.learning_rates) = (before.id, before.progress, before.learning_rates);
        }
        self.store.clear();
        self.clock = LoopClock::default();
        (self.kept, self.failed_log) = (None, None);
        self.profiler.begin_run();
    }

    /// Keeps the failure of a logger for [`Engine::check_logs`]: the state of the run is as good as any, and the checkpoints of
    /// this boundary come first.
    pub(crate) fn note_logged(&mut self, sent: Result<()>) {
        if let Err(error) = sent {
            self.failed_log.get_or_insert(error);
        }
    }

    /// An error if a logger has failed.
    pub(crate) fn check_logs(&mut self) -> Result<()> {
        self.failed_log.take().map_or(Ok(()), Err)
    }
}

/// What every run begins with.
pub(super) fn fresh_run(config: &TrainerConfig, stage: Stage, loggers: Loggers) -> Run {
    Run {
        id: new_run_id(),
        resumed_from: None,
        spares_resumed: false,
        owner_of,
        stage,
        moment: Moment { num_dataloaders: 1, ..Moment::default() },
        progress: Progress::default(),
        limits: Limits::default(),
        logger_step: 0,
        logs_this_step: false,
        log_every_n_steps: config.log_every_n_steps,
        validates_every_epoch: false,
        validation_is_due: false,
        is_last_batch: false,
        step_skipped: false,
        batch_items: Some(1),
        data_wait: Duration::ZERO,
        accumulate_grad_batches: config.accumulate_grad_batches,
        window: OpenWindow::default(),
        fast_dev_run: config.fast_dev_run > 0,
        default_root_dir: storage::absolute(&config.default_root_dir).unwrap_or_else(|_| config.default_root_dir.clone()),
        learning_rates: Vec::new(),
        loggers,
        requests: Requests::default(),
        keeps_state: false,
        boundary: None,
    }
}
