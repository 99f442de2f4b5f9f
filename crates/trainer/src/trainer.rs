//! The [`Trainer`], which trains a module with its options, callbacks and loggers.

mod after_fit;
mod for_tuner;
mod setters;

use std::{
    any::Any,
    path::{Path, PathBuf},
};

use burn::tensor::Device;
use stormfire_data::{Caster, DataModule, Splitter};
use stormfire_loggers::{Logger, Loggers, Metrics};
use stormfire_module::{
    Callback, Error, LightningModule, PredictModule, Result, RunningStage,
    for_trainer::{OuterRun, scope},
    moment::Progress,
    prediction_sink::PredictionSink,
};
use stormfire_values::text::Misread;

pub use for_tuner::ProbeTrainer;
pub use setters::DeviceChoice;

use crate::{
    checkpoint::{CkptPath, Resume, SearchFolders},
    config::TrainerConfig,
    engine::over_ranks::of_zero,
    frame::Rehearsed,
    logger_choice::LoggerChoice,
    move_module::{choose_device, initialized},
    new_rates::NewRates,
    predict::Collected,
    session::{Given, Session, Start},
    setup::folders_of_runs,
    signals::check_not_interrupted,
    slurm::Requeue,
    stop::Fit,
};

/// Trains, validates, tests and predicts with a [`LightningModule`].
///
/// Create it with [`Trainer::new`] and set options with its setters. These never fail: values and combinations are
/// checked at the start of a run. By default it writes TensorBoard and CSV logs and checkpoints, and shows a progress
/// bar and a model summary.
///
/// ```
/// # use burn::{nn::{Linear, LinearConfig, loss::{MseLoss, Reduction}}, optim::SgdConfig, prelude::*};
/// # use stormfire_module::{LightningModule, Result, StepOutput};
/// # use stormfire_optim::{Optimizer, Optimizers};
/// # use stormfire_data::Loader;
/// # #[derive(Module, Debug)]
/// # struct Line { layer: Linear }
/// # impl LightningModule for Line {
/// #     type Batch = (Tensor<2>, Tensor<2>);
/// #     fn training_step(&self, (x, y): Self::Batch, _batch_idx: usize) -> Result<StepOutput> {
/// #         Ok(MseLoss::new().forward(self.layer.forward(x), y, Reduction::Mean).into())
/// #     }
/// #     fn configure_optimizers(&self) -> Result<Optimizers> { Ok(Optimizer::new(SgdConfig::new(), 0.1).into()) }
/// # }
/// use stormfire_trainer::{Stop, Trainer};
///
/// # let device = Device::flex();
/// # let module = Line { layer: LinearConfig::new(1, 1).init(&device) };
/// # let x = Tensor::<2>::ones([4, 1], &device);
/// let batches = Loader::from_batches(vec![(x.clone(), x); 10]);
/// let mut trainer = Trainer::new().max_epochs(2).barebones(true);
/// let fit = trainer.fit(module, batches)?;
/// assert_eq!(fit.stop, Stop::MaxEpochs(2));
/// assert_eq!(fit.progress.global_step, 20);
/// # Ok::<(), stormfire_module::Error>(())
/// ```
///
#[doc = include_str!("../docs/trainer.md")]
pub struct Trainer<M: LightningModule> {
    config: TrainerConfig,
    misread: Misread,
    device: Option<Device>,
    callbacks: Vec<Box<dyn Callback<M>>>,
    loggers: LoggerChoice,
    ckpt_path: Option<CkptPath>,
    /// How batches are divided among devices.
    splitter: Option<Splitter<M::Batch>>,
    /// How batches are cast to the type of the steps.
    caster: Option<Caster<M::Batch>>,
    /// The seed of the next fit without a given one, if a tuner has drawn it.
    drawn_seed: Option<u64>,
    new_rates: NewRates,
    /// The run that is rehearsed.
    rehearsed: Option<Rehearsed>,
    session: Option<Box<Session<M>>>,
    has_begun: bool,
}

