//! The callbacks and loggers of a Trainer, and the frame of every run: setup and teardown, errors and panics.

mod evaluations;
mod failure;
mod given;
mod later_runs;
mod on_ranks;
mod prepare;
mod queue_again;
mod shown;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use stormfire_data::{DataModule, Stage};
use stormfire_loggers::{
    Background, DEFAULT_NAME, Loggers, RunDir, Status,
    for_trainer::{DriveBackground as _, DriveLoggers as _, DriveRunDir as _, from_here},
};
use stormfire_module::{
    Callback, Error, Event, Hook, LightningModule, Result,
    for_trainer::{live_run, scope, training_mode::in_training},
    moment::Progress,
    requests::SaveRequest,
};
use stormfire_optim::for_trainer::DriveOptimizers as _;

pub(crate) use given::{Given, Start};
use later_runs::Ended;
use prepare::{of_data, prepare_fit};
use shown::{print, run_span};

use crate::{
    accelerator,
    adopt::adopt,
    checkpoint::{self, Resume},
    config::TrainerConfig,
    engine::{Engine, RandomPart, over_ranks},
    fit::FitLoop,
    gradient_checkpointing,
    guard::guard,
    logger_choice::LoggerChoice,
    move_module::{choose_device, move_module},
    seed::{self, drawn_before},
    setup::{OpenLoggers, draw_seed, log_hyperparams, required_callbacks},
    signals::{Signal, SignalWatch},
    slurm::Requeue,
    stop::{Fit, Stop},
    training::Training,
    whereabouts,
};

/// The state of a Trainer from its first run on.
pub(crate) struct Session<M: LightningModule> {
    engine: Engine<M>,
    /// The folders of the loggers' runs.
    folders: Vec<RunDir>,
    given: Given<M::Batch>,
    log_dir: Option<PathBuf>,
    requeue: Requeue,
    interrupted: Option<Signal>,
    /// The optimizers of the newest fit, for checkpoints that are requested after it.
    training: Training,
    /// The final state of the newest fit, if it completed. Later evaluations do not change it.
    ended: Option<Box<Ended<M>>>,
}

impl<M: LightningModule> Session<M> {
    /// `resume` is the checkpoint of the first fit.
    pub(crate) fn new(
        config: &TrainerConfig,
        given: Given<M::Batch>,
        callbacks: Vec<Box<dyn Callback<M>>>,
        loggers: LoggerChoice,
        mut resume: Option<&mut Resume>,
    ) -> Result<Self> {
        let config = given.effective(config);
        if config.fast_dev_run > 0 {
            let (count, batches) = (config.fast_dev_run, if config.fast_dev_run == 1 { "batch" } else { "batches" });
            tracing::info!("`fast_dev_run`: at most {count} {batches} of each loader, without logs and checkpoints");
        }
        let required = required_callbacks(&config, &callbacks)?;
        let callbacks: Vec<_> = callbacks.into_iter().chain(required).collect();
        if let Some(resume) = &mut resume {
            let max_steps = given.rehearsed.as_ref().map_or(config.max_steps, |run| run.config.max_steps);
            resume.take_up_epoch(max_steps, &callbacks)?;
        }
        let ranks = stormfire_ranks::here()?;
        let resume = resume.as_deref().filter(|_| !config.new_version_on_resume);
        let opened = if ranks.is_global_zero() { OpenLoggers::open(&config, loggers, resume)? } else { OpenLoggers::default() };
        let log_dir = opened.log_dir();
        let requeue = Requeue::of_this_process(&config);
        let mut engine = Engine::new(config, callbacks, ranks);
        engine.run.loggers = opened.loggers;
        engine.frame.logs_wait = opened.some_continue;
        engine.frame.rehearsed.clone_from(&given.rehearsed);
        Ok(Self { engine, folders: opened.folders, given, log_dir, requeue, interrupted: None, training: Training::default(), ended: None })
    }

    /// Prepares to resume a later fit: see [`Resume::take_up_epoch`].
    pub(crate) fn take_up_epoch(&self, resume: &mut Resume) -> Result<()> {
        resume.take_up_epoch(self.engine.frame.of_run().max_steps, self.callbacks())
    }

