//! Checkpoints while a fit runs: when, under which name, and which of them stay.

mod save;
mod template;
mod top_k;
mod when;

pub use top_k::SaveTopK;

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use serde::{Deserialize, Serialize};
use stormfire_module::{
    Callback, Context, Error, Every, LightningModule, Order, Result, Stage, StepOutput,
    plateau::Mode,
    state::{self, Value},
};

use crate::score::Score;
use save::Missing;
use template::Template;
use top_k::Kept;
use when::keeps_still;

/// Writes checkpoints of a fit, and keeps the best ones by a metric.
///
/// By default it keeps the newest one: after every epoch, as `checkpoints/epoch=2-step=600.ckpt` in the folder of the run.
///
/// ```
/// use stormfire_callbacks::ModelCheckpoint;
/// use stormfire_module::{Every, plateau::Mode};
///
/// let best = ModelCheckpoint::new().monitor("val_acc").mode(Mode::Max).save_top_k(3).filename("{epoch:02d}-{val_acc:.3f}").save_last(true);
/// let often = ModelCheckpoint::new().every(Every::Steps(500));
/// # let _ = (best, often);
/// ```
///
/// A save point is the end of a period ([`ModelCheckpoint::every`]). At one that falls on a batch after which validation
/// runs, a metric is read after that validation; if the monitored metric does not exist yet, the checkpoint waits for it.
/// Nothing is written in a sanity check, in a `fast_dev_run`, before the first optimizer step, or twice for one step.
///
/// Its state, in every checkpoint: what was kept, and the paths and scores that the accessors return. After a restart
/// into another folder only [`best_model_path`](Self::best_model_path) is taken over, and no file of the old folder is touched.
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
    top: SaveTopK,
    save_last: bool,
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
    place: Option<Place>,
    /// A validation of this run is over.
    validated: bool,
    /// The state comes from a checkpoint.
    restored: bool,
    /// When the last period of time began.
    since: Option<Instant>,
    /// The file that was asked for last.
    asked: Option<PathBuf>,
}

#[derive(Clone, Debug)]
struct Place {
    dir: PathBuf,
    name: Template,
    last: Template,
}

