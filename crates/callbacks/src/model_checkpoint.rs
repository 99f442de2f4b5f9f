//! Checkpoints while a fit runs: when, under which name, and which of them stay.

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
use stormfire_module::{
    Callback, Context, Error, Every, LightningModule, Order, Result, Stage, StepOutput, clock,
    plateau::Mode,
    state::{self, Saved},
    text::{Misread, TextError},
};

use crate::{files, period::needs_length, rehearsal::is_rehearsal};
use destination::Destination;
use restart::State;
use save_points::Missing;
use template::Template;

/// Writes checkpoints of a fit, and keeps the best ones by a metric.
///
/// By default it keeps the newest one: after every epoch, as `checkpoints/epoch=2-step=600.ckpt` in the folder of the run.
///
/// ```
/// use stormfire_callbacks::ModelCheckpoint;
/// use stormfire_module::{Every, plateau::Mode};
///
/// let best = ModelCheckpoint::new().monitor("val_acc").mode(Mode::Max).save_top_k(3).filename("{epoch:02d}-{val_acc:.3f}").save_last(true);
/// let often = ModelCheckpoint::new().every(Every::Steps(500)).dirpath("~/runs/today");
/// # let _ = (best, often);
/// ```
///
/// A save point is the end of a period ([`ModelCheckpoint::every`]). At one that falls on a batch after which validation
/// runs, a metric is read after that validation; if the monitored metric does not exist yet, the checkpoint waits for it.
/// Nothing is written in a sanity check, in a `fast_dev_run`, before the first optimizer step, or twice for one step.
///
/// Files are written in the background: one that was asked for is there a moment later, and what it replaces goes after that.
/// Only files that this run wrote are overwritten or removed; never the one that the fit was told to go on from, which stays until
/// a later fit goes on from another; `ckpt_path("last")` spares none.
///
/// Its state, in every checkpoint: what was kept, and the paths and scores that the accessors return. A fit that goes on in
/// the same folder writes the names that an unbroken one would have written, over what the killed one wrote after the
/// checkpoint; kept files that are gone are kept no more, with a warning. After a restart into another folder only
/// [`best_model_path`](Self::best_model_path) is taken over, and no file of the old folder is touched.
///
/// # Errors
/// [`Error::Config`] when the fit begins with options that cannot work; [`Error::MetricMissing`] when nobody has logged the
/// monitored metric although the validation (or, without one, the epoch) is over.
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

/// What holds for one run only.
#[derive(Clone, Debug, Default)]
struct Now {
    /// The folder and the names, once the fit has been set up.
    destination: Option<Destination>,
    /// The state comes from a checkpoint.
    restored: bool,
    /// When the last period of time began; the first one begins with the training.
    since: Option<Instant>,
    /// The file that was asked for last.
    asked: Option<PathBuf>,
    /// What the run left behind when it was killed: the next save point removes it.
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
    /// The newest checkpoint, written after every epoch.
    pub fn new() -> Self {
        Self::default()
    }

    /// The folder; it is made when needed, and `~` is the user's home. It may be the URL of a store, as `s3://bucket/run`.
    /// Default: `checkpoints` in the folder of the run, or in `default_root_dir` where that is a URL.
    pub fn dirpath(mut self, folder: impl Into<PathBuf>) -> Self {
        self.dirpath = Some(folder.into());
        self
    }

    /// The file name without `.ckpt`. Default `{epoch}-{step}`, which gives `epoch=2-step=600.ckpt`.
    ///
    /// Places are `{epoch}` (0-based), `{step}` ([`Context::global_step`]), unless something was logged under these names, and
    /// any metric that callbacks can read; one that does not exist is 0. A place may have a format `[0][width][.precision][d|f|e]`, with Python's meaning:
    /// `{epoch:02d}`, `{val_loss:.2f}`. A `/`, also in a metric's name, makes a folder.
    pub fn filename(mut self, template: impl Into<String>) -> Self {
        self.filename = template.into();
        self
    }

    /// The file name of [`save_last`](Self::save_last), with the same places. Default `last`.
    pub fn last_filename(mut self, template: impl Into<String>) -> Self {
        self.last_filename = template.into();
        self
    }

    /// Whether a place is written with its name, as `epoch=2`, or as the number alone. Default `true`.
    pub fn auto_insert_metric_name(mut self, on: bool) -> Self {
        self.auto_insert_metric_name = on;
        self
    }

    /// The metric that decides which checkpoints are best; `epoch` and `step` are always there. Default: none, the newest is
    /// kept.
    pub fn monitor(mut self, metric: impl Into<String>) -> Self {
        self.monitor = Some(metric.into());
        self
    }

    /// Whether the metric gets better by falling or by rising: a [`Mode`], or `"max"`. Default [`Mode::Min`].
    pub fn mode(mut self, mode: impl TryInto<Mode, Error: Into<TextError>>) -> Self {
        self.misread.set("ModelCheckpoint::mode", &mut self.mode, mode);
        self
    }

    /// How many checkpoints are kept: a number, or [`SaveTopK::All`]. Default 1. More than one needs a monitor.
    pub fn save_top_k(mut self, top: impl Into<SaveTopK>) -> Self {
        self.top = top.into();
        self
    }

    /// Also keeps `last.ckpt`: the newest complete save point always, whether or not it is among the best; the end of
    /// training is one. `true`, or [`SaveLast::Link`] for a link where that does. Default `false`.
    pub fn save_last(mut self, last: impl Into<SaveLast>) -> Self {
        self.save_last = last.into();
        self
    }

