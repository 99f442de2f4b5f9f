//! A running average of the weights.

use serde::{Deserialize, Serialize};
use stormfire_module::{
    Callback, Context, LightningModule, Order, Result, Stage, StepOutput,
    state::{self, Saved},
};
use stormfire_values::{
    Every,
    text::{Misread, TextError},
};

use super::{
    averages::Averages,
    pace::{Pace, Seen},
    rule::Rule,
};

/// Averages the weights after the optimizer steps. The average is in force in place of the trained weights: it is
/// validated, monitored, saved in every checkpoint, and used by `validate`, `test`, `predict` and
/// `load_from_checkpoint`. The training itself is not changed by a single bit, and a resumed fit continues with the
/// trained weights.
///
/// All averaged weights count the same. [`Ema`](crate::Ema) is the exponential average.
///
/// ```
/// use stormfire_callbacks::WeightAveraging;
///
/// let of_every_step = WeightAveraging::new();
/// let of_later_epochs = WeightAveraging::new().start_after("10 epochs").every("1 epoch");
/// # let _ = (of_every_step, of_later_epochs);
/// ```
///
/// * An average is updated once for each optimizer step, also with accumulated gradients. A skipped step is not
///   averaged. Before the first update, the trained weights are in force.
/// * Weights in `bf16` or `f16` are averaged in `f32`. With the precision `bf16-mixed`, these are the masters.
/// * Running statistics, such as those of a `BatchNorm`, are the current ones of the training
///   ([`average_buffers`](Self::average_buffers) changes that). So are parameters that were never trained.
/// * It needs the memory of one more copy of the trained weights, and never waits for the device.
/// * Every rank has the average, because all have the same weights.
///
/// # Errors
/// [`Error::Config`](stormfire_module::Error::Config) at the start of the fit for an invalid option, and for two
/// callbacks that average.
pub struct WeightAveraging {
    rule: Rule,
    pace: Pace,
    warms_up: bool,
    averages_buffers: bool,
    misread: Misread,
    seen: Seen,
    averages: Averages,
    /// The state of a checkpoint, until the module is known.
    loaded: Option<(Saved, Vec<String>)>,
    /// Whether a fit is counted.
    has_begun: bool,
    /// The state of [`StochasticWeightAveraging`](super::StochasticWeightAveraging), once it has started.
    pub(super) annealed: Option<Annealed>,
    /// The name of the callback in errors.
    name: &'static str,
}

#[derive(Default, Serialize, Deserialize)]
struct SavedAverage {
    seen: Seen,
    /// The paths of renewed running statistics.
    #[serde(default)]
    fixed: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    annealed: Option<Annealed>,
}

/// The learning rates of a fit before their annealing, and the epoch in which it started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Annealed {
    pub(super) first: usize,
    pub(super) before: Vec<(String, f64)>,
}

impl Default for WeightAveraging {
    fn default() -> Self {
        Self::of("WeightAveraging", Rule::Mean)
    }
}

impl WeightAveraging {
    /// Averages the weights of all optimizer steps equally.
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn of(name: &'static str, rule: Rule) -> Self {
        Self {
            rule,
            pace: Pace::default(),
            warms_up: false,
            averages_buffers: false,
            misread: Misread::default(),
            seen: Seen::default(),
            averages: Averages::default(),
            loaded: None,
            has_begun: false,
            annealed: None,
            name,
        }
    }

    pub(super) fn set_half_life(&mut self, period: impl TryInto<Every, Error: Into<TextError>>) {
        if let Some(period) = self.misread.read("Ema::half_life", period) {
            self.rule = Rule::HalfLife(period);
        }
    }

    pub(super) fn set_warm_up(&mut self, on: bool) {
        self.warms_up = on;
    }

    /// The weight of a new value in the average, by the number of values before it: `|n| 1.0 / (n + 1) as f64` is the
    /// mean. The first value is copied.
    pub fn share(mut self, share: impl Fn(u64) -> f64 + 'static) -> Self {
        self.rule = Rule::Custom(Box::new(share));
        self
    }

    /// Leaves out the start of the training: `"1000 steps"` or `"2 epochs"`.
    pub fn start_after(mut self, start: impl TryInto<Every, Error: Into<TextError>>) -> Self {
        self.pace.start_after = self.misread.read("WeightAveraging::start_after", start).or(self.pace.start_after);
        self
    }

