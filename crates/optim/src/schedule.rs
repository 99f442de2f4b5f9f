//! Learning-rate schedules.

mod groups;
mod made_of;
mod peak;

use std::any::Any;

use burn::{
    lr_scheduler::{
        LrScheduler,
        module_lr_scheduler::{ModuleLearningRate, ModuleLrScheduler},
    },
    module::ParamId,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stormfire_checkpoint::scalars::{schedule_from_json, schedule_to_json};
use stormfire_values::{
    Every,
    every::{Passed, Tick},
    text::{Misread, TextError},
};

use crate::{
    error::{Error, Result},
    one_cycle::OneCycle,
    plateau::{PlateauState, ReduceLrOnPlateau},
};
use groups::Group;

/// The sources of a schedule: every scheduler configuration of burn, a [`ModuleLrScheduler`] (different rates for
/// parameter groups), [`OneCycle`], [`ReduceLrOnPlateau`], or a custom [`LrScheduler`] through [`Schedule::custom`].
pub trait IntoSchedule {
    /// Creates a schedule that steps once per epoch.
    fn into_schedule(self) -> Schedule;
}

/// The error of a lookup of a monitored metric.
pub trait LookupError: From<Error> + std::fmt::Display {
    /// Whether it only means that the metric was not logged.
    fn is_missing(&self) -> bool;
}

/// For schedules that do not watch a metric.
impl LookupError for Error {
    fn is_missing(&self) -> bool {
        false
    }
}

/// A learning-rate schedule of one optimizer: the rates, and how often they change.
///
/// burn's schedulers define absolute rates, so they replace the optimizer's own learning rate. `ReduceLrOnPlateau`
/// starts from it. The first rate applies from the start.
///
/// ```
/// use burn::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
/// use stormfire_optim::{ReduceLrOnPlateau, Schedule};
/// use stormfire_values::Every;
///
/// let per_step = Schedule::new(CosineAnnealingLrSchedulerConfig::new(1e-3, 10_000)).every(Every::Steps(1));
/// let plateau = Schedule::new(ReduceLrOnPlateau::new().patience(3)).monitor("val_loss");
/// ```
///
/// A warmup, then half a cosine down to 0 at the last step of the fit. `configure_optimizers` gets the number of steps
/// from `self.estimated_stepping_batches()`:
///
/// ```
/// use burn::lr_scheduler::{
///     LrSchedulerConfig, cosine::CosineAnnealingLrSchedulerConfig, linear::LinearLrSchedulerConfig,
///     sequential::SequentialLrSchedulerConfig,
/// };
/// use stormfire_optim::Schedule;
/// use stormfire_values::Every;
///
/// fn warmup_then_cosine(peak: f64, warmup: usize, steps: usize) -> Schedule {
///     let parts = vec![
///         LrSchedulerConfig::Linear(LinearLrSchedulerConfig::new(peak / 100.0, peak, warmup)),
///         LrSchedulerConfig::Cosine(CosineAnnealingLrSchedulerConfig::new(peak, steps.saturating_sub(warmup).max(1))),
///     ];
///     Schedule::new(SequentialLrSchedulerConfig::new(parts, vec![warmup])).every(Every::Steps(1))
/// }
/// # assert_eq!(warmup_then_cosine(1e-3, 100, 10_000).period(), Every::Steps(1));
/// ```
///
#[doc = include_str!("../docs/schedule.md")]
pub struct Schedule {
    kind: Kind,
    every: Every,
    misread: Misread,
    monitor: Option<String>,
    strict: bool,
    name: Option<String>,
    current: Option<ModuleLearningRate>,
    groups: Vec<Group>,
    /// With groups: all parameters.
    params: Vec<(ParamId, String)>,
    looks: u64,
    /// The step count of its optimizer at the last check.
    looked_at: u64,
}

enum Kind {
    Burn(Steps),
    Plateau(ReduceLrOnPlateau, PlateauState),
    /// Constant rates in place of the configured ones.
    Held,
    /// A configuration that burn rejected. It is reported at the start of the run.
    Invalid(String),
}

/// A scheduler of burn, and its state before its last step. burn does not expose the rates of all parameter groups.
/// Repeating the last step is the only way to restore them.
struct Steps {
    now: ModuleLrScheduler,
    before: ModuleLrScheduler,
    /// Whether it may have parameter groups.
    has_groups: bool,
    cycle: Option<OneCycle>,
}

impl Steps {
    fn new(scheduler: ModuleLrScheduler) -> Self {
        Self { before: scheduler.clone(), now: scheduler, has_groups: false, cycle: None }
    }

    fn step(&mut self) -> ModuleLearningRate {
        self.before.clone_from(&self.now);
        self.now.step()
    }
}

/// The state of a schedule in a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ScheduleState {
    /// `before_last_step` by the index of the parameter group and the field: `{"0.current_iter": 5}`.
    Scheduler { before_last_step: Map<String, Value>, looks: u64 },
    Plateau {
        state: PlateauState,
        looks: u64,
        #[serde(default)]
        looked_at: u64,
    },
}

