//! Writes checkpoints during a fit: when, under which name, and which of them to keep.

mod destination;
mod restart;
mod save_last;
mod save_points;
mod template;
mod top_k;
mod when;

pub use save_last::SaveLast;
pub use top_k::SaveTopK;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use stormfire_checkpoint::storage;
use stormfire_loggers::Hyperparams;
use stormfire_module::{Callback, Context, Error, LightningModule, Order, Result, Stage, StepOutput, state, state::Saved};
use stormfire_values::{
    Every, Mode, clock,
    text::{Misread, TextError},
};

use crate::{files, period::needs_length, rehearsal::is_rehearsal};
use destination::Destination;
use restart::State;
use save_points::Missing;
use template::Template;

/// The start of the keys of its states.
const KEY: &str = "ModelCheckpoint";

/// Writes checkpoints of a fit and keeps the best ones by a metric.
///
/// By default, it writes one after every epoch and keeps the newest, as `checkpoints/epoch=2-step=600.ckpt` in the
/// folder of the run.
///
/// A *save point* is the end of a period ([`ModelCheckpoint::every`]). If validation runs after the batch of a save
/// point, metrics are read after that validation. If the monitored metric does not exist yet, the checkpoint waits for
/// it. Nothing is written in a sanity check, in a `fast_dev_run`, before the first optimizer step, or twice for one
/// step.
///
/// Files are written in the background: a requested file exists a moment later, and then the files that it replaces are
/// removed. Only files of this run are overwritten or removed. The file given as `ckpt_path` is kept until a later fit
/// resumes from another one. This does not apply to `ckpt_path("last")`.
///
/// Its state is in every checkpoint: the list of kept files, and the paths and scores that the accessors return. A fit
/// resumed in the same folder writes the same names as an uninterrupted fit. It overwrites files that the killed run
/// wrote after the checkpoint. Kept files that are missing are dropped from the list, with a warning. After a restart
/// in another folder, only [`best_model_path`](Self::best_model_path) is restored, and no file of the old folder is
/// touched.
///
#[doc = include_str!("../docs/model_checkpoint.md")]
///
/// # Errors
/// [`Error::Config`] if the fit starts with options that cannot work. [`Error::MetricMissing`] if the monitored metric
/// is missing after the validation, or without validation after the epoch.
#[expect(clippy::struct_excessive_bools, reason = "they are Lightning's flags, each independent of the others")]
#[derive(Clone, Debug)]
pub struct ModelCheckpoint {
    id: Option<String>,
    dirpath: Option<PathBuf>,
    filename: String,
    last_filename: String,
    auto_insert_metric_name: bool,
    monitor: Option<String>,
    mode: Mode,
    misread: Misread,
    top: SaveTopK,
    save_last: SaveLast,
    every: Every,
    on_train_epoch_end: Option<bool>,
    weights_only: bool,
    version_counter: bool,
    on_exception: bool,
    verbose: bool,
    now: Now,
    state: State,
}

/// The state of the current run, which is not saved.
#[derive(Clone, Debug, Default)]
struct Now {
    /// The folder and the names, once the fit has been set up.
    destination: Option<Destination>,
    /// The state comes from a checkpoint.
    restored: bool,
    /// The start of the last period of time. The first one starts with the training.
    since: Option<Instant>,
    /// The global step at the last check of the period.
    checked_step: u64,
    /// The training epoch ends: a value of an earlier epoch is not a score of this one.
    at_epoch_end: bool,
    /// A long file name was reported.
    said_shortened: bool,
    /// The file that was requested last.
    asked: Option<PathBuf>,
    /// The files that a killed run left behind. The next save point removes them.
    left_over: Vec<PathBuf>,
}

impl Default for ModelCheckpoint {
    fn default() -> Self {
        Self {
            id: None,
            dirpath: None,
            filename: "{epoch}-{step}".into(),
            last_filename: "last".into(),
            auto_insert_metric_name: true,
            monitor: None,
            mode: Mode::Min,
            misread: Misread::default(),
            top: SaveTopK::Best(1),
            save_last: SaveLast::Off,
            every: Every::Epochs(1),
            on_train_epoch_end: None,
            weights_only: false,
            version_counter: true,
            on_exception: false,
            verbose: false,
            now: Now::default(),
            state: State::default(),
        }
    }
}