    pub(crate) fn callbacks(&self) -> &[Box<dyn Callback<M>>] {
        self.engine.callbacks()
    }

    pub(crate) fn loggers(&self) -> Loggers {
        self.engine.run.loggers.clone()
    }

    /// An absolute path, or a URL.
    pub(crate) fn default_root_dir(&self) -> &Path {
        &self.engine.run.default_root_dir
    }

    pub(crate) fn log_dir(&self) -> Option<&Path> {
        self.log_dir.as_deref()
    }

    /// The name of this Trainer's runs in messages. `None` if no logger has a name.
    fn name(&self) -> Option<String> {
        let logger = self.engine.run.loggers.first()?;
        let parts = [logger.name(), logger.version()].into_iter().filter(|part| !part.is_empty() && *part != DEFAULT_NAME);
        Some(parts.collect::<Vec<_>>().join("/")).filter(|name| !name.is_empty())
    }

    pub(crate) fn fit<D: DataModule<Batch = M::Batch>>(
        &mut self,
        module: M,
        mut data: D,
        resume: Option<Resume>,
        Start { drawn_seed, new_rates }: Start,
    ) -> Result<Fit<M>> {
        let _active = live_run::begin(self.name());
        let engine = &mut self.engine;
        engine.frame.device = choose_device(self.given.device.as_ref(), &engine.frame.config, &module)?;
        engine.precision.begin(engine.frame.config.precision, &engine.frame.device, &module, self.given.caster)?;
        let drawn = if engine.frame.config.seed.is_some() && resume.is_none() { drawn_before(&module)? } else { Vec::new() };
        engine.frame.checkpointing = gradient_checkpointing::strategy(engine.frame.config.gradient_checkpointing, &module);
        let module = engine.precision.parameters(move_module(module, &engine.frame.device, engine.frame.config.seed)?);
        let mut module = in_training(module, engine.frame.checkpointing);
        self.start_threads(&module, true)?;
        let engine = &mut self.engine;
        let seed = match engine.frame.config.seed.or(drawn_seed) {
            Some(seed) => seed,
            None => draw_seed(&engine.frame.device)?,
        };
        let start = on_ranks::start(engine, &module, seed, self.log_dir.take())?;
        (engine.seed, self.log_dir) = (Some(start.seed), start.log_dir);
        self.ended = None;
        let mut training = Training::default();
        let outcome = self.run(Stage::Fit, &mut module, &mut data, &mut training, |engine, module, data, training| {
            let mut resume = resume;
            engine.books.is_logged = start.is_logged;
            engine.run.id = over_ranks::of_zero(&engine.frame.ranks, engine.run.id.clone())?;
            // The fit draws the same numbers whether or not the parameters were initialized before.
            engine.reseed(RandomPart::FitStart);
            seed::warn_of(&drawn);
            let is_rehearsal = engine.frame.rehearsed.is_some();
            if let Some(resume) = &resume {
                resume.check_is_whole()?;
                // A rehearsal owns none of the run's files.
                if !is_rehearsal {
                    engine.run.resumed_from = resume.file();
                    engine.run.internals.spares_resumed = resume.is_named();
                    engine.run.id.clone_from(&resume.manifest().run_id);
                }
            }
            let (train, val, limits) = prepare_fit(engine, module, data, resume.as_mut())?;
            training.optimizers = {
                let _scope = engine.enter(Hook::ConfigureOptimizers);
                module.configure_optimizers()?
            };
            training.optimizers.start(module)?;
            let epochs = limits.0.map(|epochs| epochs as u64);
            new_rates.apply(&mut training.optimizers, engine.run.moment.fit_steps, epochs)?;
            if let Some(resume) = &mut resume {
                resume.restore_trained(engine, limits, module, training)?;
            }
            if let Some(resume) = resume.take_if(|_| !is_rehearsal) {
                let path = resume.path().to_path_buf();
                resume.run(engine, module, training)?;
                let Progress { epoch, global_step, .. } = engine.run.place.progress;
                tracing::info!("`Trainer.fit` continues from `{}`: epoch {epoch}, step {global_step}", from_here(&path).display());
            }
            engine.precision.start_loss_scale(&mut engine.run.place);
            adopt(module, &engine.frame)?;
            engine.begin_logs()?;
            engine.fire(module, Event::FitStart)?;
            adopt(module, &engine.frame)?;
            // Hooks may have set weights, each rank its own.
            on_ranks::share_weights(engine, module)?;
            on_ranks::require_same(engine, || Ok(on_ranks::facts_of_optimizers(&training.optimizers)))?;
            // Also in a continued run: the settings may be others than before.
            log_hyperparams(engine, module, data)?;
            let stop = FitLoop::new(engine, module, training, &*data, train, val).run()?;
            // At the end: a state from within a fit does not fit the start of one.
            resume.map_or(Ok(()), |resume| resume.rehearse_callbacks(engine, module))?;
            Ok(stop)
        });
        self.training = training;
        let stop = match outcome {
            Ok(stop) => {
                // A rehearsal is not the fit of the job.
                if !scope::is_inside_another_run() && self.given.rehearsed.is_none() {
                    self.requeue.forget();
                }
                stop
            }
            Err(error) => self.interrupted.filter(|_| matches!(error, Error::Interrupted { .. })).map(Stop::Interrupted).ok_or(error)?,
        };
        tracing::info!("`Trainer.fit` stopped: {stop}");
        self.ended = Some(Box::new(self.state_at_the_end(&module)?));
        on_ranks::share_callbacks(&mut self.engine)?;
        if self.engine.rank() == 0 {
            whereabouts::tell(&self.engine.frame.config, &self.engine.run, self.log_dir.as_deref(), self.engine.callbacks());
        }
        Ok(Fit { module, stop, progress: self.engine.run.place.progress.clone(), metrics: self.engine.store.newest()? })
    }

