//! Trainers that try something on copies, for a tuner.

use std::{any::Any, path::Path, sync::Arc};

use burn::tensor::GradientCheckpointingStrategy;
use stormfire_callbacks::{ModelSummary, ProgressBar};
use stormfire_loggers::{CsvLogger, RunDir, TensorBoardLogger};
use stormfire_module::{Callback, Error, LightningModule, Result, Stage, for_trainer::training_mode::in_training};
use stormfire_values::Every;

use super::Trainer;
use crate::{
    accelerator::Accelerator,
    config::TrainerConfig,
    frame::Rehearsed,
    gradient_checkpointing::strategy,
    limit::Limit,
    logger_choice::LoggerChoice,
    move_module::{choose_device, initialized},
    new_rates::RateSweep,
    non_finite::NonFinite,
    requeue_signal::RequeueSignal,
    seed::{initialise, initialise_on},
    setup::{check_loggers, draw_seed, refuse_without_logger, required_callbacks},
};

/// The interface of a Trainer for a tuner. No method changes a later fit.
pub trait ProbeTrainer<M: LightningModule> {
    /// A copy of a module, after its parameters were initialized as the next fit would do it. It has its own running
    /// statistics.
    ///
    /// # Errors
    /// Invalid options, and if the device fails.
    fn copy_of(&mut self, module: &M) -> Result<M>;

    /// A Trainer with the options of this one that decide how it trains, and with its seed. It has no callbacks and no
    /// loggers, writes no files, prints nothing, and does not validate. Its limits are to be set.
    ///
    /// # Errors
    /// As [`copy_of`](Self::copy_of).
    fn probe(&mut self, module: &M) -> Result<Trainer<M>>;

    /// Checks what a run refuses at its start before it has a module: options, the accelerator, and how devices share
    /// the work. With `auto` as the accelerator, no driver is loaded.
    ///
    /// # Errors
    /// As the runs of the Trainer.
    fn check_start(&self) -> Result<()>;

    /// Checks the callbacks and loggers as the start of a run of this stage does: callbacks that contradict the
    /// options, those that need a logger, and the settings of loggers.
    ///
    /// # Errors
    /// As the runs of the Trainer.
    fn check_callbacks(&self, stage: Stage) -> Result<()>;

    /// Checks that the limits leave a probe a batch to train.
    ///
    /// # Errors
    /// The limit that leaves none.
    fn check_trains(&self) -> Result<()>;

    /// Trains with a rate for each step.
    fn sweep_rates(&mut self, sweep: RateSweep);

    /// This Trainer for one batch of each loader, with its callbacks, without its loggers, and without files. A loop
    /// that its limits leave out has no batch. Its monitors refuse what they refuse in a run, such as a run without
    /// loggers. With a `ckpt_path`, it has the weights and optimizers of the checkpoint, and refuses what a fit that
    /// resumes from it refuses, but is at the start of a fit.
    ///
    /// # Errors
    /// Options and combinations that a run refuses at its start.
    fn rehearsal(self) -> Result<Self>
    where
        Self: Sized;

    /// This Trainer with `root` as `default_root_dir`. If it has no loggers, it gets the default ones in the folder of
    /// this run.
    fn in_folder(self, root: &Path, run: &RunDir) -> Self;
}

fn is<C: 'static, M: LightningModule>(callback: &dyn Callback<M>) -> bool {
    (callback as &dyn Any).is::<C>()
}

impl<M: LightningModule> Trainer<M> {
    /// Whether a run has no loggers. A `fast_dev_run` has none, and needs none.
    fn lacks_loggers(&self) -> bool {
        let has_none = self.config.barebones || matches!(&self.loggers, LoggerChoice::Given(loggers) if loggers.is_empty());
        has_none && self.config.fast_dev_run == 0
    }
}