impl ModelCheckpoint {
    /// Keeps the newest checkpoint, written after every epoch.
    pub fn new() -> Self {
        Self::default()
    }

    /// The folder. It is created when needed. `~` is the user's home. It may be the URL of a store, like
    /// `s3://bucket/run`. Default: `checkpoints` in the folder of the run, or in `default_root_dir` if that is a URL.
    pub fn dirpath(mut self, folder: impl Into<PathBuf>) -> Self {
        self.dirpath = Some(folder.into());
        self
    }

    /// The file name without `.ckpt`. The default `{epoch}-{step}` gives `epoch=2-step=600.ckpt`.
    ///
    /// Placeholders are `{epoch}` (0-based), `{step}` ([`Context::global_step`]) and any metric that callbacks can
    /// read. A metric logged as `epoch` or `step` takes precedence. A missing metric is 0. A placeholder may have a
    /// format `[0][width][.precision][d|f|e]` with Python's meaning: `{epoch:02d}`, `{val_loss:.2f}`. A `/` creates a
    /// folder, even in the name of a metric.
    pub fn filename(mut self, template: impl Into<String>) -> Self {
        self.filename = template.into();
        self
    }

    /// The file name of [`save_last`](Self::save_last), with the same placeholders. Default `last`.
    pub fn last_filename(mut self, template: impl Into<String>) -> Self {
        self.last_filename = template.into();
        self
    }

    /// Whether a placeholder is written with its name, like `epoch=2`, or as the number only. Default `true`.
    pub fn auto_insert_metric_name(mut self, on: bool) -> Self {
        self.auto_insert_metric_name = on;
        self
    }

    /// The metric that decides which checkpoints are best. `epoch` and `step` are always available. Default: none, the
    /// newest is kept.
    pub fn monitor(mut self, metric: impl Into<String>) -> Self {
        self.monitor = Some(metric.into());
        self
    }

    /// Whether a lower or a higher metric is better: a [`Mode`], or `"max"`. Default [`Mode::Min`].
    pub fn mode(mut self, mode: impl TryInto<Mode, Error: Into<TextError>>) -> Self {
        self.misread.set("ModelCheckpoint::mode", &mut self.mode, mode);
        self
    }

    /// The number of checkpoints to keep, or [`SaveTopK::All`]. Default 1. More than one needs a monitor.
    pub fn save_top_k(mut self, top: impl Into<SaveTopK>) -> Self {
        self.top = top.into();
        self
    }

    /// Also keeps `last.ckpt`, the newest complete save point, even if it is not among the best. The end of training is
    /// a save point. `true` writes a file. [`SaveLast::Link`] creates a link if possible. Default `false`.
    pub fn save_last(mut self, last: impl Into<SaveLast>) -> Self {
        self.save_last = last.into();
        self
    }

    /// The period, as an [`Every`] or a string (`"2 epochs"`). Default: every epoch. [`Every::Batches`] and
    /// [`Every::Steps`] count over the whole run. [`Every::Fraction`] needs training data of known length.
    pub fn every(mut self, every: impl TryInto<Every, Error: Into<TextError>>) -> Self {
        self.misread.set("ModelCheckpoint::every", &mut self.every, every);
        self
    }

    /// Whether a period of epochs ends after the training epoch (`true`) or after a validation.
    ///
    /// Default: after the training epoch if validation runs once per epoch or never, otherwise after each validation.
    pub fn save_on_train_epoch_end(mut self, on: bool) -> Self {
        self.on_train_epoch_end = Some(on);
        self
    }

    /// Saves only the weights, without optimizers, callbacks and the loop. No fit can resume from such a file. Default
    /// `false`.
    pub fn save_weights_only(mut self, on: bool) -> Self {
        self.weights_only = on;
        self
    }

    /// Whether a name that another run or callback uses gets `-v1`, `-v2`, …. If not, its file is overwritten. Default
    /// `true`.
    pub fn enable_version_counter(mut self, on: bool) -> Self {
        self.version_counter = on;
        self
    }

    /// Also requests a checkpoint when the run fails or is interrupted. It does not count among the best, and the next
    /// failure of the run replaces it. Default `false`.
    ///
    /// It contains the state after the last complete batch, of training or of a validation. A fit that resumes from it
    /// repeats the batch that failed. Until a step ends, its old parameters and optimizers stay in memory, too.
    pub fn save_on_exception(mut self, on: bool) -> Self {
        self.on_exception = on;
        self
    }

