//! Stops a fit when a metric stops improving.

use std::fmt;

use serde::{Deserialize, Serialize};
use stormfire_module::{
    Callback, Context, Error, LightningModule, Order, Result, Stage,
    state::{self, Saved, Value},
};
use stormfire_values::{
    Mode,
    number_text::short,
    text::{Misread, TextError},
};

use crate::rehearsal::is_rehearsal;

/// Why [`EarlyStopping`] ended a fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StoppingReason {
    /// It did not stop the fit.
    #[default]
    NotStopped,
    /// The metric got better than [`EarlyStopping::stopping_threshold`].
    StoppingThreshold,
    /// The metric got worse than [`EarlyStopping::divergence_threshold`].
    DivergenceThreshold,
    /// The metric did not improve for [`EarlyStopping::patience`] checks.
    PatienceExhausted,
    /// The metric was NaN or infinite.
    NonFiniteMetric,
}

/// Ends a fit when a monitored metric stops improving.
///
/// It checks once per epoch, or after each validation: see
/// [`check_on_train_epoch_end`](Self::check_on_train_epoch_end). A check sees the values that were logged in the same
/// event. `epoch` and `step` can be monitored, too. It does not check in a sanity check or in a `fast_dev_run`.
///
/// ```
/// use stormfire_callbacks::EarlyStopping;
/// use stormfire_values::Mode;
///
/// let stop = EarlyStopping::new("val_acc").mode(Mode::Max).patience(5).min_delta(0.001);
/// # let _ = stop;
/// ```
///
/// Its state is in every checkpoint: the best score, the number of checks without improvement, and the reason of a
/// stop. The options always come from the code: a checkpoint does not restore an old patience. A fit that is resumed
/// after a stop stops again at once, unless the current options would no longer stop it.
///
/// # Errors
/// [`Error::MetricMissing`] if the metric is missing at a check, unless [`strict`](Self::strict) is off.
/// [`Error::Config`] if the fit starts with options that are NaN.
#[expect(clippy::struct_excessive_bools, reason = "they are Lightning's flags, each independent of the others")]
#[derive(Clone, Debug)]
pub struct EarlyStopping {
    id: Option<String>,
    monitor: String,
    mode: Mode,
    misread: Misread,
    min_delta: f64,
    patience: u32,
    strict: bool,
    check_finite: bool,
    stopping_threshold: Option<f64>,
    divergence_threshold: Option<f64>,
    on_train_epoch_end: Option<bool>,
    verbose: bool,
    restored: bool,
    state: State,
}

/// The state in a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct State {
    wait_count: u32,
    best_score: Option<f64>,
    stopped_epoch: Option<usize>,
    stopping_reason: StoppingReason,
    stopping_reason_message: Option<String>,
    /// The value of the last check.
    last_value: Option<f64>,
}

impl EarlyStopping {
    /// Stops when the metric has not fallen for 3 checks.
    pub fn new(monitor: impl Into<String>) -> Self {
        Self {
            id: None,
            monitor: monitor.into(),
            mode: Mode::Min,
            misread: Misread::default(),
            min_delta: 0.0,
            patience: 3,
            strict: true,
            check_finite: true,
            stopping_threshold: None,
            divergence_threshold: None,
            on_train_epoch_end: None,
            verbose: false,
            restored: false,
            state: State::default(),
        }
    }

    /// Whether a lower or a higher metric is better: a [`Mode`], or `"max"`. Default [`Mode::Min`].
    pub fn mode(mut self, mode: impl TryInto<Mode, Error: Into<TextError>>) -> Self {
        self.misread.set("EarlyStopping::mode", &mut self.mode, mode);
        self
    }

