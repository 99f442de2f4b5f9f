//! The state of a run, its callbacks, and [`Engine::fire`], the only function that calls them.

mod agreement;
mod begin;
mod idle;
pub(crate) mod over_ranks;
mod weights;

use std::{borrow::Cow, ops::Range};

use burn::{optim::GradientsParams, tensor::Tensor};
use stormfire_checkpoint::storage::is_url;
use stormfire_data::Stage;
use stormfire_loggers::{
    Background, CheckpointInfo, Loggers, Status,
    for_trainer::{DriveBackground as _, DriveLoggers as _},
};
use stormfire_module::{
    Callback, Error, Event, Hook, LightningModule, Order, Result,
    for_trainer::{
        MetricSource as _, ModuleHooks, StepHooks, context, in_hook,
        scope::{self, Entered},
    },
    run::Run,
};
use stormfire_ranks::Shared;
use stormfire_values::{Every, every::Tick, seeds::mix};

use self::idle::IdleHooks;
use crate::{
    books::Books,
    config::TrainerConfig,
    frame::Frame,
    log_store::{Keeps, LogStore, Sent},
    non_finite::NonFinite,
    precision::InUse,
    profiler::Started,
    signals::SignalWatch,
    trainer_yaml,
};

/// The state of a run, except the module, the data and the optimizers.
pub(crate) struct Engine<M: LightningModule> {
    pub(crate) frame: Frame,
    pub(crate) run: Run,
    pub(crate) store: LogStore,
    pub(crate) books: Books<M>,
    pub(crate) precision: InUse<M::Batch>,
    /// The seed of this run's random numbers. `None` leaves them unchanged.
    pub(crate) seed: Option<u64>,
    callbacks: Vec<Box<dyn Callback<M>>>,
    /// The keys of the callbacks. Computing one costs more than an event.
    keys: Vec<String>,
    /// The hooks that need no call.
    idle: IdleHooks,
    /// The index of the first callback that decides by logged values.
    first_late: usize,
    /// A callback may skip steps.
    may_skip_steps: bool,
}

impl<M: LightningModule> Engine<M> {
    /// Orders the callbacks: ordinary ones, the module's own hooks, those that decide by logged values, those that
    /// save.
    pub(crate) fn new(config: TrainerConfig, callbacks: Vec<Box<dyn Callback<M>>>, ranks: Shared) -> Self {
        let (mut ordered, mut late): (Vec<_>, Vec<_>) = callbacks.into_iter().partition(|c| c.order() == Order::Ordinary);
        late.sort_by_key(|callback| callback.order());
        ordered.push(Box::new(ModuleHooks));
        let first_late = ordered.len();
        ordered.extend(late);
        let may_skip_steps = ordered.iter().any(|callback| callback.may_skip_steps());
        let keeps = if config.barebones { Keeps::Nothing } else { Keeps::All };
        Self {
            run: begin::fresh_run(&config, Stage::Fit, Loggers::default()),
            store: LogStore::new(keeps, matches!(config.on_non_finite, NonFinite::Skip { .. }) || may_skip_steps),
            may_skip_steps,
            books: Books::default(),
            precision: InUse::default(),
            seed: config.seed,
            keys: ordered.iter().map(|callback| callback.state_key()).collect(),
            idle: IdleHooks::of(ordered.len()),
            callbacks: ordered,
            first_late,
            frame: Frame::new(config, ranks),
        }
    }

    /// Starts the logs, after all checks: rolls the logs of a resumed run back to its checkpoint, and writes the
    /// options into the log folder.
    pub(crate) fn begin_logs(&mut self) -> Result<()> {
        self.run.loggers.iter().try_for_each(Background::resumed)?;
        self.frame.logs_wait = false;
        self.frame.has_logged_fit |= self.run.stage == Stage::Fit;
        scope::begin_output();
        let folder = self.run.loggers.iter().find_map(|logger| logger.log_dir());
        if self.rank() == 0 && !is_url(&self.run.default_root_dir) {
            self.frame.profiler.begin_trace(folder.unwrap_or(&self.run.default_root_dir), &self.run.stage.to_string());
        }
        if let Some(folder) = folder {
            // A logger creates a folder below that of its run with its first value.
            std::fs::create_dir_all(folder)?;
            trainer_yaml::write(folder, &self.frame.config, self.run.stage)?;
            self.frame.noted_in = Some(folder.to_owned());
        }
        Ok(())
    }

    /// Notes the end of the run in its folder, if its logs have started.
    pub(crate) fn note_end(&mut self, status: Status) {
        if let Some(folder) = self.frame.noted_in.take() {
            trainer_yaml::note_end(&folder, &self.frame.config, self.run.stage, status);
        }
    }