    /// Whether to report each save point through `tracing` at level info. Default `false`.
    pub fn verbose(mut self, on: bool) -> Self {
        self.verbose = on;
        self
    }

    /// A name for its state in checkpoints and for `Trainer::get_named`. Only needed if two callbacks have the same
    /// monitor, mode and period.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.id = Some(name.into());
        self
    }

    /// Whether a state in a checkpoint under this key is that of a `ModelCheckpoint`, with any options.
    pub fn is_key(key: &str) -> bool {
        key.strip_prefix(KEY).is_some_and(|rest| rest.starts_with('{'))
    }

    /// The metric that decides which checkpoints are best.
    pub fn monitored(&self) -> Option<&str> {
        self.monitor.as_deref()
    }

    /// The folder of the last fit's checkpoints. Before the first fit, the folder that was given.
    pub fn folder(&self) -> Option<&Path> {
        self.state.dirpath.as_deref().or(self.dirpath.as_deref())
    }

    /// The folders that may contain files of this fit and of earlier ones, each with the number of subfolder levels
    /// that their names may add. This is the folder that was given, or else `checkpoints` in each of these folders of
    /// runs.
    ///
    /// # Errors
    /// [`Error::Config`] for a folder that cannot be used.
    pub fn places(&self, runs: &[PathBuf]) -> Result<Vec<(PathBuf, usize)>> {
        let depth = |template: &str| Template::parse(template).map_or(0, |template| template.depth(self.auto_insert_metric_name));
        let depth = depth(&self.filename).max(depth(&self.last_filename));
        let mut folders: Vec<PathBuf> = match &self.dirpath {
            Some(folder) => vec![files::folder("ModelCheckpoint::dirpath", folder)?],
            None => runs.iter().map(|run| run.join(files::FOLDER)).collect(),
        };
        folders.extend(self.state.dirpath.clone().filter(|folder| !folders.contains(folder)));
        Ok(folders.into_iter().map(|folder| (folder, depth)).collect())
    }

    /// The best checkpoint by the monitored metric. Without a monitor, the newest one.
    pub fn best_model_path(&self) -> Option<&Path> {
        self.state.best_model_path.as_deref()
    }

    /// The value of the monitored metric in the best checkpoint. Infinite if all values were NaN.
    pub fn best_model_score(&self) -> Option<f64> {
        self.state.best_model_score
    }

    /// The value of the monitored metric in the newest kept checkpoint.
    pub fn current_score(&self) -> Option<f64> {
        self.state.current_score
    }

    /// The file of [`save_last`](Self::save_last).
    pub fn last_model_path(&self) -> Option<&Path> {
        self.state.last_model_path.as_deref()
    }

    /// The kept checkpoints with their values of the monitored metric, oldest first.
    pub fn best_k_models(&self) -> impl ExactSizeIterator<Item = (&Path, f64)> {
        self.state.best_k_models.iter()
    }

    /// Writes [`best_k_models`](Self::best_k_models) as YAML, each path with its score, and returns the path of that
    /// file. Default: `best_k_models.yaml` in the folder of the checkpoints.
    ///
    /// # Errors
    /// [`Error::Config`] if no path is given before the first fit. Also if the file cannot be written.
    pub fn to_yaml<'a>(&self, path: impl Into<Option<&'a Path>>) -> Result<PathBuf> {
        let path = match (path.into(), &self.state.dirpath) {
            (Some(path), _) => path.into(),
            (None, Some(dir)) => dir.join("best_k_models.yaml"),
            (None, None) => return Err(Error::config("ModelCheckpoint::to_yaml", "there is no folder before a fit", "give a path")),
        };
        let mut scores = Hyperparams::new();
        for (path, score) in self.best_k_models() {
            scores.insert(path.display().to_string(), score)?;
        }
        storage::write_bytes(&path, scores.to_yaml()?.as_bytes())?;
        Ok(path)
    }
}

impl<M: LightningModule> Callback<M> for ModelCheckpoint {
    fn state_key(&self) -> String {
        let monitor = self.monitor.as_deref().unwrap_or("none");
        let told_apart_by = || format!("monitor: {monitor}, mode: {}, every: {}", self.mode.name(), self.every);
        format!("{KEY}{{{}}}", self.id.clone().unwrap_or_else(told_apart_by))
    }