    /// How often, as an [`Every`] or as text (`"2 epochs"`). Default: every epoch. [`Every::Batches`] and [`Every::Steps`] count over the whole run;
    /// [`Every::Fraction`] needs training data of known length.
    pub fn every(mut self, every: impl TryInto<Every, Error: Into<TextError>>) -> Self {
        self.misread.set("ModelCheckpoint::every", &mut self.every, every);
        self
    }

    /// Whether a period of epochs ends after the training epoch or after a validation.
    ///
    /// Default: after the training epoch if validation runs once in every epoch or never, else after each validation.
    pub fn save_on_train_epoch_end(mut self, on: bool) -> Self {
        self.on_train_epoch_end = Some(on);
        self
    }

    /// Leaves out optimizers, callbacks and the loop: such a file cannot be resumed from. Default `false`.
    pub fn save_weights_only(mut self, on: bool) -> Self {
        self.weights_only = on;
        self
    }

    /// Whether a name that is taken, by another run or another callback, gets `-v1`, `-v2`, …, or its file is overwritten.
    /// Default `true`.
    pub fn enable_version_counter(mut self, on: bool) -> Self {
        self.version_counter = on;
        self
    }

    /// Also asks for a checkpoint when the run fails or is interrupted; it is not counted among the best, and the next one of the
    /// run replaces it. Default `false`.
    ///
    /// It holds the state after the last whole batch, also of a validation: a fit that goes on from it repeats the batch that
    /// failed. Until a step is over, parameters and optimizers are in memory as they were before it, too.
    pub fn save_on_exception(mut self, on: bool) -> Self {
        self.on_exception = on;
        self
    }

    /// Reports each save point through `tracing` at level info. Default `false`.
    pub fn verbose(mut self, on: bool) -> Self {
        self.verbose = on;
        self
    }

    /// A name for its state in checkpoints and for `Trainer::get_named`. Needed only when two callbacks have the same monitor, mode and period.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.id = Some(name.into());
        self
    }

    /// The metric that decides which checkpoints are best, if one does.
    pub fn monitored(&self) -> Option<&str> {
        self.monitor.as_deref()
    }

    /// The folder in which a fit has put its checkpoints, or the one that was given for the first.
    pub fn folder(&self) -> Option<&Path> {
        self.state.dirpath.as_deref().or(self.dirpath.as_deref())
    }

    /// Where files of this and of earlier fits may be, each with the number of levels below that their names may add: the folder
    /// that was given, or else `checkpoints` in each of these folders of runs.
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

    /// The best checkpoint by the monitored metric; without a monitor the newest one.
    pub fn best_model_path(&self) -> Option<&Path> {
        self.state.best_model_path.as_deref()
    }

    /// The monitored metric's value in the best checkpoint. Infinite if it has only been NaN so far.
    pub fn best_model_score(&self) -> Option<f64> {
        self.state.best_model_score
    }

    /// The monitored metric's value in the newest checkpoint that was kept.
    pub fn current_score(&self) -> Option<f64> {
        self.state.current_score
    }

    /// The file of [`save_last`](Self::save_last).
    pub fn last_model_path(&self) -> Option<&Path> {
        self.state.last_model_path.as_deref()
    }

    /// The checkpoints that are kept for the monitored metric, with its values, oldest first.
    pub fn best_k_models(&self) -> impl ExactSizeIterator<Item = (&Path, f64)> {
        self.state.best_k_models.iter()
    }

    /// Writes [`best_k_models`](Self::best_k_models) as YAML, each path with its score, and returns the path of that file.
    /// Default: `best_k_models.yaml` in the folder of the checkpoints.
    ///
    /// # Errors
    /// [`Error::Config`] before the first fit has chosen the folder, if no path is given; a file that cannot be written.
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
        format!("ModelCheckpoint{{{}}}", self.id.clone().unwrap_or_else(told_apart_by))
    }

    fn order(&self) -> Order {
        Order::Save
    }

    fn state(&self) -> Result<Saved> {
        let mut state = self.state.clone();
        if let (Every::Time(_), Some(since)) = (self.every, self.now.since) {
            state.waited = Some(clock::since(since).as_secs_f64());
        }
        state::save(&state)
    }

    fn load_state(&mut self, state: Saved) -> Result<()> {
        self.now.restored = !state.is_empty();
        state::load(&mut self.state, state)
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
            self.go_on(ctx);
            self.tell_loggers(ctx);
        } else {
            // A second fit with the same callback starts with a clean slate.
            self.state = State::default();
        }
        self.state.dirpath = self.now.destination.as_ref().map(|destination| destination.dir.clone());
        Ok(())
    }

    fn on_train_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        let waited = self.state.waited.take().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default();
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
        let due = self.is_due_after_epoch(ctx) && self.saves_on_train_epoch_end(ctx);
        if is_rehearsal(ctx) || !(due || self.state.deferred) {
            return Ok(());
        }
        let missing = match (ctx.limits().validates() && !self.state.validated, due) {
            (false, _) => Missing::Fail,
            (true, true) => Missing::Warn,
            (true, false) => Missing::Defer,
        };
        self.save(ctx, missing)
    }

    fn on_train_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        if is_rehearsal(ctx) {
            return Ok(());
        }
        if ctx.stop_request().is_some() {
            // The newest one may hold the stop, and would end whatever goes on from it.
            self.state.last_step = 0;
        }
        self.save_at_the_end(ctx)
    }

    fn on_exception(&mut self, ctx: &mut Context<'_>, _module: &mut M, _error: &Error) -> Result<()> {
        // What was loaded now is the state of this fit's last boundary; the next fit is another one.
        self.now.restored = false;
        // Before training begins, the state may be half restored.
        if self.on_exception && !is_rehearsal(ctx) && self.now.since.is_some() { self.save_at_failure(ctx) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
