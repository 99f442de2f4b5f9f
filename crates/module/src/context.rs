//! What a hook gets: a look at the run, its metrics and loggers, and a way to ask for things.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    sync::Arc,
};

use stormfire_checkpoint::storage;
use stormfire_data::Stage;
use stormfire_loggers::{Image, Loggers, Metrics};

use crate::{
    error::{Error, Result},
    log::{self, Entry},
    log_error::LogError,
    loggable::Loggable,
    moment::{Progress, RunningStage},
    requests::{SaveRequest, StopRequest},
    run::{Limits, MetricSource, Run, monitored},
};

/// The run, as a hook of a callback or module sees it.
pub struct Context<'a> {
    run: &'a mut Run,
    metrics: &'a mut dyn MetricSource,
    /// The key of whoever is called.
    by: &'a str,
}

impl<'a> Context<'a> {
    /// The Trainer makes one for each callback and event; tests of callbacks make their own. `by` is the
    /// [key](crate::Callback::state_key) of the callback that gets it.
    pub fn new(run: &'a mut Run, metrics: &'a mut dyn MetricSource, by: &'a str) -> Self {
        Self { run, metrics, by }
    }

    /// Everything known about the run.
    pub fn run(&self) -> &Run {
        self.run
    }

    /// Which of fit, validate, test, predict this is.
    pub fn stage(&self) -> Stage {
        self.run.stage
    }

    /// What the loop does now.
    pub fn running(&self) -> RunningStage {
        self.run.moment.stage
    }

    /// The 0-based number of the epoch.
    pub fn current_epoch(&self) -> usize {
        self.run.place.progress.epoch
    }

    /// Optimizer steps so far: training batches after which the parameters changed.
    pub fn global_step(&self) -> u64 {
        self.run.place.progress.global_step
    }

    /// How far the fit is.
    pub fn progress(&self) -> &Progress {
        &self.run.place.progress
    }

    /// How long the run is.
    pub fn limits(&self) -> &Limits {
        &self.run.limits
    }

    /// The value of a logged metric, by the name that was logged (or with `_step`, `_epoch`).
    ///
    /// It knows everything that was logged before this call, also in the same event: by the module, by the callbacks that
    /// came first, by this hook itself; and what they sent with [`Context::log_metrics`]. During an epoch, of the training or
    /// of an evaluation, that is the newest step value, afterwards the value of the epoch; what is only reduced over an epoch
    /// (the default in an evaluation) is there when that ends. `epoch` and `step` are the run's own counters, [`Context::current_epoch`] and
    /// [`Context::global_step`], unless something was logged under these names.
    ///
    /// Reads everything that is still on the device in one transaction.
    ///
    /// # Errors
    /// [`crate::Error::MetricMissing`] names what is there.
    pub fn metric(&mut self, name: &str) -> Result<f64> {
        self.take_logged()?;
        monitored(self.metrics, self.run, name)
    }

    /// As [`Context::metric`], at the end of a training epoch that is to be judged. If the epoch was cut short before its
    /// validation, a value of an earlier epoch counts as missing.
    ///
    /// # Errors
    /// As [`Context::metric`].
    pub fn metric_of_epoch(&mut self, name: &str) -> Result<f64> {
        self.take_logged()?;
        if self.run.is_cut_short() && self.metrics.is_stale(name) {
            return Err(Error::MetricMissing { name: name.into(), available: self.metrics.names() });
        }
        monitored(self.metrics, self.run, name)
    }

    /// The names of the metrics that [`Context::metric`] knows now, without the run's own counters.
    pub fn metric_names(&mut self) -> Vec<String> {
        // A mistake ends the run after this hook.
        let _ = self.take_logged();
        self.metrics.names()
    }

    /// What the progress bar shows: names with the newest value that has left the device. Never waits for the device.
    pub fn progress_bar_metrics(&mut self) -> Vec<(String, Option<f64>)> {
        // A mistake ends the run after this hook.
        let _ = self.take_logged();
        self.metrics.progress_bar_metrics()
    }

    /// Takes in what was logged until now. A mistake is for the one who logged, who may not be the one who asks.
    fn take_logged(&mut self) -> Result<(), LogError> {
        self.metrics.take_logged(self.run).inspect_err(|mistake| log::put_back(mistake.clone()))
    }

    /// Logs a value from a callback, as `self.log` does from the module.
    pub fn log(&self, name: impl Into<Cow<'static, str>>, value: impl Loggable) -> Entry {
        log::log(name, value)
    }

    /// Sends metrics to all loggers directly, under the current step number and without the device. [`Context::metric`] knows
    /// them from now on.
    ///
    /// # Errors
    /// The first error that a logger has had in the background.
    pub fn log_metrics(&mut self, metrics: &Metrics) -> Result<()> {
        self.take_logged()?;
        for (name, value) in metrics.iter() {
            self.metrics.insert(name, value);
        }
        let step = Some(self.run.place.logger_step);
        Ok(self.run.loggers.iter().try_for_each(|logger| logger.log_metrics(metrics.clone(), step))?)
    }

