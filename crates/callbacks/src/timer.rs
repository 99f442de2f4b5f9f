//! Measures the time of stages, and stops a fit at a time limit.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use stormfire_module::{
    Callback, Context, Error, LightningModule, Result, RunningStage, Stage, StepOutput,
    state::{self, Saved, Value},
};
use stormfire_values::{
    TimeLimit, clock, reads_text,
    text::{Misread, TextError, one_of},
};

/// Whether a callback acts at steps or at epochs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interval {
    /// At steps, or after batches.
    #[default]
    Step,
    /// Once an epoch.
    Epoch,
}

impl std::str::FromStr for Interval {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        one_of(text, "an interval", &[("step", Self::Step), ("epoch", Self::Epoch)], "`step` or `epoch`")
    }
}

reads_text!(Interval);

/// Measures the time of training, validation and test, and stops a fit at a time limit.
///
/// ```
/// use std::time::Duration;
/// use stormfire_callbacks::{Interval, Timer};
///
/// let half_a_day = Timer::new("12 hours");
/// let at_the_end_of_an_epoch = Timer::new(Duration::from_secs(600)).interval(Interval::Epoch);
/// let just_measure = Timer::unlimited();
/// # let _ = (half_a_day, at_the_end_of_an_epoch, just_measure);
/// ```
///
/// Its state is in every checkpoint: the time that each stage has taken. A limit therefore applies across restarts. A
/// fit that is resumed with a longer limit is not stopped by the old one. It does not stop a `fast_dev_run`.
///
/// # Errors
/// [`Error::Config`](stormfire_module::Error::Config) if the fit starts with a limit that cannot be parsed.
#[derive(Clone, Debug)]
pub struct Timer {
    limit: Option<TimeLimit>,
    interval: Interval,
    misread: Misread,
    id: Option<String>,
    verbose: bool,
    restored: bool,
    past: Elapsed,
    since: HashMap<RunningStage, Instant>,
}

/// The time of each stage in seconds, by its name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Elapsed {
    time_elapsed: BTreeMap<String, f64>,
    /// The reason of the requested stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stop: Option<String>,
}

impl Timer {
    /// Stops a fit when its training, including validation, has taken this long: a [`Duration`], or a string such as
    /// `"12 hours"` ([`TimeLimit`]).
    pub fn new(limit: impl TryInto<TimeLimit, Error: Into<TextError>>) -> Self {
        let (mut timer, mut read) = (Self::unlimited(), TimeLimit::default());
        timer.misread.set("Timer", &mut read, limit);
        Self { limit: Some(read), ..timer }
    }

    /// Only measures, without a limit.
    pub fn unlimited() -> Self {
        let (past, since) = (Elapsed::default(), HashMap::new());
        let (interval, misread) = (Interval::Step, Misread::default());
        Self { limit: None, interval, misread, id: None, verbose: true, restored: false, past, since }
    }

    /// Whether to check after every batch (default) or at the end of each epoch: an [`Interval`], or `"epoch"`.
    pub fn interval(mut self, interval: impl TryInto<Interval, Error: Into<TextError>>) -> Self {
        self.misread.set("Timer::interval", &mut self.interval, interval);
        self
    }

