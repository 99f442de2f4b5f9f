//! The argument of hooks: access to the run, its metrics and loggers, and requests to the loop.

use std::{
    borrow::Cow,
    fmt::Display,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;
use stormfire_checkpoint::storage;
use stormfire_data::Stage;
use stormfire_loggers::{Image, Loggers, Metrics};

use stormfire_metrics::Loggable;
use stormfire_optim::RateOf;

use crate::{
    error::Result,
    log::{self, Entry},
    log_error::LogError,
    metric_source::{MetricSource, monitored, monitored_of_epoch, warn_if_misspelled},
    moment::{Progress, RunningStage},
    print, record,
    requests::{ChangeRequests as _, SaveRequest, StopRequest},
    run::{Limits, Run},
    secrets::Secrets,
};

/// The run, as hooks of callbacks and modules see it.
///
#[doc = include_str!("../docs/context.md")]
pub struct Context<'a> {
    run: &'a mut Run,
    metrics: &'a mut dyn MetricSource,
    /// The key of the called callback or module.
    by: &'a str,
}

/// The context of a callback for one event. `by` is the [key](crate::Callback::state_key) of the callback.
pub fn context<'a>(run: &'a mut Run, metrics: &'a mut dyn MetricSource, by: &'a str) -> Context<'a> {
    Context { run, metrics, by }
}

/// Sets the hyperparameters of a module that returns none, and the secrets that no hyperparameters show, for this run.
pub fn set_options(ctx: &mut Context<'_>, default_hparams: Value, secrets: Secrets) {
    (ctx.run.internals.default_hparams, ctx.run.internals.secrets) = (default_hparams, secrets);
}

