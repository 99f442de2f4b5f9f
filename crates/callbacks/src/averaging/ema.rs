//! An exponential average of the weights.

use stormfire_module::{Callback, Context, LightningModule, Order, Result, Stage, StepOutput, state::Saved};
use stormfire_values::{Every, text::TextError};

use super::{rule::Rule, weight_averaging::WeightAveraging};

/// An exponential moving average of the weights, which is in force in place of the trained weights. Everything that
/// [`WeightAveraging`] says applies.
///
/// ```
/// use stormfire_callbacks::Ema;
///
/// let fixed = Ema::new(0.999);
/// let by_period = Ema::half_life("1000 steps").warm_up(true).start_after("1 epoch");
/// # let _ = (fixed, by_period);
/// ```
#[derive(Debug)]
pub struct Ema(WeightAveraging);

impl Ema {
    /// An average that each update moves to `decay · average + (1 - decay) · weights`. The first update copies the
    /// weights. `decay` is in `[0, 1)`.
    pub fn new(decay: f64) -> Self {
        Self(WeightAveraging::of("Ema", Rule::Decay(decay)))
    }

    /// An average in which weights count half as much after each such period: `"1000 steps"`, `"0.5 epochs"`. It does
    /// not depend on how often the average is updated.
    pub fn half_life(period: impl TryInto<Every, Error: Into<TextError>>) -> Self {
        let mut average = WeightAveraging::of("Ema", Rule::Mean);
        average.set_half_life(period);
        Self(average)
    }

    /// Limits the decay of the `n`-th update to `(1 + n) / (10 + n)`, so that the weights of the start soon lose their
    /// influence. Default `false`.
    pub fn warm_up(mut self, on: bool) -> Self {
        self.0.set_warm_up(on);
        self
    }

    /// As [`WeightAveraging::start_after`].
    pub fn start_after(self, start: impl TryInto<Every, Error: Into<TextError>>) -> Self {
        Self(self.0.start_after(start))
    }

    /// As [`WeightAveraging::every`].
    pub fn every(self, every: impl TryInto<Every, Error: Into<TextError>>) -> Self {
        Self(self.0.every(every))
    }

    /// As [`WeightAveraging::average_buffers`].
    pub fn average_buffers(self, on: bool) -> Self {
        Self(self.0.average_buffers(on))
    }

    /// Number of updates in the current or newest fit.
    pub fn updates(&self) -> u64 {
        self.0.updates()
    }
}

impl<M: LightningModule> Callback<M> for Ema {
    fn order(&self) -> Order {
        Callback::<M>::order(&self.0)
    }

    fn setup(&mut self, ctx: &mut Context<'_>, module: &mut M, stage: Stage) -> Result<()> {
        self.0.setup(ctx, module, stage)
    }

    fn on_load_checkpoint(
        &mut self,
        ctx: &mut Context<'_>,
        module: &mut M,
        checkpoint: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<()> {
        self.0.on_load_checkpoint(ctx, module, checkpoint)
    }

    fn on_fit_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        self.0.on_fit_start(ctx, module)
    }

    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, module: &mut M, output: &StepOutput, batch_idx: usize) -> Result<()> {
        self.0.on_train_batch_end(ctx, module, output, batch_idx)
    }

    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        self.0.on_train_epoch_end(ctx, module)
    }

    fn on_train_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        self.0.on_train_end(ctx, module)
    }

    fn weights(&mut self, module: &M) -> Result<Option<M>> {
        self.0.weights(module)
    }

    fn state(&self) -> Result<Saved> {
        Callback::<M>::state(&self.0)
    }

    fn load_state(&mut self, state: Saved) -> Result<()> {
        Callback::<M>::load_state(&mut self.0, state)
    }
}