impl ScheduleState {
    fn name(&self) -> &'static str {
        match self {
            Self::Scheduler { .. } => "scheduler of burn",
            Self::Plateau { .. } => "`ReduceLrOnPlateau`",
        }
    }
}

impl Schedule {
    /// A schedule that steps once per epoch, as is Lightning's default. [`Schedule::every`] changes that.
    pub fn new(schedule: impl IntoSchedule) -> Self {
        schedule.into_schedule()
    }

    /// A custom scheduler.
    pub fn custom(scheduler: impl LrScheduler + 'static) -> Self {
        let cycle = (&scheduler as &dyn Any).downcast_ref().cloned();
        Self::of(Kind::Burn(Steps { cycle, ..Steps::new(ModuleLrScheduler::new(scheduler)) }))
    }

    fn of(kind: Kind) -> Self {
        Self {
            kind,
            every: Every::Epochs(1),
            misread: Misread::default(),
            monitor: None,
            strict: true,
            name: None,
            current: None,
            groups: Vec::new(),
            params: Vec::new(),
            looks: 0,
            looked_at: 0,
        }
    }

    /// How often the rate changes: [`Every::Steps`] counts the steps of this optimizer, [`Every::Epochs`] counts
    /// epochs. A string such as `"100 steps"` is also accepted. Other periods are an error at the start of the run.
    /// Default: every epoch.
    ///
    /// `ReduceLrOnPlateau` checks the newest value of its metric, even an old one. With a period of epochs, it checks
    /// after an epoch, if the metric has a value of it or the epoch was complete. With a period of steps, it checks
    /// after the validation that follows such a step, if there is one.
    pub fn every(mut self, every: impl TryInto<Every, Error: Into<TextError>>) -> Self {
        self.misread.set("Schedule::every", &mut self.every, every);
        self
    }

    /// Sets the metric that `ReduceLrOnPlateau` watches: any logged name.
    pub fn monitor(mut self, name: impl Into<String>) -> Self {
        self.monitor = Some(name.into());
        self
    }

    /// Whether a missing monitored metric ends the run (default). Otherwise the check is skipped with a warning.
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Sets the name under which `LearningRateMonitor` logs the rate. Default: `lr-` and the optimizer's name.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The name from [`Schedule::named`].
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// How often the rate changes.
    pub fn period(&self) -> Every {
        self.every
    }

    /// Sets the first rate of an optimizer with these parameters, given with their paths.
    pub(crate) fn start(&mut self, optimizer: &str, lr: f64, params: &[(ParamId, String)]) -> Result<()> {
        self.misread.check()?;
        let refuse = |reason: String, hint: &str| Error::Optimizer { optimizer: optimizer.into(), reason, hint: hint.into() };
        self.every
            .check()
            .map_err(|reason| refuse(format!("the schedule's period `{}`: {reason}", self.every), "use `Every::Epochs(1)`"))?;
        if !matches!(self.every, Every::Steps(_) | Every::Epochs(_)) {
            return Err(refuse(format!("a schedule cannot step every {}", self.every), "use `Every::Steps(n)` or `Every::Epochs(n)`"));
        }
        match &mut self.kind {
            Kind::Invalid(reason) => {
                return Err(invalid(optimizer, reason));
            }
            Kind::Plateau(config, state) => {
                config.check()?;
                if self.monitor.is_none() {
                    return Err(refuse("`ReduceLrOnPlateau` has no metric to watch".into(), "name one with `Schedule::monitor`"));
                }
                *state = PlateauState::new(lr);
                self.current = Some(lr.into());
            }
            Kind::Burn(_) if self.monitor.is_some() => {
                return Err(refuse("only `ReduceLrOnPlateau` watches a metric".into(), "remove `monitor`"));
            }
            Kind::Burn(scheduler) => {
                if let Some(cycle) = &scheduler.cycle {
                    cycle.check()?;
                    if let Every::Epochs(_) = self.every {
                        tracing::warn!(
                            "optimizer `{optimizer}`: {} advances every {}; for every optimizer step add `.every(Every::Steps(1))`",
                            cycle.described(),
                            self.every
                        );
                    }
                }
                if scheduler.has_groups {
                    self.groups = groups::find(&scheduler.now, params);
                    self.params = params.to_vec();
                }
                self.current = Some(scheduler.step());
            }
            Kind::Held => {}
        }
        self.check_rates(optimizer)
    }

    /// Rejects a rate that is negative or not finite.
    fn check_rates(&self, optimizer: &str) -> Result<()> {
        let mut rates =
            self.current.iter().map(|rate| (None, rate.base())).chain(self.group_rates().map(|(name, rate)| (Some(name), rate)));
        match rates.find(|(_, rate)| !(rate.is_finite() && *rate >= 0.0)) {
            None => Ok(()),
            Some((group, rate)) => Err(Error::Optimizer {
                optimizer: optimizer.into(),
                reason: format!(
                    "its schedule gives the learning rate {rate}{}, which is not a number of at least 0",
                    group.map_or_else(String::new, |group| format!(" to `{group}`"))
                ),
                hint: "correct the scheduler that is given to `Optimizer::schedule`".into(),
            }),
        }
    }