impl Context<'_> {
    /// The state of the run.
    pub fn run(&self) -> &Run {
        self.run
    }

    /// The stage: fit, validate, test or predict.
    pub fn stage(&self) -> Stage {
        self.run.stage
    }

    /// The current activity of the loop.
    pub fn running(&self) -> RunningStage {
        self.run.moment.stage
    }

    /// The 0-based number of the epoch.
    pub fn current_epoch(&self) -> usize {
        self.run.place.progress.epoch
    }

    /// Number of optimizer steps so far: training batches after which the parameters changed.
    pub fn global_step(&self) -> u64 {
        self.run.place.progress.global_step
    }

    /// The progress of the fit.
    pub fn progress(&self) -> &Progress {
        &self.run.place.progress
    }

    /// The limits of the run.
    pub fn limits(&self) -> &Limits {
        &self.run.limits
    }

    /// The value of a logged metric, by its logged name (or with `_step`, `_epoch`).
    ///
    /// It includes all values that were logged before this call, even in the same event: by the module, by earlier
    /// callbacks and by this hook, and values sent with [`Context::log_metrics`]. During an epoch of training or
    /// evaluation it returns the newest step value, afterwards the value of the epoch. Values that are only reduced
    /// over an epoch (the default in an evaluation) are available at its end. `epoch` and `step` are the run's own
    /// counters, [`Context::current_epoch`] and [`Context::global_step`], unless a value was logged under these names.
    ///
    /// Reads all values that are still on the device, in one transaction.
    ///
    /// # Errors
    /// [`crate::Error::MetricMissing`] with the available names.
    pub fn metric(&mut self, name: &str) -> Result<f64> {
        self.take_logged()?;
        monitored(self.metrics, self.run, name)
    }

    /// As [`Context::metric`], for a decision at the end of a training epoch. If the epoch was cut short, a
    /// value of an earlier epoch counts as missing.
    ///
    /// # Errors
    /// As [`Context::metric`].
    pub fn metric_of_epoch(&mut self, name: &str) -> Result<f64> {
        self.take_logged()?;
        monitored_of_epoch(self.metrics, self.run, name)
    }

    /// Warns if a monitored name seems to be misspelled. Only useful at the end of the sanity check, which has logged
    /// what a validation logs. `owner` is the callback.
    ///
    /// # Errors
    /// [`crate::Error::Log`] for a misuse of `log` before this call.
    pub fn warn_if_misspelled(&mut self, owner: &str, name: &str) -> Result<()> {
        self.take_logged()?;
        warn_if_misspelled(self.metrics, self.run, owner, name);
        Ok(())
    }

    /// Whether a metric with a correct name may be missing at the end of a training epoch. This is so if the epoch was
    /// cut short before its validation, before its first batch, or before it logged a metric of earlier epochs.
    pub fn may_lack(&mut self, name: &str) -> bool {
        let begun = self.run.place.progress.batch_in_epoch > 0;
        self.run.is_cut_short() && (!begun || self.run.limits.validates() || self.metric_names().iter().any(|known| known == name))
    }

    /// The names that [`Context::metric`] accepts now, without the run's own counters.
    pub fn metric_names(&mut self) -> Vec<String> {
        // A misuse of `log` ends the run after this hook.
        let _ = self.take_logged();
        self.metrics.names()
    }

    /// The values of the progress bar: names with the newest value that has left the device. Never waits for the
    /// device.
    pub fn progress_bar_metrics(&mut self) -> Vec<(String, Option<f64>)> {
        // A misuse of `log` ends the run after this hook.
        let _ = self.take_logged();
        self.metrics.progress_bar_metrics()
    }

    /// Takes the values logged until now. A misuse of `log` is reported for the hook that logged, which may not be the
    /// one that reads.
    fn take_logged(&mut self) -> Result<(), LogError> {
        self.metrics.take_logged(self.run).inspect_err(|mistake| record::put_back(mistake.clone()))
    }

    /// Logs a value from a callback, as `self.log` does in the module.
    pub fn log(&self, name: impl Into<Cow<'static, str>>, value: impl Loggable) -> Entry {
        log::log(name, value)
    }

    /// Prints a line on stdout, above the progress bars, as `self.print` does in the module: see
    /// [`LightningModule::print`](crate::LightningModule::print). Read a metric before the call:
    ///
    /// ```
    /// # use stormfire_module::{Context, Result};
    /// # fn hook(ctx: &mut Context<'_>) -> Result<()> {
    /// let loss = ctx.metric("val_loss")?;
    /// ctx.print(format!("epoch {}: {loss:.3}", ctx.current_epoch()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn print(&self, line: impl Display) {
        print::line(self.run.moment.rank, &line);
    }

    /// Sends metrics to all loggers directly, with the current step number and without the device. From then on
    /// [`Context::metric`] returns them.
    ///
    /// # Errors
    /// The first error of a logger in the background.
    pub fn log_metrics(&mut self, metrics: &Metrics) -> Result<()> {
        self.take_logged()?;
        for (name, value) in metrics.iter() {
            self.metrics.insert(name, value);
        }
        let step = Some(self.run.place.logger_step);
        Ok(self.run.loggers.iter().try_for_each(|logger| logger.log_metrics(metrics.clone(), step))?)
    }

    /// Sends an image to all loggers with the current step number. Loggers without support for images skip it.
    ///
    /// # Errors
    /// The first error of a logger in the background.
    pub fn log_image(&mut self, tag: &str, image: Image) -> Result<()> {
        let (image, step) = (Arc::new(image), self.run.place.logger_step);
        Ok(self.run.loggers.iter().try_for_each(|logger| logger.log_image(tag, Arc::clone(&image), step))?)
    }

    /// The loggers, each on its own thread, for all other values. [`Loggers::experiment`] returns the typed handle of a
    /// backend.
    pub fn loggers(&self) -> &Loggers {
        &self.run.loggers
    }

    /// The learning rates of the next optimizer steps, by name. In `on_train_batch_end` these are the rates of the next
    /// batch.
    pub fn learning_rates(&self) -> &[(String, f64)] {
        &self.run.place.learning_rates
    }

    /// Sets a learning rate from the next batch on, in place of that of schedule and group: of an optimizer or a group
    /// by its logged name (`"lr-AdamW"`, `"lr-AdamW/head"`), or of parameters
    /// ([`RateOf::Params`](stormfire_optim::RateOf::Params)), which become a group. Groups without a set rate follow
    /// their optimizer in proportion. A checkpoint contains the set rates. An unknown name ends the run with an error.
    pub fn set_learning_rate(&mut self, of: impl Into<RateOf>, rate: f64) {
        self.run.place.requests.rates.push((of.into(), Some(rate)));
    }

    /// Gives a learning rate back to its schedule and group, after [`set_learning_rate`](Self::set_learning_rate).
    pub fn reset_learning_rate(&mut self, of: impl Into<RateOf>) {
        self.run.place.requests.rates.push((of.into(), None));
    }

    /// The local folder of this run: that of the first logger that has one, else `default_root_dir`. If that is the URL
    /// of a store, the current folder.
    pub fn log_dir(&self) -> PathBuf {
        let of_logger = self.run.loggers.iter().find_map(|logger| logger.log_dir());
        of_logger.or_else(|| storage::on_disk(&self.run.default_root_dir)).unwrap_or(Path::new(".")).into()
    }

    /// Waits until all ranks of the run call it. Call it in a hook that every rank calls equally often: one that rank 0
    /// calls alone (`if module.is_global_zero()`, [`Callback::rank_zero_only`](crate::Callback::rank_zero_only)) would
    /// wait for ever, or fail as out of step. Does nothing without other ranks.
    ///
    /// # Errors
    /// Another rank has failed, or makes another call.
    pub fn barrier(&self) -> Result<()> {
        Ok(stormfire_ranks::here()?.barrier()?)
    }

    /// Ends the run at the next boundary of the loop. The first requested stop is reported, with its first reason.
    ///
    /// Training continues until `min_epochs` and `min_steps` are reached.
    pub fn stop(&mut self, reason: impl Into<String>) {
        self.run.place.requests.ask_to_stop(self.by, reason.into());
    }

    /// The stop that will end the run, with its author.
    pub fn stop_request(&self) -> Option<&StopRequest> {
        self.run.place.requests.stop()
    }

    /// Withdraws the stop of this callback (or of another one with the same [key](crate::Callback::state_key)), even if
    /// it was requested before the fit was resumed. The stops of other callbacks stay. A callback calls this in
    /// `on_fit_start` if it would not request the stop again.
    pub fn withdraw_stop(&mut self) {
        self.run.place.requests.withdraw_stop(self.by);
    }

    /// Skips the rest of this epoch. In `on_train_batch_start` this includes the batch that starts.
    pub fn skip_epoch(&mut self) {
        self.run.place.requests.skip_epoch = true;
    }

    /// Skips the step that an optimizer is about to make. For `on_before_optimizer_step`, by a callback whose
    /// [`may_skip_steps`](crate::Callback::may_skip_steps) is true. The step is skipped if any rank requests it. As
    /// with `on_non_finite = "skip:n"`, the values that were logged in the window do not count in the epoch.
    pub fn skip_step(&mut self, reason: impl Into<String>) {
        self.run.internals.skip_step.get_or_insert(reason.into());
    }

    /// Leaves out a training batch: it is loaded and counted, but the module does not get it, and its number in the
    /// epoch (over all ranks) stays. The list is in every checkpoint. All ranks must leave out the same batches.
    pub fn leave_out(&mut self, epoch: usize, batch: usize) {
        self.run.place.left_out.insert((epoch, batch));
    }

    /// Ends the run like [`stop`](Self::stop), even before `min_epochs`, because the trained weights are bad from here
    /// on: no checkpoint is written from then on. The last one is from before.
    pub fn stop_without_saving(&mut self, reason: impl Into<String>) {
        self.run.place.requests.saves_nothing = true;
        self.stop(reason);
    }

    /// Requests a checkpoint at the next boundary of the loop, after all callbacks have seen this event.
    ///
    /// It is written in the background, so the file exists a moment later. The file that the user gave for the resume
    /// of this fit is never removed, even if the request lists it.
    pub fn save_checkpoint(&mut self, mut request: SaveRequest) {
        // It is written later, and the process may change its current folder until then.
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

    /// Keeps the state of the last boundary of the loop. A checkpoint that is requested in `on_exception` then contains
    /// the last complete batch and no part of the failed one, so that a resumed fit repeats the failed batch exactly.
    /// Without this call it contains the current state. Call this in `on_train_start`.
    ///
    /// Callbacks of [`Order::Save`](crate::Order::Save) get their own state of that boundary with `load_state` before
    /// `on_exception`. The parameters and optimizers from before a step stay in memory until the step ends.
    pub fn keep_state(&mut self) {
        self.run.internals.keeps_state = true;
    }

    /// Whether a checkpoint may have this name: no other checkpoint of this run, written or requested, has it, and no
    /// file of another run would be overwritten. The name is free if the run wrote the file before it was resumed and
    /// has not reached it again.
    ///
    /// # Errors
    /// If the path is a URL and the store does not answer.
    pub fn is_free(&self, path: &Path) -> Result<bool> {
        Ok(!self.run.place.requests.checkpoints.contains(path) && (!storage::exists(path)? || self.has_written(path)))
    }

    /// Whether this run wrote the checkpoint with this path, including before a resume.
    pub fn has_written(&self, path: &Path) -> bool {
        (self.run.internals.owner_of)(path).is_some_and(|owner| owner == self.run.id)
    }

    /// The checkpoint that this fit was resumed from.
    pub fn resumed_from(&self) -> Option<&Path> {
        self.run.resumed_from.as_deref()
    }

    /// Changes the number of batches per optimizer step, starting with the next window.
    pub fn set_accumulate_grad_batches(&mut self, batches: usize) {
        self.run.place.accumulate_grad_batches = batches.max(1);
    }
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("run", &self.run).finish_non_exhaustive()
    }
}