    /// Sends an image to all loggers under the current step number. Those that cannot show images leave it out.
    ///
    /// # Errors
    /// The first error that a logger has had in the background.
    pub fn log_image(&mut self, tag: &str, image: Image) -> Result<()> {
        let (image, step) = (Arc::new(image), self.run.place.logger_step);
        Ok(self.run.loggers.iter().try_for_each(|logger| logger.log_image(tag, Arc::clone(&image), step))?)
    }

    /// The loggers, each behind its own writer, for all other values; [`Loggers::experiment`] gives a backend's own handle.
    pub fn loggers(&self) -> &Loggers {
        &self.run.loggers
    }

    /// The learning rates by name, with which the optimizers step next. In `on_train_batch_end` that is the next batch's rate.
    pub fn learning_rates(&self) -> &[(String, f64)] {
        &self.run.place.learning_rates
    }

    /// The folder of this run on a disk: the first logger's that has one, else `default_root_dir`, or the current folder
    /// where that is the URL of a store.
    pub fn log_dir(&self) -> PathBuf {
        let of_logger = self.run.loggers.iter().find_map(|logger| logger.log_dir());
        of_logger.or_else(|| storage::on_disk(&self.run.default_root_dir)).unwrap_or(Path::new(".")).into()
    }

    /// Ends the run at the next boundary of the loop. The first stop that was asked for is reported, with its first reason.
    ///
    /// Training continues until `min_epochs` and `min_steps` are reached.
    pub fn stop(&mut self, reason: impl Into<String>) {
        self.run.place.requests.ask_to_stop(self.by, reason.into());
    }

    /// The stop that ends the run, with its author.
    pub fn stop_request(&self) -> Option<&StopRequest> {
        self.run.place.requests.stop()
    }

    /// Takes back the stop that this callback (or another one with its [key](crate::Callback::state_key)) asked for, also before
    /// the fit was continued from a checkpoint. The stops of other callbacks stand. A callback does this in `on_fit_start`, when
    /// it would not ask again.
    pub fn withdraw_stop(&mut self) {
        self.run.place.requests.withdraw_stop(self.by);
    }

    /// Leaves out the rest of this epoch: in `on_train_batch_start` also the batch that begins.
    pub fn skip_epoch(&mut self) {
        self.run.place.requests.skip_epoch = true;
    }

    /// Asks for a checkpoint at the next boundary of the loop, after all callbacks have seen this event.
    ///
    /// The file is there a moment later than that: it is written in the background. The file that the fit was
    /// told to go on from is not removed, whatever the request says.
    pub fn save_checkpoint(&mut self, mut request: SaveRequest) {
        // It is written later, and the process may go somewhere else until then.
        let also = request.also.iter_mut().map(|also| &mut also.path);
        for path in std::iter::once(&mut request.path).chain(also).chain(&mut request.then_remove) {
            if let Ok(absolute) = storage::absolute(path) {
                *path = absolute;
            }
        }
        let names = &mut self.run.place.requests.checkpoints;
        for old in &request.then_remove {
            names.remove(old);
        }
        names.extend(request.paths().map(PathBuf::from));
        request.then_remove.retain(|old| !self.run.spares(old));
        self.run.place.requests.saves.push(request);
    }

    /// Lets the loop keep the state of its last boundary, so that a checkpoint that is asked for in `on_exception` holds the
    /// last whole batch and nothing of the one that failed: a fit that goes on from it repeats that batch exactly. Without
    /// this it holds what is there. To be called in `on_train_start`.
    ///
    /// Callbacks of [`Order::Save`](crate::Order::Save) get their own state of that boundary with `load_state` before they see
    /// `on_exception`. The parameters and optimizers of before a step then stay in memory until it is over.
    pub fn keep_state(&mut self) {
        self.run.keeps_state = true;
    }

    /// Whether a checkpoint may take this name: no other one of this run has it, written or just asked for, and none of
    /// another run would be overwritten. What this run wrote before it was continued, and has not reached again, it may.
    ///
    /// # Errors
    /// A path behind a URL about which the store cannot be asked.
    pub fn is_free(&self, path: &Path) -> Result<bool> {
        Ok(!self.run.place.requests.checkpoints.contains(path) && (!storage::exists(path)? || self.has_written(path)))
    }

    /// Whether the checkpoint under this path was written by this run, also before it was continued.
    pub fn has_written(&self, path: &Path) -> bool {
        (self.run.owner_of)(path).is_some_and(|owner| owner == self.run.id)
    }

    /// The checkpoint that this fit goes on from.
    pub fn resumed_from(&self) -> Option<&Path> {
        self.run.resumed_from.as_deref()
    }

    /// Changes how many batches' gradients make one step, from the next window on.
    pub fn set_accumulate_grad_batches(&mut self, batches: usize) {
        self.run.place.accumulate_grad_batches = batches.max(1);
    }
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("run", &self.run).finish_non_exhaustive()
    }
}
