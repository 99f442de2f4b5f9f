//! Prepares a run: default loggers and callbacks, seeds, and limits of batches.

use std::{
    any::Any,
    path::{Path, PathBuf},
};

use burn::tensor::{Device, Distribution, Tensor};
use stormfire_callbacks::{
    EarlyStopping, Ema, ImageGridMonitor, ModelCheckpoint, ModelSummary, ProgressBar, StochasticWeightAveraging, Timer, WeightAveraging,
};
use stormfire_data::{DataModule, Length, Loader, Loaders};
use stormfire_loggers::{
    Background, CsvLogger, DEFAULT_NAME, Error as LoggerError, Hyperparams, Logger, Loggers, Metrics, RunDir, TensorBoardLogger,
    for_trainer::{DriveBackground as _, DriveRunDir as _, share_versions},
};
use stormfire_module::{Callback, Error, Hook, LightningModule, Moment, Result, Stage, for_trainer::in_hook, run::Run};
use stormfire_values::{
    Every, Scalar,
    every::{Passed, Tick},
    read::read,
};

use crate::{
    checkpoint::{Part, Resume},
    config::TrainerConfig,
    engine::Engine,
    limit::Limit,
    logger_choice::LoggerChoice,
};

/// The folder of the default loggers' runs.
fn default_runs(root: &Path) -> RunDir {
    RunDir::new(root).with_name(DEFAULT_NAME)
}

/// The folders of all runs of these loggers. If no logger has folders, those of the default loggers.
pub(crate) fn folders_of_runs(mut of_loggers: Vec<Option<Vec<PathBuf>>>, root: &Path) -> Result<Vec<PathBuf>> {
    if of_loggers.iter().all(Option::is_none) {
        of_loggers.push(Some(default_runs(root).log_dirs()?));
    }
    Ok(of_loggers.into_iter().flatten().flatten().collect())
}

/// The opened loggers of a run.
#[derive(Default)]
pub(crate) struct OpenLoggers {
    /// Each runs on its own thread. Empty with `fast_dev_run` and `barebones`.
    pub(crate) loggers: Loggers,
    /// The folders of their runs.
    pub(crate) folders: Vec<RunDir>,
    /// Whether some loggers continue the log of a resumed run, and wait for its start.
    pub(crate) some_continue: bool,
}

impl OpenLoggers {
    /// Opens loggers. They continue the logs of the resumed run, if these still exist.
    pub(crate) fn open(config: &TrainerConfig, loggers: LoggerChoice, resume: Option<&Resume>) -> Result<Self> {
        if config.fast_dev_run > 0 || config.barebones {
            return Ok(Self::default());
        }
        let (mut loggers, default) = match loggers {
            LoggerChoice::Given(loggers) => (loggers, None),
            LoggerChoice::Default => {
                let folder = default_runs(&config.default_root_dir);
                let tensorboard: Box<dyn Logger> = Box::new(TensorBoardLogger::in_dir(folder.clone()));
                (vec![tensorboard, Box::new(CsvLogger::in_dir(folder.clone()))], Some(folder))
            }
        };
        share_versions(&mut loggers);
        let parts = Self::parts(&mut loggers, resume)?;
        let folders = folders_of(&mut loggers);
        if let Some(folder) = default {
            let unusable =
                |error: LoggerError| Error::config("default_root_dir", error.to_string(), "choose a folder that can be written to");
            folder.log_dir().map_err(unusable)?;
        }
        let root = &config.default_root_dir;
        let loggers = loggers.into_iter().map(|logger| opened(logger, root)).collect::<Result<Loggers>>();
        let loggers = loggers.inspect_err(|_| folders.iter().for_each(RunDir::remove_unused))?;
        Ok(Self::attached(loggers, folders, parts, resume))
    }