    /// A name for its state in checkpoints and for `Trainer::get_named`. Only needed if there are two.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.id = Some(name.into());
        self
    }

    /// Whether to report the time limit through `tracing` at level info. Default `true`.
    pub fn verbose(mut self, on: bool) -> Self {
        self.verbose = on;
        self
    }

    /// The elapsed time of a stage. Training includes its validation.
    pub fn time_elapsed(&self, stage: RunningStage) -> Duration {
        let past = self.past.time_elapsed.get(stage.name()).and_then(|&seconds| Duration::try_from_secs_f64(seconds).ok());
        past.unwrap_or_default() + self.since.get(&stage).copied().map(clock::since).unwrap_or_default()
    }

    /// The remaining time of training. `None` without a limit.
    pub fn time_remaining(&self) -> Option<Duration> {
        self.limit.map(|limit| limit.0.saturating_sub(self.time_elapsed(RunningStage::Train)))
    }

    fn begin(&mut self, ctx: &Context<'_>, stage: RunningStage) {
        if ctx.stage() != Stage::Fit {
            self.past.time_elapsed.remove(stage.name());
        }
        self.since.insert(stage, clock::now());
    }

    fn end(&mut self, stage: RunningStage) {
        let elapsed = self.time_elapsed(stage).as_secs_f64();
        if self.since.remove(&stage).is_some() {
            self.past.time_elapsed.insert(stage.name().into(), elapsed);
        }
    }

    fn end_all(&mut self) {
        for stage in self.since.keys().copied().collect::<Vec<_>>() {
            self.end(stage);
        }
    }

    fn is_over(&self) -> bool {
        self.time_remaining().is_some_and(|left| left.is_zero())
    }

    fn check(&mut self, ctx: &mut Context<'_>) {
        if ctx.run().fast_dev_run || !self.is_over() {
            return;
        }
        if self.past.stop.is_none() {
            let reason = format!("time limit reached; elapsed time is {}", Clock(self.time_elapsed(RunningStage::Train)));
            if self.verbose && ctx.stop_request().is_none() {
                tracing::info!("{reason}");
            }
            self.past.stop = Some(reason);
        }
        ctx.stop(self.past.stop.clone().unwrap_or_default());
    }
}