    /// The threads among which the next run divides its batches. They end with it.
    fn start_threads(&mut self, module: &M, trains: bool) -> Result<()> {
        let frame = &mut self.engine.frame;
        let division = (frame.config.strategy, frame.config.num_nodes);
        frame.threads = frame.config.devices.start(division, &frame.device, module, self.given.splitter, trains)?.map(Arc::new);
        Ok(())
    }

    /// Writes the state at the end of the newest fit, and waits for it.
    pub(crate) fn save_checkpoint(&mut self, module: &M, request: SaveRequest) -> Result<()> {
        let ended = self.end_of_newest_fit("save_checkpoint", "use `ModelCheckpoint`")?;
        // A refusal during the fit has already stopped it.
        drop(self.engine.frame.checkpoints.refused());
        checkpoint::write_state(&mut self.engine, &mut module.clone(), &self.training, Some(ended), request)?;
        self.engine.frame.checkpoints.refused().map_or(Ok(()), Err)
    }

    /// The frame of a run. In all cases, callbacks see the teardown, and loggers get the status.
    fn run<D: DataModule<Batch = M::Batch>, R>(
        &mut self,
        stage: Stage,
        module: &mut M,
        data: &mut D,
        training: &mut Training,
        body: impl FnOnce(&mut Engine<M>, &mut M, &mut D, &mut Training) -> Result<R>,
    ) -> Result<R> {
        let engine = &mut self.engine;
        let entered = scope::enter_run(engine.run.loggers.clone());
        let _span = run_span(stage).entered();
        // Code that stores messages next to the logs reads the folder from this field, at once.
        let log_dir = self.log_dir.as_deref().map(|folder| tracing::field::display(from_here(folder).display()));
        tracing::info!(device = accelerator::describe(&engine.frame.device), log_dir, "`Trainer.{stage}` starts");
        engine.begin(stage);
        engine.frame.signals = engine.frame.config.handle_signals.then(|| SignalWatch::install(self.requeue.signal()));
        if let Some(watch) = &engine.frame.signals {
            engine.run.loggers.hurry_when(watch.noted_at());
        }
        let mut outcome = guard(|| body(&mut *engine, &mut *module, &mut *data, &mut *training));
        outcome = outcome.map_err(|error| gradient_checkpointing::explained(engine.precision.explained::<M>(error)));
        if stage == Stage::Fit {
            match guard(|| Ok(data.state()?)) {
                Ok(newest) => engine.books.data_module = newest,
                Err(late) if outcome.is_ok() => outcome = Err(late),
                Err(late) => tracing::error!("after the run had failed: {late}"),
            }
        }
        // A fit that failed to resume must not write to the logs of the run that it was to continue.
        let waiting = (outcome.is_err() && engine.frame.logs_wait).then(|| std::mem::take(&mut engine.run.loggers));
        // The signal ended or refused a run inside a hook of this run, so this is not a boundary.
        let by_inner = matches!(&outcome, Err(Error::InHook { error, .. }) if matches!(**error, Error::Interrupted { .. }));
        let by_signal = (by_inner && engine.signal().is_some()) || matches!(outcome, Err(Error::Interrupted { .. }));
        // Only the outermost run of a job requeues it.
        let requeues = by_signal && engine.asks_for_requeue() && !scope::is_inside_another_run();
        let requeue = (requeues && stage == Stage::Fit).then(|| SaveRequest { path: self.requeue.checkpoint(), ..SaveRequest::default() });
        if let Err(error) = &outcome {
            if !matches!(error, Error::Interrupted { .. }) {
                engine.frame.ranks.abort(&error.to_string());
            }
            if matches!(error, Error::Interrupted { .. })
                && !by_inner
                && let Err(late) = checkpoint::gather(engine, module, training)
            {
                tracing::error!("while handling `{error}`: {late}");
            }
            // Requests the state of the last boundary, if it is kept.
            let of_boundary = requeue.clone().filter(|_| by_inner);
            failure::on_exception(engine, module, data, training, error, of_boundary);
        }
        if let Some(request) = requeue.filter(|_| !by_inner) {
            engine.run.place.requests.saves.push(request);
            let saved = guard(|| checkpoint::write_requested(engine, module, training)).and_then(|()| guard(|| checkpoint::settle(engine)));
            if let Err(error) = saved {
                outcome = Err(error);
            }
        }
        if let Some(signal) = engine.signal().filter(|_| by_inner) {
            outcome = Err(signal.into());
        }
        engine.frame.threads = None;
        engine.books.in_force.be_over();
        let saved = guard(|| checkpoint::settle(engine));
        let torn_down = guard(|| engine.fire(module, Event::Teardown { stage }))
            .and(guard(|| of_data(engine, Hook::Teardown, || data.teardown(stage))));
        let status = match &outcome {
            Ok(_) => Status::Success,
            Err(Error::Interrupted { .. }) => Status::Interrupted,
            Err(_) => Status::Failed,
        };
        // Before the loggers upload the folder.
        engine.note_end(status);
        // Messages from here on are too late for the loggers.
        drop(entered);
        let finalized = engine.finalize_loggers(status);
        engine.run.loggers.iter().for_each(Background::unmark);
        if let Some(loggers) = waiting {
            engine.run.loggers = loggers;
        }
        for late in [saved, torn_down, finalized].into_iter().filter_map(Result::err) {
            if outcome.is_ok() {
                outcome = Err(late);
            } else {
                // The first error is returned. This one would hide it.
                tracing::error!("after the run had failed: {late}");
            }
        }
        if let Some(report) = engine.frame.profiler.report(&stage.to_string().to_uppercase()) {
            print(&engine.frame.ranks, "Profile", &report);
        }
        // Another rank may have received it.
        self.interrupted = engine.signal().or_else(|| engine.signal_here());
        engine.frame.signals = None;
        if requeues
            && engine.frame.ranks.is_global_zero()
            && matches!(outcome, Err(Error::Interrupted { .. }))
            && let Err(error) = self.queue_again(stage, by_inner)
        {
            outcome = Err(error);
        }
        outcome
    }
}

impl<M: LightningModule> Drop for Session<M> {
    fn drop(&mut self) {
        // Those of a run that failed to start are empty.
        self.folders.iter().for_each(RunDir::remove_unused);
    }
}