impl<M: LightningModule> ProbeTrainer<M> for Trainer<M> {
    fn copy_of(&mut self, module: &M) -> Result<M> {
        self.misread.check()?;
        self.config.check()?;
        let device = choose_device(self.device.as_ref(), &self.config, module)?;
        if let Some(precision) = self.config.precision {
            // Before the first tensor.
            precision.prepare(&device)?;
        }
        if let Some(seed) = self.config.seed {
            initialized(|| initialise_on(module, seed, &device))?;
        } else {
            initialized(|| initialise(module))?;
            // A fit draws its seed next. It gets the same one.
            if self.drawn_seed.is_none() {
                self.drawn_seed = Some(draw_seed(&device)?);
            }
        }
        // burn's `valid` copies running statistics, and drops the strategy.
        match strategy(self.config.gradient_checkpointing, module) {
            GradientCheckpointingStrategy::Disabled => Ok(module.valid()),
            strategy @ GradientCheckpointingStrategy::Balanced => Ok(in_training(module.valid(), strategy)),
        }
    }

    fn probe(&mut self, module: &M) -> Result<Self> {
        // Draws the seed.
        self.copy_of(module)?;
        let config = TrainerConfig {
            max_epochs: None,
            min_epochs: None,
            max_steps: None,
            min_steps: None,
            max_time: None,
            limit_val_batches: Limit::Batches(0),
            num_sanity_val_steps: Some(0),
            val_check_interval: Every::Epochs(1),
            fast_dev_run: 0,
            log_every_n_steps: 0,
            enable_checkpointing: false,
            enable_progress_bar: false,
            enable_model_summary: false,
            detect_anomaly: false,
            on_non_finite: NonFinite::Off,
            requeue_signal: RequeueSignal::Off,
            profiler: None,
            barebones: false,
            ..self.config.clone()
        };
        Ok(Self {
            config,
            device: self.device.clone(),
            loggers: LoggerChoice::Given(Vec::new()),
            splitter: self.splitter,
            caster: self.caster,
            drawn_seed: self.drawn_seed,
            new_rates: self.new_rates.clone(),
            ..Self::default()
        })
    }

    fn check_start(&self) -> Result<()> {
        self.misread.check()?;
        self.config.check()?;
        let named = self.config.accelerator.filter(|accelerator| *accelerator != Accelerator::Auto);
        let device = match (&self.device, named) {
            (Some(device), _) => Some(device.clone().inner()),
            (None, Some(accelerator)) => Some(accelerator.of_this_rank().device()?),
            (None, None) => None,
        };
        self.config.devices.check((self.config.strategy, self.config.num_nodes), device.as_ref(), self.splitter.is_some())
    }

    fn check_callbacks(&self, stage: Stage) -> Result<()> {
        required_callbacks(&self.config.resolved(), &self.callbacks)?;
        if self.lacks_loggers() {
            return refuse_without_logger(&self.config, &self.callbacks, stage);
        }
        check_loggers(&self.config, &self.loggers)
    }

    fn check_trains(&self) -> Result<()> {
        // A probe ignores `fast_dev_run`.
        if !self.config.limit_train_batches.is_none() || !self.config.overfit_batches.is_none() {
            return Ok(());
        }
        Err(Error::config("limit_train_batches", "0 leaves no batch, and a search trains", "use 1 or more, or leave it out"))
    }

    fn sweep_rates(&mut self, sweep: RateSweep) {
        self.new_rates.sweep(sweep);
    }

    fn rehearsal(mut self) -> Result<Self> {
        self.check_start()?;
        let config = self.config.resolved();
        required_callbacks(&config, &self.callbacks)?;
        check_loggers(&config, &self.loggers)?;
        // They would write to the terminal.
        self.callbacks.retain(|callback| !is::<ProgressBar, M>(callback.as_ref()) && !is::<ModelSummary, M>(callback.as_ref()));
        self.rehearsed = Some(Rehearsed { lacks_loggers: self.lacks_loggers(), config: Arc::new(config) });
        self.loggers = LoggerChoice::Given(Vec::new());
        self.config = TrainerConfig {
            fast_dev_run: 1,
            barebones: false,
            overfit_batches: Limit::Batches(0),
            profiler: None,
            min_epochs: None,
            min_steps: None,
            enable_progress_bar: false,
            enable_model_summary: false,
            enable_checkpointing: false,
            ..self.config
        };
        Ok(self)
    }

    fn in_folder(self, root: &Path, run: &RunDir) -> Self {
        let trainer = self.default_root_dir(root);
        if !matches!(trainer.loggers, LoggerChoice::Default) {
            return trainer;
        }
        trainer.logger(TensorBoardLogger::in_dir(run.clone())).logger(CsvLogger::in_dir(run.clone()))
    }
}