/// What is in a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct State {
    dirpath: Option<PathBuf>,
    best_k_models: Kept,
    best_model_path: Option<PathBuf>,
    best_model_score: Option<Score>,
    current_score: Option<Score>,
    last_model_path: Option<PathBuf>,
    /// The global step of the newest checkpoint, and of the newest `last`; nothing is saved at step 0.
    saved_step: u64,
    last_step: u64,
    /// A save point has passed without its metric: save as soon as that is there.
    deferred: bool,
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
            top: SaveTopK::Best(1),
            save_last: false,
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

    /// The folder; it is made when needed. Default: `checkpoints` in the folder of the run.
    pub fn dirpath(mut self, folder: impl Into<PathBuf>) -> Self {
        self.dirpath = Some(folder.into());
        self
    }

    /// The file name without `.ckpt`. Default `{epoch}-{step}`, which gives `epoch=2-step=600.ckpt`.
    ///
    /// Places are `{epoch}` (0-based), `{step}` ([`Context::global_step`]) and any metric that callbacks can read; one that
    /// does not exist is 0. A place may have a format `[0][width][.precision][d|f|e]`, with Python's meaning:
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

    /// The metric that decides which checkpoints are best. Default: none, the newest is kept.
    pub fn monitor(mut self, metric: impl Into<String>) -> Self {
        self.monitor = Some(metric.into());
        self
    }

    /// Whether the metric gets better by falling or by rising. Default [`Mode::Min`].
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// How many checkpoints are kept: a number, or [`SaveTopK::All`]. Default 1. More than one needs a monitor.
    pub fn save_top_k(mut self, top: impl Into<SaveTopK>) -> Self {
        self.top = top.into();
        self
    }

    /// Also keeps `last.ckpt`: the newest complete save point always, whether or not it is among the best; the end of
    /// training is one. Default `false`.
    pub fn save_last(mut self, on: bool) -> Self {
        self.save_last = on;
        self
    }

    /// How often. Default: every epoch. [`Every::Batches`] and [`Every::Steps`] count over the whole run;
    /// [`Every::Fraction`] needs training data of known length.
    pub fn every(mut self, every: Every) -> Self {
        self.every = every;
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

    /// Whether a name that is taken gets `-v1`, `-v2`, …, or its file is overwritten. Default `true`.
    pub fn enable_version_counter(mut self, on: bool) -> Self {
        self.version_counter = on;
        self
    }

    /// Also asks for a checkpoint when the run fails or is interrupted; it is not counted among the best. Default `false`.
    pub fn save_on_exception(mut self, on: bool) -> Self {
        self.on_exception = on;
        self
    }

    /// Reports each save point through `tracing` at level info. Default `false`.
    pub fn verbose(mut self, on: bool) -> Self {
        self.verbose = on;
        self
    }

    /// A name for its state in checkpoints. Needed only when two callbacks have the same monitor, mode and period.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.id = Some(name.into());
        self
    }

    /// The best checkpoint by the monitored metric; without a monitor the newest one.
    pub fn best_model_path(&self) -> Option<&Path> {
        self.state.best_model_path.as_deref()
    }

    /// The monitored metric's value in the best checkpoint. Infinite if it has only been NaN so far.
    pub fn best_model_score(&self) -> Option<f64> {
        self.state.best_model_score.map(|score| score.0)
    }

    /// The monitored metric's value in the newest checkpoint that was kept.
    pub fn current_score(&self) -> Option<f64> {
        self.state.current_score.map(|score| score.0)
    }

    /// The file of [`save_last`](Self::save_last).
    pub fn last_model_path(&self) -> Option<&Path> {
        self.state.last_model_path.as_deref()
    }

    /// The checkpoints that are kept for the monitored metric, with its values, oldest first.
    pub fn best_k_models(&self) -> impl ExactSizeIterator<Item = (&Path, f64)> {
        self.state.best_k_models.iter()
    }

    /// After a restart into another folder, what was kept in the old one is not ours any more.
    fn settle(&mut self) {
        let Some(dir) = self.now.place.as_ref().map(|place| place.dir.clone()) else { return };
        let state = std::mem::take(&mut self.state);
        self.state = match &state.dirpath {
            Some(old) if *old != dir => {
                tracing::warn!(
                    old = %old.display(), new = %dir.display(),
                    "the folder of the checkpoints has changed; only `best_model_path` is taken over"
                );
                let State { best_model_path, saved_step, last_step, .. } = state;
                State { best_model_path, saved_step, last_step, ..State::default() }
            }
            _ => state,
        };
        self.state.dirpath = Some(dir);
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

    fn state(&self) -> Result<Value> {
        state::save(&self.state)
    }

    fn load_state(&mut self, state: Value) -> Result<()> {
        self.now.restored = !state.is_null();
        state::load(&mut self.state, state)?;
        self.settle();
        Ok(())
    }

    fn setup(&mut self, ctx: &mut Context<'_>, _module: &mut M, stage: Stage) -> Result<()> {
        if stage == Stage::Fit {
            self.now.place = Some(self.place(ctx)?);
            self.now.validated = false;
            self.settle();
        }
        Ok(())
    }

    fn on_fit_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        // A second fit with the same callback starts with a clean slate, unless it goes on from a checkpoint.
        if !std::mem::take(&mut self.now.restored) && ctx.global_step() == 0 {
            self.state = State { dirpath: self.state.dirpath.take(), ..State::default() };
        }
        Ok(())
    }

    fn on_train_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.now.since = Some(Instant::now());
        if matches!(self.every, Every::Fraction(_)) && ctx.limits().train_batches.is_none() {
            return Err(Error::config(
                "ModelCheckpoint::every",
                format!("`{}` needs training data of known length", self.every),
                "use a number of steps or batches, or limit the data with `limit_train_batches`",
            ));
        }
        if matches!(self.every, Every::Epochs(_)) && self.on_train_epoch_end == Some(false) && !ctx.limits().validates() {
            tracing::warn!("`save_on_train_epoch_end(false)` waits for a validation, but this fit has none: no checkpoint will be written");
        }
        Ok(())
    }

    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, batch_idx: usize) -> Result<()> {
        if keeps_still(ctx) || !self.is_due_after_batch(ctx, batch_idx) {
            return Ok(());
        }
        if ctx.run().validation_is_due && self.looks_at_metrics() {
            self.state.deferred = true;
            return Ok(());
        }
        self.save(ctx, Missing::Defer)
    }

    fn on_validation_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        if keeps_still(ctx) {
            return Ok(());
        }
        self.now.validated = true;
        if self.state.deferred || (self.is_due_after_epoch(ctx) && !self.saves_on_train_epoch_end(ctx)) {
            return self.save(ctx, Missing::Fail);
        }
        Ok(())
    }

    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        let due = self.is_due_after_epoch(ctx) && self.saves_on_train_epoch_end(ctx);
        if keeps_still(ctx) || !(due || self.state.deferred) {
            return Ok(());
        }
        let missing = match (ctx.limits().validates() && !self.now.validated, due) {
            (false, _) => Missing::Fail,
            (true, true) => Missing::Warn,
            (true, false) => Missing::Defer,
        };
        self.save(ctx, missing)
    }

    fn on_train_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        if !keeps_still(ctx) && self.save_last {
            self.request_last(ctx, None)?;
        }
        Ok(())
    }

    fn on_exception(&mut self, ctx: &mut Context<'_>, _module: &mut M, _error: &Error) -> Result<()> {
        if self.on_exception && !keeps_still(ctx) {
            self.request_for_exception(ctx)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