    pub(crate) fn callbacks(&self) -> &[Box<dyn Callback<M>>] {
        &self.callbacks
    }

    /// The callbacks with the keys of their states.
    pub(crate) fn callbacks_with_keys(&mut self) -> impl Iterator<Item = (&mut Box<dyn Callback<M>>, &str)> {
        self.callbacks.iter_mut().zip(self.keys.iter().map(String::as_str))
    }

    /// Calls the callbacks and the module's hook for an event. The values that one of them logs are in the store before
    /// the next one is called.
    ///
    /// An error ends the round, except for the last events of a run. These reach all callbacks, because a failed
    /// cleanup of one callback must not prevent that of the others.
    pub(crate) fn fire(&mut self, module: &mut M, mut event: Event<'_, M::Batch>) -> Result<()> {
        let hook = event.hook();
        // Values logged before this point belong to the step.
        self.collect()?;
        if self.idle.for_all(hook) && !self.shows_calls() {
            return Ok(());
        }
        let _scope = self.enter(hook);
        let outcome = self.call(0..self.first_late, hook, module, &mut event);
        if outcome.is_err() && !reaches_all(hook) {
            return outcome;
        }
        if matches!(hook, Hook::TrainEpochEnd | Hook::ValidationEpochEnd | Hook::TestEpochEnd) {
            self.sync_values(Sent::OfHook(self.run.moment.stage, hook))?;
        }
        if self.first_late == self.callbacks.len() {
            return outcome;
        }
        outcome.and(self.call(self.first_late..self.callbacks.len(), hook, module, &mut event))
    }

    /// Calls some callbacks.
    fn call(&mut self, which: Range<usize>, hook: Hook, module: &mut M, event: &mut Event<'_, M::Batch>) -> Result<()> {
        let is_other_rank = !self.frame.ranks.is_global_zero();
        let shows_calls = self.shows_calls();
        let mut outcome = Ok(());
        let called = self.callbacks[which.clone()].iter_mut().zip(&self.keys[which.clone()]).zip(which);
        for ((callback, key), index) in called {
            let is_idle = self.idle.for_one(index, hook) && !shows_calls;
            if is_idle || (is_other_rank && callback.rank_zero_only()) {
                continue;
            }
            let started = self.frame.profiler.start();
            let _span = tracing::trace_span!("hook", %hook, callback = %callback.name()).entered();
            let mut context = context(&mut self.run, &mut self.store, key);
            let result = self.idle.watch(index, hook, callback, |callback| callback.on_event(&mut context, module, event));
            self.frame.profiler.stop(started, || format!("[{}] {hook}", callback.name()).into());
            // Also takes the values that it logged before an error. Otherwise they would appear in another event.
            let logged = self.store.take_logged(&self.run);
            if result.is_ok() && logged.is_ok() {
                continue;
            }
            let result = result.map_err(|error| in_hook(error, hook, &callback.name(), self.run.moment));
            match result.and(logged.map_err(Error::from)) {
                Ok(()) => {}
                Err(error) if !reaches_all(hook) => return Err(error),
                Err(error) if outcome.is_ok() => outcome = Err(error),
                Err(error) => tracing::error!("after another error: {error}"),
            }
        }
        outcome
    }

    /// Whether each call of a hook leaves a trace of itself, even if it does nothing.
    #[inline]
    fn shows_calls(&self) -> bool {
        self.frame.profiler.is_on() || tracing::enabled!(tracing::Level::TRACE)
    }

    /// Enters the scope of a hook or step at the current moment.
    pub(crate) fn enter(&mut self, hook: Hook) -> Entered {
        self.run.moment.epoch = self.run.place.progress.epoch;
        self.run.moment.global_step = self.run.place.progress.global_step;
        self.run.loggers.set_step(self.run.place.logger_step);
        scope::enter(hook, self.run.moment)
    }

    /// Adds the position to an error of a step of the module.
    pub(crate) fn in_step(&self, step: Hook, error: Error) -> Error {
        in_hook(error, step, &Callback::<M>::name(&ModuleHooks), self.run.moment)
    }

    /// Takes the values logged since the last call.
    pub(crate) fn collect(&mut self) -> Result<()> {
        Ok(self.store.take_logged(&self.run)?)
    }

    /// Logs how many batches are missing in the means of the ending training epoch, once at least one batch was
    /// skipped.
    pub(crate) fn log_skipped_batches(&mut self) -> Result<()> {
        {
            let _scope = self.enter(Hook::TrainEpochEnd);
            self.store.log_skipped_batches();
        }
        self.collect()
    }