    /// The loggers of another run. Each logger starts a new run if it can. Otherwise it continues its run. New records
    /// are added to the logs of the resumed run, or to new ones.
    pub(crate) fn of_another_run(before: &Loggers, resume: Option<&Resume>) -> Result<Self> {
        // Removes the marks of a fit that was refused.
        before.iter().for_each(Background::unmark);
        let others = before.iter().map(Background::another).collect::<Result<Vec<_>, _>>()?;
        let kept: Vec<bool> = others.iter().map(Option::is_none).collect();
        let mut others: Vec<Box<dyn Logger>> = others.into_iter().flatten().collect();
        share_versions(&mut others);
        let mut parts = Self::parts(&mut others, resume)?.into_iter();
        let folders = folders_of(&mut others);
        let mut opened = others.into_iter().map(Background::spawn).collect::<Result<Vec<_>, _>>()?.into_iter();
        let (mut all, mut all_parts) = (Vec::new(), Vec::new());
        for (logger, is_kept) in before.iter().zip(kept) {
            all.extend(if is_kept { Some(logger.clone()) } else { opened.next() });
            all_parts.push(if is_kept { Part::Unknown } else { parts.next().unwrap_or(Part::New) });
        }
        Ok(Self::attached(all.into(), folders, all_parts, resume))
    }

    /// The folder of the run.
    pub(crate) fn log_dir(&self) -> Option<PathBuf> {
        self.loggers.iter().find_map(|logger| logger.log_dir().map(PathBuf::from))
    }

    fn parts(loggers: &mut [Box<dyn Logger>], resume: Option<&Resume>) -> Result<Vec<Part>> {
        resume.map_or_else(|| Ok(Vec::new()), |resume| resume.take_back(loggers))
    }

    fn attached(loggers: Loggers, folders: Vec<RunDir>, parts: Vec<Part>, resume: Option<&Resume>) -> Self {
        let some_continue = resume.is_some_and(|resume| resume.continue_logs(&loggers, parts));
        Self { loggers, folders, some_continue }
    }
}

fn folders_of(loggers: &mut [Box<dyn Logger>]) -> Vec<RunDir> {
    loggers.iter_mut().filter_map(|logger| logger.run_dir_mut().cloned()).collect()
}

/// The name of a logger's type without its path.
fn type_name_of(logger: &dyn Logger) -> &'static str {
    logger.kind().split('<').next().and_then(|path| path.rsplit("::").next()).unwrap_or_default()
}

/// An error of a logger's settings names the logger's type, and the setter if one is wrong.
fn of_settings(error: LoggerError, type_name: &str) -> Error {
    match error {
        LoggerError::Setting { option, reason, hint, .. } => Error::config(format!("{type_name}::{option}"), reason, hint),
        LoggerError::Missing { hint, .. } => Error::config(type_name, error.to_string(), hint),
        other => other.into(),
    }
}

/// Checks the settings of the loggers that a run would open.
pub(crate) fn check_loggers(config: &TrainerConfig, loggers: &LoggerChoice) -> Result<()> {
    match loggers {
        LoggerChoice::Given(loggers) if config.fast_dev_run == 0 && !config.barebones => {
            loggers.iter().try_for_each(|logger| logger.check().map_err(|error| of_settings(error, type_name_of(logger.as_ref()))))
        }
        _ => Ok(()),
    }
}

/// Opens a logger. An error of its folder or settings names the option. `root`: that of the Trainer.
fn opened(mut logger: Box<dyn Logger>, root: &Path) -> Result<Background> {
    let type_name = type_name_of(logger.as_ref());
    let option = match logger.run_dir_mut() {
        Some(run) if run.save_dir() == root => "default_root_dir".to_owned(),
        _ => format!("{type_name}::save_dir"),
    };
    Background::spawn(logger).map_err(|error| match error {
        LoggerError::Io(_) | LoggerError::Url { .. } => {
            let hint = error.hint().unwrap_or_else(|| "choose a folder that can be written to".to_owned());
            Error::config(option, error.to_string(), hint)
        }
        other => of_settings(other, type_name),
    })
}

/// Draws a seed for a run without one from the random numbers of the device. If these are seeded, the result is
/// reproducible.
pub(crate) fn draw_seed(device: &Device) -> Result<u64> {
    let draw = || Scalar::from(Tensor::<1>::random([1], Distribution::Uniform(0.0, 1.0), device));
    let drawn = read(&[draw(), draw(), draw()])?;
    Ok(drawn.into_iter().fold(0, |seed, value| (seed << 21) ^ (value * f64::from(1 << 24)) as u64))
}

fn count<C: 'static, M: LightningModule>(callbacks: &[Box<dyn Callback<M>>]) -> usize {
    callbacks.iter().filter(|c| (c.as_ref() as &dyn Any).is::<C>()).count()
}