    fn order(&self) -> Order {
        Order::Save
    }

    fn state(&self) -> Result<Saved> {
        let mut state = State { monitor: self.monitor.clone(), ..self.state.clone() };
        if let (Every::Time(_), Some(since)) = (self.every, self.now.since) {
            state.waited = Some(clock::since(since).as_secs_f64());
        }
        state::save(&state)
    }

    fn load_state(&mut self, state: Saved) -> Result<()> {
        self.now.restored = !state.is_empty();
        state::load(&mut self.state, state)?;
        // This callback has its own.
        self.state.monitor = None;
        Ok(())
    }

    fn setup(&mut self, ctx: &mut Context<'_>, _module: &mut M, stage: Stage) -> Result<()> {
        if stage == Stage::Fit {
            self.misread.check()?;
            self.now = Now { destination: Some(self.destination(ctx)?), restored: self.now.restored, ..Now::default() };
        }
        Ok(())
    }

    fn on_fit_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        if std::mem::take(&mut self.now.restored) {
            self.resume(ctx);
            self.tell_loggers(ctx);
        } else {
            // A second fit with the same callback starts with a fresh state.
            self.state = State::default();
        }
        self.state.dirpath = self.now.destination.as_ref().map(|destination| destination.dir.clone());
        Ok(())
    }

    fn on_train_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        let waited = self.state.waited.take().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default();
        self.now.checked_step = ctx.global_step();
        self.now.since = clock::now().checked_sub(waited).or_else(|| Some(clock::now()));
        if self.on_exception {
            ctx.keep_state();
        }
        needs_length("ModelCheckpoint::every", self.every, ctx)?;
        if matches!(self.every, Every::Epochs(_)) && self.on_train_epoch_end == Some(false) && !ctx.limits().validates() {
            tracing::warn!("`save_on_train_epoch_end(false)` waits for a validation, but this fit has none: no checkpoint will be written");
        }
        Ok(())
    }

    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        if is_rehearsal(ctx) || !self.is_due_after_batch(ctx) {
            return Ok(());
        }
        if ctx.run().place.validation_is_due && self.looks_at_metrics() {
            self.state.deferred = true;
            return Ok(());
        }
        self.save(ctx, Missing::Defer)
    }

    fn on_sanity_check_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.monitor.as_deref().map_or(Ok(()), |monitor| ctx.warn_if_misspelled(KEY, monitor))
    }

    fn on_validation_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        if is_rehearsal(ctx) {
            return Ok(());
        }
        self.state.validated = true;
        if self.state.deferred || (self.is_due_after_epoch(ctx) && !self.saves_on_train_epoch_end(ctx)) {
            return self.save(ctx, Missing::Fail);
        }
        Ok(())
    }

    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        // `skip_epoch` may have closed a window with a step that no batch has ended.
        if self.has_steps_due(ctx) && !is_rehearsal(ctx) {
            return self.save(ctx, Missing::Defer);
        }
        let due = self.is_due_after_epoch(ctx) && self.saves_on_train_epoch_end(ctx);
        if is_rehearsal(ctx) || !(due || self.state.deferred) {
            return Ok(());
        }
        let may_come =
            (ctx.limits().validates() && !self.state.validated) || self.monitor.as_deref().is_some_and(|monitor| ctx.may_lack(monitor));
        let missing = match (may_come, due) {
            (false, _) => Missing::Fail,
            (true, true) => Missing::Warn,
            (true, false) => Missing::Defer,
        };
        self.now.at_epoch_end = true;
        let saved = self.save(ctx, missing);
        self.now.at_epoch_end = false;
        saved
    }

    fn on_train_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        if is_rehearsal(ctx) {
            return Ok(());
        }
        if ctx.stop_request().is_some() {
            // The newest one may contain the stop, which would also end a fit resumed from it.
            self.state.last_step = 0;
        }
        self.save_at_the_end(ctx)
    }

    fn on_exception(&mut self, ctx: &mut Context<'_>, _module: &mut M, _error: &Error) -> Result<()> {
        // The state loaded now is that of this fit's last boundary. The next fit is another run.
        self.now.restored = false;
        // Before training starts, the state may be partly restored.
        if self.on_exception && !is_rehearsal(ctx) && self.now.since.is_some() { self.save_at_failure(ctx) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