    /// Whether the metrics of this step are sent to the loggers.
    pub(crate) fn logs_step(&self, step: u64) -> bool {
        let every = self.frame.config.log_every_n_steps;
        every > 0 && (Every::Steps(every).is_due(&Tick::of_step(step + 1)) || self.run.fast_dev_run)
    }

    /// Seeds the random numbers that follow. They depend only on the run's seed and its position, not on earlier draws.
    /// Validation, hooks and resuming in between do not change them.
    pub(crate) fn reseed(&self, part: RandomPart) {
        if let Some(seed) = self.seed_of(part) {
            scope::seed(&self.frame.device, seed);
        }
    }

    /// The seed of the random numbers for something; `None` leaves them alone.
    pub(crate) fn seed_of(&self, part: RandomPart) -> Option<u64> {
        let stream = match part {
            RandomPart::FitStart => u64::MAX,
            RandomPart::Batch => 0,
            RandomPart::EpochStart => 1,
            RandomPart::EpochEnd => 2,
            RandomPart::Evaluation => 3,
            RandomPart::EvaluationEnd => 4,
            RandomPart::EvaluationBatch { dataloader_idx, batch_idx } => 5 + ((dataloader_idx as u64) << 40) + batch_idx as u64,
        };
        // The batch of a rank has the numbers that it would have on a single rank.
        let rank = if matches!(part, RandomPart::Batch) { self.rank() as u64 } else { 0 };
        self.seed.map(|seed| mix(mix(seed, stream), self.run.place.progress.batches + rank))
    }

    /// Whether the signal that requested the run to end is the requeue signal.
    pub(crate) fn asks_for_requeue(&self) -> bool {
        let requeue = self.frame.signals.as_ref().and_then(SignalWatch::requeue);
        requeue.is_some() && self.signal() == requeue
    }

    pub(crate) fn time<R>(&mut self, action: &'static str, code: impl FnOnce(&mut Self) -> R) -> R {
        let started = self.frame.profiler.start();
        let result = code(self);
        self.stop_time(started, action);
        result
    }

    pub(crate) fn stop_time(&mut self, started: Started, action: &'static str) {
        self.frame.profiler.stop(started, || Cow::Borrowed(action));
    }

    /// Waits until every logger has written its records, and reports the status of the run to it.
    pub(crate) fn finalize_loggers(&self, status: Status) -> Result<()> {
        self.run.loggers.finalize(status).map_err(Error::from)
    }

    pub(crate) fn after_save_checkpoint(&self, info: &CheckpointInfo) -> Result<()> {
        self.run.loggers.iter().try_for_each(|logger| logger.after_save_checkpoint(info.clone())).map_err(Error::from)
    }
}

/// Whether an error of one callback does not keep this event from the others.
fn reaches_all(hook: Hook) -> bool {
    matches!(hook, Hook::Exception | Hook::Teardown)
}

/// The purpose of random numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RandomPart {
    FitStart,
    Batch,
    EpochStart,
    EpochEnd,
    Evaluation,
    EvaluationEnd,
    EvaluationBatch { dataloader_idx: usize, batch_idx: usize },
}

impl<M: LightningModule> StepHooks<M> for Engine<M> {
    fn on_before_zero_grad(&mut self, module: &mut M, optimizer: &str) -> Result<()> {
        self.fire(module, Event::BeforeZeroGrad { optimizer })
    }

    fn on_before_backward(&mut self, module: &mut M, loss: &Tensor<1>) -> Result<()> {
        self.fire(module, Event::BeforeBackward { loss })
    }

    fn on_after_backward(&mut self, module: &mut M, gradients: &mut GradientsParams) -> Result<()> {
        self.fire(module, Event::AfterBackward { gradients })
    }

    fn on_before_optimizer_step(&mut self, module: &mut M, optimizer: &str, gradients: &mut GradientsParams) -> Result<()> {
        self.fire(module, Event::BeforeOptimizerStep { optimizer, gradients })
    }

    fn asked_to_skip(&mut self) -> Result<Option<String>> {
        let asked = self.run.internals.skip_step.take();
        if !self.may_skip_steps {
            let refuse = |_| Error::config("skip_step", "no callback says that it skips steps", "return `true` from its `may_skip_steps`");
            return asked.map_or(Ok(None), |reason| Err(refuse(reason)));
        }
        if self.world() == 1 {
            return Ok(asked);
        }
        // The ranks must not step differently.
        let any = self.frame.ranks.agree(u64::from(asked.is_some()))? != 0;
        Ok(asked.or_else(|| any.then(|| "another rank requested it".to_owned())))
    }

    fn learning_rates(&mut self, rates: Vec<(String, f64)>) {
        self.run.place.learning_rates = rates;
    }
}