/// The callbacks that the options require in addition to these. Rejects callbacks that contradict the options.
pub(crate) fn required_callbacks<M: LightningModule>(
    config: &TrainerConfig,
    callbacks: &[Box<dyn Callback<M>>],
) -> Result<Vec<Box<dyn Callback<M>>>> {
    let bars = count::<ProgressBar, M>(callbacks);
    let checkpoints = count::<ModelCheckpoint, M>(callbacks);
    if bars > 1 {
        return Err(Error::config("callback", "there are two progress bars", "keep one of them"));
    }
    if bars > 0 && !config.enable_progress_bar && !config.barebones {
        return Err(Error::config("enable_progress_bar", "it is off, but there is a `ProgressBar`", "leave one of them out"));
    }
    if checkpoints > 0 && !config.enable_checkpointing && config.fast_dev_run == 0 && !config.barebones {
        return Err(Error::config("enable_checkpointing", "it is off, but there is a `ModelCheckpoint`", "leave one of them out"));
    }
    if count::<Ema, M>(callbacks) + count::<WeightAveraging, M>(callbacks) + count::<StochasticWeightAveraging, M>(callbacks) > 1 {
        return Err(Error::config(
            "callback",
            "two callbacks average the weights, and only one average can be in force",
            "use one of them",
        ));
    }
    let mut required: Vec<Box<dyn Callback<M>>> = Vec::new();
    // In addition to a `Timer` of the user, which may have another limit.
    if let Some(time) = config.max_time {
        required.push(Box::new(Timer::new(time).named("max_time")));
    }
    if config.enable_model_summary && count::<ModelSummary, M>(callbacks) == 0 {
        required.push(Box::new(ModelSummary::new()));
    }
    if config.enable_progress_bar && bars == 0 {
        required.push(Box::new(ProgressBar::new()));
    }
    if config.enable_checkpointing && checkpoints == 0 {
        required.push(Box::new(ModelCheckpoint::new()));
    }
    let all: Vec<&dyn Callback<M>> = callbacks.iter().chain(&required).map(AsRef::as_ref).collect();
    check_state_keys(&all)?;
    Ok(required)
}

/// Rejects callbacks that need a logger, in a run of this stage that has none.
pub(crate) fn refuse_without_logger<M: LightningModule>(
    config: &TrainerConfig,
    callbacks: &[Box<dyn Callback<M>>],
    stage: Stage,
) -> Result<()> {
    let Some(callback) = callbacks.iter().find(|callback| callback.needs_logger(stage)) else { return Ok(()) };
    let name = callback.name();
    let reason = format!("`{name}` needs a logger, and this run has none");
    // It leaves all loggers out.
    let hint = if config.barebones { "leave `barebones` or the callback out" } else { "add one, or leave the callback out" };
    let error = Error::config("logger", reason, hint);
    Err(in_hook(error, Hook::Setup, &name, Moment::default()))
}

/// Whether a [`Timer`] will end the fit.
pub(crate) fn is_timed<M: LightningModule>(callbacks: &[Box<dyn Callback<M>>]) -> bool {
    let mut timers = callbacks.iter().filter_map(|callback| (callback.as_ref() as &dyn Any).downcast_ref::<Timer>());
    timers.any(|timer| timer.time_remaining().is_some())
}

/// Rejects duplicate keys, because the two states would overwrite each other in the checkpoint.
fn check_state_keys<M: LightningModule>(callbacks: &[&dyn Callback<M>]) -> Result<()> {
    let mut keys = std::collections::HashSet::new();
    for callback in callbacks {
        if !callback.state()?.is_empty() && !keys.insert(callback.state_key()) {
            let reason = format!("two callbacks save their state as `{}`", callback.state_key());
            let any = *callback as &dyn Any;
            let has_named =
                any.is::<ModelCheckpoint>() || any.is::<EarlyStopping>() || any.is::<Timer>() || any.is::<ImageGridMonitor<M>>();
            let name = callback.name();
            let cure = if has_named { format!("name one with `{name}::named`") } else { format!("implement `state_key` for `{name}`") };
            return Err(Error::config(format!("{name}::state_key"), reason, format!("leave one of them out, or {cure}")));
        }
    }
    Ok(())
}