    /// A name for its state in checkpoints and for `Trainer::get_named`. Only needed if two have the same monitor and
    /// mode.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.id = Some(name.into());
        self
    }

    /// The smallest change that counts as an improvement, in the unit of the metric. The sign is ignored. Default 0.
    pub fn min_delta(mut self, delta: f64) -> Self {
        self.min_delta = delta.abs();
        self
    }

    /// The number of checks without improvement that stops the fit. 0 and 1 stop it at the first. Default 3.
    pub fn patience(mut self, looks: u32) -> Self {
        self.patience = looks;
        self
    }

    /// Whether a missing metric is an error (default). If not, the check is skipped.
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Whether NaN or infinity stops the fit (default). If not, it counts as no improvement.
    pub fn check_finite(mut self, on: bool) -> Self {
        self.check_finite = on;
        self
    }

    /// Stops the fit as soon as the metric is better than this. Default: never.
    pub fn stopping_threshold(mut self, value: f64) -> Self {
        self.stopping_threshold = Some(value);
        self
    }

    /// Stops the fit as soon as the metric is worse than this. Default: never.
    pub fn divergence_threshold(mut self, value: f64) -> Self {
        self.divergence_threshold = Some(value);
        self
    }

    /// Whether to check at the end of a training epoch (`true`) or of a validation.
    ///
    /// Default: at the end of the training epoch if validation runs once per epoch or never, otherwise after each
    /// validation. Set it to `true` for a training metric, such as `train_loss_epoch`, which is missing at a
    /// validation.
    pub fn check_on_train_epoch_end(mut self, on: bool) -> Self {
        self.on_train_epoch_end = Some(on);
        self
    }

    /// Whether to report each improvement and the reason of a stop through `tracing` at level info. Default `false`.
    pub fn verbose(mut self, on: bool) -> Self {
        self.verbose = on;
        self
    }

    /// The metric that it checks.
    pub fn monitored(&self) -> &str {
        &self.monitor
    }

    /// Whether a missing metric is an error: see [`strict`](Self::strict).
    pub fn is_strict(&self) -> bool {
        self.strict
    }

    /// The best value so far. `None` before the first check.
    pub fn best_score(&self) -> Option<f64> {
        self.state.best_score
    }

    /// The number of consecutive checks without improvement.
    pub fn wait_count(&self) -> u32 {
        self.state.wait_count
    }

    /// The 0-based epoch in which it last requested a stop.
    pub fn stopped_epoch(&self) -> Option<usize> {
        self.state.stopped_epoch
    }

    /// Why it stopped this fit.
    pub fn stopping_reason(&self) -> StoppingReason {
        self.state.stopping_reason
    }

    /// Why it stopped this fit, as a sentence with the numbers.
    pub fn stopping_reason_message(&self) -> Option<&str> {
        self.state.stopping_reason_message.as_deref()
    }

    fn looks_on_train_epoch_end(&self, ctx: &Context<'_>) -> bool {
        self.on_train_epoch_end.unwrap_or_else(|| !ctx.limits().validates() || ctx.run().validates_every_epoch)
    }

    fn look(&mut self, ctx: &mut Context<'_>) -> Result<()> {
        if is_rehearsal(ctx) {
            return Ok(());
        }
        let at_epoch_end = self.looks_on_train_epoch_end(ctx);
        let metric = if at_epoch_end { ctx.metric_of_epoch(&self.monitor) } else { ctx.metric(&self.monitor) };
        let value = match metric {
            Ok(value) => value,
            // `max_steps` or a skip ended the epoch before its validation, so no new value exists. A validation has
            // one.
            Err(Error::MetricMissing { .. }) if at_epoch_end && ctx.may_lack(&self.monitor) => return Ok(()),
            Err(Error::MetricMissing { available, .. }) if !self.strict => {
                tracing::warn!(?available, "early stopping skipped a check: metric `{}` is not available", self.monitor);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        match self.judge(value) {
            Some((reason, message)) => {
                if self.verbose {
                    tracing::info!("{message}");
                }
                self.stop(ctx, reason, message);
            }
            None => self.take_back(ctx),
        }
        Ok(())
    }

    fn stop(&mut self, ctx: &mut Context<'_>, reason: StoppingReason, message: String) {
        self.take_back(ctx);
        self.state.stopped_epoch = Some(ctx.current_epoch());
        self.state.stopping_reason = reason;
        ctx.stop(message.clone());
        self.state.stopping_reason_message = Some(message);
    }

    /// Until `min_epochs` is reached, there may be several checks. The last one counts, as after a restart.
    fn take_back(&mut self, ctx: &mut Context<'_>) {
        if self.state.stopping_reason_message.take().is_some() {
            ctx.withdraw_stop();
        }
        (self.state.stopped_epoch, self.state.stopping_reason) = (None, StoppingReason::NotStopped);
    }

    /// Repeats the last check with the options of this run. A stop that they do not request is withdrawn.
    fn look_again(&mut self, ctx: &mut Context<'_>) {
        let verdict = self.newest_verdict();
        if let (Some(asked), Some((_, message))) = (&self.state.stopping_reason_message, &verdict)
            && asked == message
        {
            ctx.stop(asked.clone());
            return;
        }
        match verdict {
            Some((reason, message)) => self.stop(ctx, reason, message),
            None => self.take_back(ctx),
        }
    }

    /// Checks the metric, in Lightning's order of tests.
    fn judge(&mut self, value: f64) -> Option<(StoppingReason, String)> {
        self.state.last_value = Some(value);
        if let Some(verdict) = self.verdict_on_value(value) {
            return Some(verdict);
        }
        let best = self.best();
        let bar = match self.mode {
            Mode::Min => value + self.min_delta,
            Mode::Max => value - self.min_delta,
        };
        if self.mode.is_better(bar, best) {
            if self.verbose {
                self.report_improvement(value, best);
            }
            self.state.best_score = Some(value);
            self.state.wait_count = 0;
        } else {
            self.state.wait_count += 1;
        }
        self.verdict_on_patience()
    }

    /// Whether the last check stops the fit.
    fn newest_verdict(&self) -> Option<(StoppingReason, String)> {
        let value = self.state.last_value?;
        self.verdict_on_value(value).or_else(|| self.verdict_on_patience())
    }

    fn verdict_on_value(&self, value: f64) -> Option<(StoppingReason, String)> {
        let (monitor, mode, best) = (&self.monitor, self.mode, self.best());
        let (better, worse) = match mode {
            Mode::Min => ('<', '>'),
            Mode::Max => ('>', '<'),
        };
        if self.check_finite && !value.is_finite() {
            let message = format!("monitored metric `{monitor}` = {value} is not finite; previous best value was {}", short(best));
            return Some((StoppingReason::NonFiniteMetric, message));
        }
        if let Some(threshold) = self.stopping_threshold.filter(|&threshold| mode.is_better(value, threshold)) {
            let message = format!("stopping threshold reached: `{monitor}` = {value} {better} {threshold}");
            return Some((StoppingReason::StoppingThreshold, message));
        }
        let threshold = self.divergence_threshold.filter(|&threshold| mode.is_better(threshold, value))?;
        let message = format!("divergence threshold reached: `{monitor}` = {value} {worse} {threshold}");
        Some((StoppingReason::DivergenceThreshold, message))
    }

    fn verdict_on_patience(&self) -> Option<(StoppingReason, String)> {
        let (monitor, looks, best) = (&self.monitor, self.state.wait_count, short(self.best()));
        let message = || format!("monitored metric `{monitor}` did not improve in the last {looks} checks; best score: {best}");
        (looks >= self.patience.max(1)).then(|| (StoppingReason::PatienceExhausted, message()))
    }

    fn best(&self) -> f64 {
        self.best_score().unwrap_or(self.mode.worst())
    }

    fn report_improvement(&self, value: f64, best: f64) {
        let (monitor, delta, score) = (&self.monitor, self.min_delta, short(value));
        if best.is_finite() {
            let change = short((best - value).abs());
            tracing::info!("metric `{monitor}` improved by {change} >= min_delta = {delta}; new best score: {score}");
        } else {
            tracing::info!("metric `{monitor}` improved; new best score: {score}");
        }
    }

    fn check(&self) -> Result<()> {
        self.misread.check()?;
        let numbers = [
            ("min_delta", Some(self.min_delta)),
            ("stopping_threshold", self.stopping_threshold),
            ("divergence_threshold", self.divergence_threshold),
        ];
        match numbers.iter().find(|(_, value)| value.is_some_and(f64::is_nan)) {
            Some((name, _)) => Err(Error::config(
                format!("EarlyStopping::{name}"),
                "NaN cannot be compared with a metric",
                "leave it out, or give a number",
            )),
            None => Ok(()),
        }
    }
}

impl<M: LightningModule> Callback<M> for EarlyStopping {
    fn state_key(&self) -> String {
        let told_apart_by = || format!("monitor: {}, mode: {}", self.monitor, self.mode.name());
        format!("EarlyStopping{{{}}}", self.id.clone().unwrap_or_else(told_apart_by))
    }

    fn order(&self) -> Order {
        Order::Watch
    }

    fn state(&self) -> Result<Saved> {
        state::save(&self.state)
    }

    fn load_state(&mut self, state: Saved) -> Result<()> {
        self.restored = !state.is_empty();
        state::load(&mut self.state, state)
    }

    fn withdraws_stop(&self, saved: &Value) -> Result<bool> {
        let mut restored = Self { state: State::default(), ..self.clone() };
        state::load(&mut restored.state, saved.clone())?;
        Ok(restored.newest_verdict().is_none())
    }

    fn setup(&mut self, _ctx: &mut Context<'_>, _module: &mut M, stage: Stage) -> Result<()> {
        if stage == Stage::Fit { self.check() } else { Ok(()) }
    }

    fn on_exception(&mut self, _ctx: &mut Context<'_>, _module: &mut M, _error: &Error) -> Result<()> {
        // The next fit is another run.
        self.restored = false;
        Ok(())
    }

    fn on_fit_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        if std::mem::take(&mut self.restored) {
            self.look_again(ctx);
        } else {
            // A second fit with the same callback starts with a fresh state.
            self.state = State::default();
        }
        Ok(())
    }

    fn on_sanity_check_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        ctx.warn_if_misspelled("EarlyStopping", &self.monitor)
    }

    fn on_validation_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        if self.looks_on_train_epoch_end(ctx) { Ok(()) } else { self.look(ctx) }
    }

    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        if self.looks_on_train_epoch_end(ctx) { self.look(ctx) } else { Ok(()) }
    }
}

impl fmt::Display for StoppingReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StoppingReason::NotStopped => "not stopped",
            StoppingReason::StoppingThreshold => "stopping threshold reached",
            StoppingReason::DivergenceThreshold => "divergence threshold reached",
            StoppingReason::PatienceExhausted => "patience exhausted",
            StoppingReason::NonFiniteMetric => "metric not finite",
        })
    }
}

#[cfg(test)]
mod tests;