    /// How often the average is updated, counted from the start of the training: a number of steps or epochs, such as
    /// `"10 steps"`. Default: after each optimizer step.
    pub fn every(mut self, every: impl TryInto<Every, Error: Into<TextError>>) -> Self {
        self.misread.set("WeightAveraging::every", &mut self.pace.every, every);
        self
    }

    /// Whether running statistics are averaged like the weights. By default, those of the training are used.
    pub fn average_buffers(mut self, on: bool) -> Self {
        self.averages_buffers = on;
        self
    }

    /// Number of updates in the current or newest fit.
    pub fn updates(&self) -> u64 {
        self.seen.updates
    }

    pub(super) fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// Whether the running statistics of the average are not renewed yet.
    pub(super) fn lacks_statistics(&self) -> bool {
        self.seen.updates > 0 && self.averages.fixed().is_empty()
    }

    pub(super) fn fix_statistics<M: LightningModule>(&mut self, module: &M) {
        self.averages.fix(module);
    }

    fn load<M: LightningModule>(&mut self, module: &M) -> Result<()> {
        match self.loaded.take() {
            Some((saved, fixed)) if self.seen.updates > 0 => self.averages.load(saved, &fixed, module, self.name),
            _ => Ok(()),
        }
    }

    fn update<M: LightningModule>(&mut self, ctx: &Context<'_>, module: &M, ends_epoch: bool) {
        let updates = self.seen.updates;
        if let Some(since) = self.pace.is_due(&mut self.seen, ctx, ends_epoch) {
            let share = self.rule.share(updates, since, ctx.limits().train_batches, self.warms_up);
            self.averages.update(module, share, self.averages_buffers);
        }
    }
}

impl<M: LightningModule> Callback<M> for WeightAveraging {
    /// After hooks that change the weights.
    fn order(&self) -> Order {
        Order::Watch
    }

    fn setup(&mut self, ctx: &mut Context<'_>, _module: &mut M, stage: Stage) -> Result<()> {
        if stage == Stage::Fit {
            self.misread.check()?;
            self.rule.check(self.name)?;
            self.pace.check(self.name)?;
            (self.averages, self.loaded, self.has_begun, self.annealed) = (Averages::default(), None, false, None);
            self.seen = Pace::begin(ctx);
        }
        Ok(())
    }

    fn on_load_checkpoint(
        &mut self,
        _ctx: &mut Context<'_>,
        module: &mut M,
        _checkpoint: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<()> {
        self.load(module)
    }

    fn on_fit_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.seen = Pace::begin(ctx);
        }
        self.rule.check_length(self.name, ctx)
    }

    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, module: &mut M, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        self.update(ctx, module, false);
        Ok(())
    }

    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        self.update(ctx, module, true);
        Ok(())
    }

    fn on_train_end(&mut self, _ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        if self.seen.updates == 0 {
            tracing::warn!("`{}` has averaged nothing: the fit ended before its start", self.name);
        }
        Ok(())
    }

    fn weights(&mut self, module: &M) -> Result<Option<M>> {
        Ok((self.seen.updates > 0).then(|| self.averages.put_into(module)))
    }

    fn state(&self) -> Result<Saved> {
        if let Some((loaded, _)) = &self.loaded {
            return Ok(loaded.clone());
        }
        if !self.has_begun {
            return Ok(Saved::default());
        }
        let saved = state::save(&SavedAverage { seen: self.seen, fixed: self.averages.fixed(), annealed: self.annealed.clone() })?;
        Ok(self.averages.add_to(saved, self.pace.leaves_steps_out()))
    }

    fn load_state(&mut self, state: Saved) -> Result<()> {
        let mut saved = SavedAverage::default();
        state::load(&mut saved, state.json().clone())?;
        let SavedAverage { seen, fixed, annealed } = saved;
        (self.seen, self.annealed, self.loaded, self.has_begun) = (seen, annealed, Some((state, fixed)), true);
        Ok(())
    }
}

impl std::fmt::Debug for WeightAveraging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct(self.name).field("pace", &self.pace).field("updates", &self.seen.updates).finish_non_exhaustive()
    }
}