/// The number of batches to take from a loader, which was returned by the hook `of`.
fn limit_of<B: Send + 'static>(loader: &Loader<B>, limit: Limit, option: &str, of: Hook) -> Result<Option<usize>> {
    if limit.is_none() {
        return Ok(Some(0));
    }
    loader.check().map_err(|error| Error::config(of.name(), error.to_string(), error.hint().unwrap_or_default()))?;
    let available = match loader.len() {
        Length::Batches(n) => Some(n),
        Length::Unknown => None,
    };
    limit.of(available, option)
}

/// The number of batches to take from each loader.
pub(crate) fn limits_of<B: Send + 'static>(loaders: &Loaders<B>, limit: Limit, option: &str, of: Hook) -> Result<Vec<Option<usize>>> {
    loaders.iter().map(|loader| limit_of(loader, limit, option, of)).collect()
}

/// The number of batches that a fit takes from its loader for training, and from each one for validation.
pub(crate) fn limits_of_fit<B: Send + 'static>(
    train: &Loader<B>,
    val: &Loaders<B>,
    config: &TrainerConfig,
) -> Result<(Option<usize>, Vec<Option<usize>>)> {
    let option = |own| if config.overfit_batches.is_none() { own } else { "overfit_batches" };
    let train_batches = limit_of(train, config.limit_train_batches, option("limit_train_batches"), Hook::TrainDataloader)?;
    let val_batches = limits_of(val, config.limit_val_batches, option("limit_val_batches"), Hook::ValDataloader)?;
    if matches!(config.val_check_interval, Every::Fraction(_)) && train_batches.is_none() {
        return Err(Error::config(
            "val_check_interval",
            "the training data does not know its length, so a fraction of an epoch is unknown",
            "use batches, steps or a time: `200 batches`, `50 steps`, `10 minutes`",
        ));
    }
    Ok((train_batches, val_batches))
}

/// Reports what happens less often in this fit than the user may expect.
pub(crate) fn tell_what_is_rare(config: &TrainerConfig, run: &Run) {
    let limits = &run.limits;
    if let Some(batches) = limits.train_batches
        && (1..config.log_every_n_steps).contains(&(batches as u64))
        && !run.loggers.is_empty()
    {
        tracing::info!(
            "an epoch has {batches} batches, fewer than `log_every_n_steps` = {}: step metrics are logged rarely",
            config.log_every_n_steps
        );
    }
    let whole = |count: Option<u64>| count.filter(|&count| count > 0).map(Passed::since_zero);
    let fit = Tick {
        steps: whole(limits.steps(config.accumulate_grad_batches)),
        // With one batch per step, the number of steps is the number of batches in the fit.
        batches: whole(limits.steps(1).filter(|_| config.max_steps.is_none())),
        epochs: whole(limits.max_epochs.map(|epochs| epochs as u64)),
        ..Tick::default()
    };
    if limits.validates() && config.val_check_interval.periods_in(&fit) == Some(0) {
        tracing::warn!("`val_check_interval` is {}, longer than the whole fit, which never validates", config.val_check_interval);
    }
}

/// Rejects folders whose path cannot be stored in a checkpoint, which contains the folder of each logger.
fn check_names_of_folders(run: &Run) -> Result<()> {
    let is_no_text = |folder: &Path| folder.to_str().is_none();
    let found = run.loggers.iter().find_map(|logger| Some((logger.name(), logger.log_dir().filter(|folder| is_no_text(folder))?)));
    found.map_or(Ok(()), |(name, folder)| {
        let reason = format!("its folder `{}` is not valid UTF-8", folder.display());
        Err(Error::config(format!("logger {name}"), reason, "choose a folder with another name"))
    })
}

/// Sends the hyperparameters of the module and of its data to the loggers.
pub(crate) fn log_hyperparams<M: LightningModule, D: DataModule>(engine: &Engine<M>, module: &M, data: &D) -> Result<()> {
    check_names_of_folders(&engine.run)?;
    let (internals, of_module) = (&engine.run.internals, module.hparams()?);
    let is_default = of_module.is_null();
    let mut params = Hyperparams::from_json(internals.hparams(of_module))?;
    let of_data = Hyperparams::from_json(internals.secrets.hidden(data.hparams()?))?;
    if is_default {
        // The module does not contradict its data: these are options of the program.
        params.update(of_data);
    } else {
        params.merge(of_data)?;
    }
    engine.run.loggers.iter().try_for_each(|logger| logger.log_hyperparams(params.clone(), Metrics::new())).map_err(Error::from)
}