impl<M: LightningModule> Default for Trainer<M> {
    fn default() -> Self {
        Self {
            config: TrainerConfig::default(),
            misread: Misread::default(),
            device: None,
            callbacks: Vec::new(),
            loggers: LoggerChoice::Default,
            ckpt_path: None,
            splitter: None,
            caster: None,
            drawn_seed: None,
            new_rates: NewRates::default(),
            rehearsed: None,
            session: None,
            has_begun: false,
        }
    }
}

impl<M: LightningModule> std::fmt::Debug for Trainer<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer").field("config", &self.config).field("callbacks", &self.callbacks.len()).finish_non_exhaustive()
    }
}

impl<M: LightningModule> Trainer<M> {
    /// Creates a Trainer with the default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a Trainer with these options.
    pub fn from_config(config: TrainerConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// The options as they were set.
    pub fn config(&self) -> &TrainerConfig {
        &self.config
    }

    /// Adds a callback.
    pub fn callback(mut self, callback: impl Callback<M>) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Adds a logger, in place of the default ones. Can be called several times.
    pub fn logger(mut self, logger: impl Logger) -> Self {
        match &mut self.loggers {
            LoggerChoice::Given(loggers) => loggers.push(Box::new(logger)),
            LoggerChoice::Default => self.loggers = LoggerChoice::Given(vec![Box::new(logger)]),
        }
        self
    }

    /// Disables logging.
    pub fn no_logger(mut self) -> Self {
        self.loggers = LoggerChoice::Given(Vec::new());
        self
    }

    /// Starts the next run from a checkpoint: a path, `"last"` or `"best"` (see [`CkptPath`]).
    ///
    /// A fit resumes after the moment of the checkpoint, even within an epoch. The checkpoint restores weights,
    /// optimizers, schedules, callbacks, unfinished means, the position in the data, and random numbers. On the CPU the
    /// resumed run equals an uninterrupted one bit for bit. By default the log files of that run are also continued,
    /// see [`new_version_on_resume`](Self::new_version_on_resume). `docs/resuming.md` lists what may change in between.
    ///
    /// [`validate`](Self::validate), [`test`](Self::test) and [`predict`](Self::predict) load only the weights, and log
    /// at the step and epoch of the checkpoint.
    pub fn ckpt_path(mut self, path: impl Into<CkptPath>) -> Self {
        self.set_ckpt_path(path);
        self
    }

    /// As [`ckpt_path`](Self::ckpt_path), for a Trainer after its first run: `trainer.set_ckpt_path("best")` before a
    /// test.
    pub fn set_ckpt_path(&mut self, path: impl Into<CkptPath>) {
        self.ckpt_path = Some(path.into());
    }

    /// Trains a module on the data of a [`DataModule`], or on loaders: one for training, or a pair `(train, val)`.
    ///
    /// A fit starts at step 0, or at the position of a checkpoint ([`ckpt_path`](Self::ckpt_path)). A second fit of the
    /// same Trainer also starts at step 0. It is another run, with a new `version_N` (if a version was given,
    /// `VERSION-v1`) and a new run on a tracker. Only loggers that cannot start another run continue theirs
    /// ([`Logger::another`]). To train longer, use [`fit_further`](Self::fit_further).
    ///
    /// # Errors
    /// * invalid options
    /// * an error of the data
    /// * an error or a panic of a hook
    /// * a logger or checkpoint that cannot be written
    /// * a damaged or mismatched checkpoint in `ckpt_path`
    ///
    /// Before this returns an error, callbacks see `on_exception` and `teardown`, and loggers are finalized as failed.
    /// Ctrl-C is not an error: see [`Stop::Interrupted`](crate::Stop::Interrupted). But the next run of the process is
    /// refused with [`Error::Interrupted`]: see [`forget_interrupt`](crate::forget_interrupt).
    pub fn fit<D: DataModule<Batch = M::Batch>>(&mut self, module: M, data: D) -> Result<Fit<M>> {
        on_all_ranks(|| self.fit_on_this_rank(module, data))
    }

    fn fit_on_this_rank<D: DataModule<Batch = M::Batch>>(&mut self, module: M, data: D) -> Result<Fit<M>> {
        let _outer = inside_another_run()?;
        let asked = self.ckpt_path.take();
        // Only the outermost run of a job resumes from its checkpoint.
        let saved = if scope::is_inside_another_run() { None } else { Requeue::of_this_process(&self.config).saved()? };
        let saved = of_zero(&stormfire_ranks::here()?, saved)?;
        self.ckpt_path = saved.map(CkptPath::Path).or(asked);
        let mut resume = self.checkpoint()?;
        let is_further = self.session.is_some();
        let start = self.start();
        let session = self.session(resume.as_mut())?;
        if is_further {
            session.begin_new_logs(resume.as_ref())?;
        }
        session.fit(module, data, resume, start)
    }

    /// Validates a module. Returns one list of metrics per loader, and also prints them as a table. With
    /// `limit_val_batches(0)` the module is set up and torn down, no loader is requested, and the result has no
    /// metrics.
    ///
    /// # Errors
    /// As [`Trainer::fit`], and for a missing loader or `validation_step`.
    pub fn validate<D: DataModule<Batch = M::Batch>>(&mut self, module: &M, data: D) -> Result<Vec<Metrics>> {
        on_all_ranks(|| {
            let _outer = inside_another_run()?;
            let (module, at) = self.with_weights(module)?;
            self.session(None)?.evaluate(&module, data, RunningStage::Validate, at)
        })
    }

    /// Tests a module. Returns one list of metrics per loader, and also prints them as a table. `limit_test_batches(0)`
    /// has the same effect as `limit_val_batches(0)` in [`validate`](Self::validate).
    ///
    /// # Errors
    /// As [`Trainer::fit`], and for a missing loader or `test_step`.
    pub fn test<D: DataModule<Batch = M::Batch>>(&mut self, module: &M, data: D) -> Result<Vec<Metrics>> {
        on_all_ranks(|| {
            let _outer = inside_another_run()?;
            let (module, at) = self.with_weights(module)?;
            self.session(None)?.evaluate(&module, data, RunningStage::Test, at)
        })
    }

    /// Predicts every batch of every loader, and keeps all predictions in memory: see
    /// [`predict_each`](Self::predict_each) for more of them than fit. `limit_predict_batches(0)` has the same effect
    /// as `limit_val_batches(0)` in [`validate`](Self::validate).
    ///
    /// # Errors
    /// As [`Trainer::fit`], and for a missing loader.
    pub fn predict<D: DataModule<Batch = M::Batch>>(&mut self, module: &M, data: D) -> Result<Vec<Vec<M::Prediction>>>
    where
        M: PredictModule,
    {
        on_all_ranks(|| {
            let _outer = inside_another_run()?;
            let (module, at) = self.with_weights(module)?;
            let mut all = Collected(Vec::new());
            self.session(None)?.predict(&module, data, at, &mut all)?;
            Ok(all.0)
        })
    }

    /// Predicts every batch of every loader, and gives each prediction to a [`PredictionSink`]: a closure, or a
    /// `PredictionWriter`, which writes files. No prediction is kept. They come in the order of the loaders and their
    /// batches, also with several threads. Each of several ranks gives the predictions of its batches to its sink.
    ///
    /// ```
    /// # use burn::prelude::*;
    /// # use stormfire_data::Loader;
    /// # use stormfire_module::{LightningModule, PredictModule, Result, prediction_sink::Predicted};
    /// # #[derive(Module, Debug)]
    /// # struct Doubler { none: Option<burn::nn::Linear> }
    /// # impl LightningModule for Doubler { type Batch = usize; }
    /// # impl PredictModule for Doubler {
    /// #     type Prediction = usize;
    /// #     fn predict_step(&self, batch: usize, _: usize) -> Result<usize> { Ok(2 * batch) }
    /// # }
    /// # use stormfire_trainer::Trainer;
    /// # let module = Doubler { none: None };
    /// let mut sum = 0;
    /// Trainer::new().barebones(true).predict_each(&module, Loader::from_batches(vec![1, 2, 3]), |predicted: Predicted<usize>| {
    ///     sum += predicted.prediction;
    ///     Ok(())
    /// })?;
    /// assert_eq!(sum, 12);
    /// # Ok::<(), stormfire_module::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`predict`](Self::predict), and those of the sink.
    pub fn predict_each<D, S>(&mut self, module: &M, data: D, mut sink: S) -> Result<()>
    where
        M: PredictModule,
        D: DataModule<Batch = M::Batch>,
        S: PredictionSink<M::Prediction>,
    {
        on_all_ranks(|| {
            let _outer = inside_another_run()?;
            let (module, at) = self.with_weights(module)?;
            self.session(None)?.predict(&module, data, at, &mut sink)
        })
    }

    /// The file of a checkpoint as this Trainer would find it: see [`CkptPath`]. `None` if `"last"` finds none.
    ///
    /// # Errors
    /// A folder that cannot be read, and no file for `"best"`.
    pub fn find_checkpoint(&self, wanted: &CkptPath) -> Result<Option<PathBuf>> {
        self.located(wanted).map(|(found, _)| found)
    }

    /// Reads the requested checkpoint.
    fn checkpoint(&mut self) -> Result<Option<Resume>> {
        let Some(wanted) = self.ckpt_path.take() else { return Ok(None) };
        let (found, folders) = self.located(&wanted)?;
        found.map(|path| Resume::read(&path, wanted != CkptPath::Last, &folders)).transpose()
    }

    fn located(&self, wanted: &CkptPath) -> Result<(Option<PathBuf>, SearchFolders)> {
        let root = &self.config.default_root_dir;
        let (callbacks, runs) = match (&self.session, &self.loggers) {
            (Some(session), _) => (session.callbacks(), session.folders_of_runs()?),
            (None, LoggerChoice::Default) => (self.callbacks.as_slice(), folders_of_runs(Vec::new(), root)?),
            (None, LoggerChoice::Given(loggers)) => {
                let of_loggers = loggers.iter().map(|logger| logger.log_dirs()).collect::<Result<_, _>>()?;
                (self.callbacks.as_slice(), folders_of_runs(of_loggers, root)?)
            }
        };
        let root = self.session.as_deref().map_or(root.as_path(), Session::default_root_dir);
        let folders = SearchFolders::of(callbacks, &runs, root)?;
        // Rank 0 knows the folders of its logs.
        let ranks = stormfire_ranks::here()?;
        let found = if ranks.is_global_zero() { folders.locate(wanted, callbacks)? } else { None };
        Ok((of_zero(&ranks, found)?, folders))
    }

    /// The module, with the weights of the requested checkpoint if there is one, and the progress of the fit that wrote
    /// it.
    fn with_weights(&mut self, module: &M) -> Result<(M, Option<Progress>)> {
        if let Some(precision) = self.config.precision {
            // Before the first tensor of the checkpoint.
            precision.prepare(&choose_device(self.device.as_ref(), &self.config, module)?)?;
        }
        match self.checkpoint()? {
            Some(checkpoint) => {
                let at = checkpoint.progress().clone();
                Ok((checkpoint.into_weights_in_force(initialized(|| module.valid())?)?, Some(at)))
            }
            None => Ok((module.clone(), None)),
        }
    }

    /// The start values of the next fit.
    fn start(&mut self) -> Start {
        Start { drawn_seed: self.drawn_seed.take(), new_rates: self.new_rates.clone() }
    }

    /// The first callback of a type, for example to get the best checkpoint or the reason of a stop after a run.
    pub fn get<C: Callback<M>>(&self) -> Option<&C> {
        self.get_all().next()
    }

    /// All callbacks of a type, in the order in which they are called.
    pub fn get_all<C: Callback<M>>(&self) -> impl Iterator<Item = &C> {
        self.all_callbacks().filter_map(|callback| (callback as &dyn Any).downcast_ref())
    }

    /// The callback of a type with this name. This is its given name (`ModelCheckpoint::named("best")` is `"best"`), or
    /// the key of its state in a checkpoint ([`Callback::state_key`]).
    ///
    /// ```
    /// # use stormfire_module::LightningModule;
    /// # fn example<M: LightningModule>() {
    /// use stormfire_callbacks::EarlyStopping;
    /// use stormfire_trainer::Trainer;
    ///
    /// let stop = EarlyStopping::new;
    /// let trainer = Trainer::<M>::new().callback(stop("val_loss")).callback(stop("val_loss").patience(9).named("late"));
    /// assert!(trainer.get_named::<EarlyStopping>("late").is_some());
    /// assert!(trainer.get_named::<EarlyStopping>("EarlyStopping{monitor: val_loss, mode: min}").is_some());
    /// assert_eq!(trainer.get_all::<EarlyStopping>().count(), 2);
    /// # }
    /// ```
    pub fn get_named<C: Callback<M>>(&self, name: &str) -> Option<&C> {
        let has_name = |callback: &dyn Callback<M>| {
            let key = callback.state_key();
            key == name || key == format!("{}{{{name}}}", callback.name())
        };
        self.all_callbacks().filter(|callback| has_name(*callback)).find_map(|callback| (callback as &dyn Any).downcast_ref())
    }

    fn all_callbacks(&self) -> impl Iterator<Item = &dyn Callback<M>> {
        self.callbacks.iter().chain(self.session.iter().flat_map(|session| session.callbacks())).map(AsRef::as_ref)
    }

    /// The loggers of this Trainer, after its first run has started. Use them to log after a run or to access a
    /// backend: `trainer.loggers().experiment::<TensorBoardLogger>()`.
    pub fn loggers(&self) -> Loggers {
        self.session.as_deref().map(Session::loggers).unwrap_or_default()
    }

    /// The folder of this Trainer's runs, after the first one has started: logs, hyperparameters, checkpoints.
    pub fn log_dir(&self) -> Option<&Path> {
        self.session.as_deref().and_then(Session::log_dir)
    }

    /// Callbacks and loggers live from the first run on, so that a test after a fit logs to the same place.
    fn session(&mut self, resume: Option<&mut Resume>) -> Result<&mut Session<M>> {
        if let Some(session) = &self.session {
            resume.map_or(Ok(()), |resume| session.take_up_epoch(resume))?;
        } else {
            self.misread.check()?;
            self.config.check()?;
            if std::mem::replace(&mut self.has_begun, true) {
                return Err(Error::config(
                    "Trainer",
                    "an earlier run failed to start, and its callbacks and loggers were dropped",
                    "create a new Trainer",
                ));
            }
            let (splitter, caster, rehearsed) = (self.splitter, self.caster, self.rehearsed.clone());
            let given = Given { device: self.device.clone(), splitter, caster, rehearsed };
            let callbacks = std::mem::take(&mut self.callbacks);
            let loggers = std::mem::take(&mut self.loggers);
            self.session = Some(Box::new(Session::new(&self.config, given, callbacks, loggers, resume)?));
        }
        // Set above if it was missing.
        self.session.as_deref_mut().ok_or_else(|| Error::other("the Trainer has no session"))
    }
}

/// A run that fails on this rank, even before its start, fails on all of them.
fn on_all_ranks<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    run().inspect_err(|error| {
        if !matches!(error, Error::Interrupted { .. })
            && let Ok(ranks) = stormfire_ranks::here()
        {
            ranks.abort(&error.to_string());
        }
    })
}

/// Checks that a run may start. Sets an enclosing run aside until the new one ends.
fn inside_another_run() -> Result<OuterRun> {
    check_not_interrupted()?;
    Ok(OuterRun::set_aside().with_its_random_numbers())
}