/// A time as `1:02:03`.
struct Clock(Duration);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        write!(f, "{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

/// Validation within a sanity check is counted separately.
fn validating(ctx: &Context<'_>) -> RunningStage {
    if ctx.running() == RunningStage::SanityCheck { RunningStage::SanityCheck } else { RunningStage::Validate }
}

impl<M: LightningModule> Callback<M> for Timer {
    fn state_key(&self) -> String {
        self.id.as_ref().map_or_else(|| "Timer".into(), |id| format!("Timer{{{id}}}"))
    }

    fn state(&self) -> Result<Saved> {
        let mut now = self.clone();
        now.end_all();
        state::save(&now.past)
    }

    fn load_state(&mut self, state: Saved) -> Result<()> {
        self.restored = !state.is_empty();
        state::load(&mut self.past, state)
    }

    fn withdraws_stop(&self, saved: &Value) -> Result<bool> {
        let mut restored = Self { past: Elapsed::default(), since: HashMap::new(), ..self.clone() };
        state::load(&mut restored.past, saved.clone())?;
        Ok(!restored.is_over())
    }

    fn setup(&mut self, _ctx: &mut Context<'_>, _module: &mut M, stage: Stage) -> Result<()> {
        self.since.clear();
        if stage != Stage::Fit {
            return Ok(());
        }
        self.misread.check()?;
        match self.limit {
            Some(limit) if limit.0.is_zero() => Err(Error::config("Timer", "the limit is zero", "leave it out, or give a longer one")),
            _ => Ok(()),
        }
    }

    fn on_exception(&mut self, _ctx: &mut Context<'_>, _module: &mut M, _error: &Error) -> Result<()> {
        // The next fit is another one.
        self.restored = false;
        Ok(())
    }

    fn on_fit_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        if !std::mem::take(&mut self.restored) {
            self.past = Elapsed::default();
        }
        if !self.is_over() && self.past.stop.take().is_some() {
            ctx.withdraw_stop();
        }
        self.check(ctx);
        Ok(())
    }

    fn on_train_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.begin(ctx, RunningStage::Train);
        Ok(())
    }

    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        if self.interval == Interval::Step {
            self.check(ctx);
        }
        Ok(())
    }

    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        if self.interval == Interval::Epoch {
            self.check(ctx);
        }
        Ok(())
    }

    fn on_train_end(&mut self, _ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.end(RunningStage::Train);
        Ok(())
    }

    fn on_validation_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.begin(ctx, validating(ctx));
        Ok(())
    }

    fn on_validation_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.end(validating(ctx));
        Ok(())
    }

    fn on_test_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.begin(ctx, RunningStage::Test);
        Ok(())
    }

    fn on_test_end(&mut self, _ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.end(RunningStage::Test);
        Ok(())
    }

    fn on_predict_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.begin(ctx, RunningStage::Predict);
        Ok(())
    }

    fn on_predict_end(&mut self, _ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.end(RunningStage::Predict);
        Ok(())
    }

    fn teardown(&mut self, _ctx: &mut Context<'_>, _module: &mut M, _stage: Stage) -> Result<()> {
        // An error ends a stage without an event, so the clocks stop here.
        self.end_all();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use stormfire_module::{Event, for_trainer::ChangeRequests as _};

    use super::*;
    use crate::testing::{Bench, Line, state_of, text};

    fn spent(stage: RunningStage, seconds: f64) -> Value {
        serde_json::json!({ "time_elapsed": { stage.name(): seconds } })
    }

    fn load(timer: &mut Timer, state: Value) {
        Callback::<Line>::load_state(timer, state.into()).unwrap();
    }

    #[test]
    fn it_stops_at_the_step_or_epoch_that_passes_the_limit() {
        let mut bench = Bench::new();
        let mut timer = Timer::new(Duration::from_nanos(1));
        bench.start(&mut timer).unwrap();
        assert_eq!(bench.stopped(), None);
        bench.train_batch_end(&mut timer).unwrap();
        assert_eq!(bench.stopped().as_deref(), Some("time limit reached; elapsed time is 0:00:00"));

        let mut timer = Timer::new(Duration::from_nanos(1)).interval(Interval::Epoch);
        bench.start(&mut timer).unwrap();
        bench.train_batch_end(&mut timer).unwrap();
        assert_eq!(bench.stopped(), None);
        bench.epoch(&mut timer).unwrap();
        assert!(bench.stopped().is_some());

        bench.run.fast_dev_run = true;
        bench.epoch(&mut timer).unwrap();
        assert_eq!(bench.stopped(), None);
    }

    #[test]
    fn a_limit_of_an_hour_stops_after_an_hour() {
        let _stopped = clock::stop();
        let (mut bench, mut timer) = (Bench::new(), Timer::new("1 hour"));
        bench.start(&mut timer).unwrap();
        clock::advance(Duration::from_secs(3_599));
        bench.train_batch_end(&mut timer).unwrap();
        assert_eq!((bench.stopped(), timer.time_remaining()), (None, Some(Duration::from_secs(1))));
        clock::advance(Duration::from_secs(1));
        bench.train_batch_end(&mut timer).unwrap();
        assert_eq!(bench.stopped().as_deref(), Some("time limit reached; elapsed time is 1:00:00"));
        assert_eq!(Timer::unlimited().time_remaining(), None);
    }

    #[test]
    fn wrong_limits_are_refused_when_the_fit_starts() {
        let refused = |mut timer: Timer| text(&Bench::new().setup(&mut timer).unwrap_err());
        let hint = "write a number with a unit, as `10 minutes` or `12 hours`, or `00:12:00:00` (days:hours:minutes:seconds)";
        let error = refused(Timer::new("12:00:00"));
        assert_eq!(error, format!("`Timer`: cannot read `12:00:00` as a time: it has 3 parts instead of 4 | hint: {hint}"));
        let error = refused(Timer::new("00:00:00:00"));
        assert_eq!(error, "`Timer`: the limit is zero | hint: leave it out, or give a longer one");
        let error = refused(Timer::new("1 hour").interval("batch"));
        assert_eq!(error, "`Timer::interval`: cannot read `batch` as an interval: it is not a known value | hint: write `step` or `epoch`");
    }

    #[test]
    fn a_limit_holds_over_restarts() {
        let (mut bench, mut timer) = (Bench::new(), Timer::new("1 hour"));
        bench.setup(&mut timer).unwrap();
        load(&mut timer, spent(RunningStage::Train, 3_723.0));
        bench.fire(&mut timer, Event::FitStart).unwrap();
        assert_eq!(bench.stopped().as_deref(), Some("time limit reached; elapsed time is 1:02:03"));
        // The next fit is another run.
        bench.start(&mut timer).unwrap();
        assert_eq!(bench.stopped(), None);
    }

    #[test]
    fn a_fit_that_fails_before_it_resumes_leaves_nothing_for_the_next() {
        let (mut bench, mut timer) = (Bench::new(), Timer::new("1 hour"));
        bench.setup(&mut timer).unwrap();
        load(&mut timer, spent(RunningStage::Train, 3_723.0));
        bench.fire(&mut timer, Event::Exception { error: &Error::other("another callback refuses its state") }).unwrap();
        bench.start(&mut timer).unwrap();
        assert_eq!(bench.stopped(), None);
    }

    #[test]
    fn a_longer_limit_takes_back_the_stop_of_the_old_one() {
        let resume = |mut second: Timer| {
            let (mut bench, mut first) = (Bench::new(), Timer::new("1 hour"));
            bench.setup(&mut first).unwrap();
            load(&mut first, spent(RunningStage::Train, 3_600.0));
            bench.fire(&mut first, Event::FitStart).unwrap();
            bench.setup(&mut second).unwrap();
            load(&mut second, state_of(&first));
            bench.fire(&mut second, Event::FitStart).unwrap();
            bench.fire(&mut second, Event::TrainStart).unwrap();
            let kept = state_of(&second).get("stop").is_some();
            let stopped = bench.stopped();
            assert_eq!(stopped.is_some(), kept);
            stopped
        };
        assert_eq!(resume(Timer::new("1 hour")).as_deref(), Some("time limit reached; elapsed time is 1:00:00"));
        assert_eq!(resume(Timer::new("2 hours")), None);
        assert_eq!(resume(Timer::unlimited()), None);
    }

    #[test]
    fn stops_of_different_callbacks_are_independent() {
        let (mut bench, mut timer) = (Bench::new(), Timer::new("1 hour"));
        bench.setup(&mut timer).unwrap();
        load(&mut timer, spent(RunningStage::Train, 3_600.0));
        bench.ask_to_stop("no improvement");
        bench.fire(&mut timer, Event::FitStart).unwrap();
        let requests = &mut bench.run.place.requests;
        assert_eq!(requests.stop().map(|stop| stop.reason.as_str()), Some("no improvement"));
        requests.withdraw_stop("other");
        assert_eq!(requests.stop().map(|stop| stop.by.as_str()), Some("Timer"));
    }

    #[test]
    fn stages_are_measured_each_for_itself() {
        let _stopped = clock::stop();
        let (mut bench, mut timer) = (Bench::new(), Timer::unlimited());
        bench.setup(&mut timer).unwrap();
        load(&mut timer, spent(RunningStage::Validate, 100.0));
        bench.fire(&mut timer, Event::FitStart).unwrap();
        bench.run.moment.stage = RunningStage::SanityCheck;
        bench.fire(&mut timer, Event::ValidationStart).unwrap();
        clock::advance(Duration::from_secs(5));
        bench.fire(&mut timer, Event::ValidationEnd).unwrap();
        bench.run.moment.stage = RunningStage::Train;
        bench.fire(&mut timer, Event::TrainStart).unwrap();
        bench.fire(&mut timer, Event::ValidationStart).unwrap();
        clock::advance(Duration::from_secs(30));
        let running = state_of(&timer);
        assert_eq!(running["time_elapsed"]["train"], 30.0);
        bench.validation_end(&mut timer).unwrap();
        assert_eq!(timer.time_elapsed(RunningStage::Validate), Duration::from_secs(130));
        assert_eq!(timer.time_elapsed(RunningStage::SanityCheck), Duration::from_secs(5));
        // The run fails. The clocks stop nevertheless.
        bench.fire(&mut timer, Event::Teardown { stage: Stage::Fit }).unwrap();
        let train = timer.time_elapsed(RunningStage::Train);
        clock::advance(Duration::from_secs(1));
        assert_eq!((train, timer.time_elapsed(RunningStage::Train)), (Duration::from_secs(30), train));
    }
}