    /// The rates of the parameter groups, by name.
    pub(crate) fn group_rates(&self) -> impl Iterator<Item = (&str, f64)> {
        self.current.iter().flat_map(|rates| self.groups.iter().map(|group| (group.name.as_str(), group.rate(rates))))
    }

    pub(crate) fn rate(&self) -> Option<&ModuleLearningRate> {
        self.current.as_ref()
    }

    /// The watched metric. A schedule with one steps after validation instead of before.
    pub(crate) fn watches(&self) -> Option<&str> {
        self.monitor.as_deref()
    }

    /// A schedule that watches a metric is checked after each batch, even if its optimizer did not step in it. The
    /// optimizer may have stepped several times in that batch, past the end of a period.
    fn is_due(&self, tick: &Tick) -> bool {
        let before = |passed: Passed| if self.monitor.is_some() { Passed { before: self.looked_at, ..passed } } else { passed };
        self.every.is_due(&Tick { steps: tick.steps.map(before), ..*tick })
    }

    /// Steps the schedule of this optimizer if it is due. This is called after a training batch with the number of this
    /// optimizer's steps, at the last batch of an epoch, or, if it watches a metric, after the validation that follows.
    /// `metric` returns the value of a monitored metric, or `None` for no check.
    pub(crate) fn step<E: LookupError>(
        &mut self,
        optimizer: &str,
        tick: &Tick,
        metric: &mut dyn FnMut(&str) -> Result<Option<f64>, E>,
    ) -> Result<bool, E> {
        if !self.is_due(tick) {
            return Ok(false);
        }
        if let Some(steps) = tick.steps {
            self.looked_at = steps.now;
        }
        match &mut self.kind {
            Kind::Burn(scheduler) => self.current = Some(scheduler.step()),
            Kind::Plateau(config, state) => {
                let value = match metric(self.monitor.as_deref().unwrap_or_default()) {
                    Ok(Some(value)) => value,
                    Ok(None) => return Ok(false),
                    Err(error) if error.is_missing() && !self.strict => {
                        tracing::warn!("ReduceLrOnPlateau skips a check: {error}");
                        return Ok(false);
                    }
                    Err(error) => return Err(error),
                };
                state.look(config, value);
                self.current = Some(state.lr.into());
            }
            Kind::Held => return Ok(false),
            Kind::Invalid(_) => {}
        }
        self.looks += 1;
        self.check_rates(optimizer)?;
        Ok(true)
    }

    pub(crate) fn state(&self, optimizer: &str) -> Result<ScheduleState> {
        Ok(match &self.kind {
            Kind::Burn(steps) => {
                ScheduleState::Scheduler { before_last_step: schedule_to_json(steps.before.to_record())?, looks: self.looks }
            }
            Kind::Plateau(_, state) => ScheduleState::Plateau { state: state.clone(), looks: self.looks, looked_at: self.looked_at },
            Kind::Held => return Err(invalid(optimizer, "its rates are held")),
            Kind::Invalid(reason) => return Err(invalid(optimizer, reason)),
        })
    }

    /// Restores the state, including the rates at the save. The schedule must have been started.
    pub(crate) fn load_state(&mut self, optimizer: &str, saved: ScheduleState) -> Result<()> {
        let own = self.state(optimizer)?;
        let refuse = |what: String| Error::Optimizer {
            optimizer: optimizer.into(),
            reason: format!("the checkpoint has the state of another schedule: {what}"),
            hint: "configure the schedule as it was when the checkpoint was saved, or load the weights alone".into(),
        };
        match (&mut self.kind, saved) {
            (Kind::Burn(steps), ScheduleState::Scheduler { before_last_step, looks }) => {
                if let ScheduleState::Scheduler { before_last_step: own, .. } = own
                    && !own.keys().eq(before_last_step.keys())
                {
                    let names = |state: &Map<String, Value>| state.keys().cloned().collect::<Vec<_>>().join("`, `");
                    return Err(refuse(format!("`{}` instead of `{}`", names(&before_last_step), names(&own))));
                }
                steps.now = steps.before.clone().load_record(schedule_from_json(&before_last_step)?);
                self.current = Some(steps.step());
                self.looks = looks;
            }
            (Kind::Plateau(_, state), ScheduleState::Plateau { state: saved, looks, looked_at }) => {
                *state = saved;
                self.current = Some(state.lr.into());
                (self.looks, self.looked_at) = (looks, looked_at);
            }
            (_, saved) => return Err(refuse(format!("a {} instead of a {}", saved.name(), own.name()))),
        }
        Ok(())
    }
}

fn invalid(optimizer: &str, reason: &str) -> Error {
    Error::Optimizer {
        optimizer: optimizer.into(),
        reason: format!("the schedule is not valid: {reason}"),
        hint: "see burn's documentation of this scheduler".into(),
    }
}

impl std::fmt::Debug for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Schedule")
            .field("every", &self.every)
            .field("monitor", &self.monitor)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
