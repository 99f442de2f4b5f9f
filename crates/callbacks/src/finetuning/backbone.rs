//! Trains a pretrained part of a module later and slower than the rest.

use serde::{Deserialize, Serialize};
use stormfire_module::{
    Callback, Context, Error, LightningModule, Result, Stage,
    state::{self, Saved},
};
use stormfire_optim::{Patterns, RateOf};

use super::{Finetuning, require_rate};

/// Freezes the backbone, unfreezes it at an epoch with a low learning rate, and raises the rate at each later epoch.
/// As Lightning's callback, for a part of the module with any name.
///
/// ```
/// use stormfire_callbacks::BackboneFinetuning;
///
/// let finetuning = BackboneFinetuning::new("backbone").unfreeze_at_epoch(5).initial_ratio(0.1).lambda(|_epoch| 1.5);
/// # let _ = finetuning;
/// ```
///
/// The rate of the backbone is that of the first optimizer times [`initial_ratio`](Self::initial_ratio) at first. Then
/// each epoch multiplies it by [`lambda`](Self::lambda). It is at most the rate of the optimizer, unless
/// [`align`](Self::align) is off. It replaces the rates of schedule and group, and is logged as `lr-AdamW/backbone`.
///
/// # Errors
/// As [`Finetuning`], and [`Error::Config`](stormfire_module::Error::Config) for an invalid rate.
pub struct BackboneFinetuning {
    part: Patterns,
    inner: Finetuning,
    epoch: usize,
    lambda: Box<dyn Fn(usize) -> f64>,
    initial_ratio: f64,
    initial_lr: Option<f64>,
    align: bool,
    now: Rate,
}

/// The state: the current rate of the backbone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Rate {
    rate: Option<f64>,
}

impl BackboneFinetuning {
    /// Unfreezes these parameters at epoch 10, with a tenth of the learning rate, which doubles with each epoch.
    pub fn new(backbone: impl Into<Patterns>) -> Self {
        let part: Patterns = backbone.into();
        Self {
            inner: Finetuning::new(part.clone()),
            part,
            epoch: 10,
            lambda: Box::new(|_| 2.0),
            initial_ratio: 0.1,
            initial_lr: None,
            align: true,
            now: Rate::default(),
        }
    }

    /// The 0-based epoch at whose start the backbone is unfrozen. Default 10.
    pub fn unfreeze_at_epoch(mut self, epoch: usize) -> Self {
        self.epoch = epoch;
        self
    }

    /// The factor of the rate from one epoch to the next. It gets the 0-based number of the next epoch, as in
    /// Lightning. Default 2.
    pub fn lambda(mut self, factor: impl Fn(usize) -> f64 + 'static) -> Self {
        self.lambda = Box::new(factor);
        self
    }

    /// The first rate of the backbone, as a share of the current rate of the optimizer. Default 0.1.
    pub fn initial_ratio(mut self, ratio: f64) -> Self {
        self.initial_ratio = ratio;
        self
    }

    /// The first rate of the backbone, in place of a ratio.
    pub fn initial_lr(mut self, lr: f64) -> Self {
        self.initial_lr = Some(lr);
        self
    }

    /// Whether the rate stays at the rate of the optimizer once it has reached it. Default `true`.
    pub fn align(mut self, on: bool) -> Self {
        self.align = on;
        self
    }

    /// As [`Finetuning::train_bn`].
    pub fn train_bn(mut self, on: bool) -> Self {
        self.inner = self.inner.train_bn(on);
        self
    }

    /// The rate of the backbone in an epoch, with this rate of the optimizer.
    fn rate(&self, epoch: usize, of_optimizer: f64) -> Option<f64> {
        if epoch == self.epoch {
            return Some(self.initial_lr.unwrap_or(of_optimizer * self.initial_ratio));
        }
        let next = (self.lambda)(epoch + 1) * self.now.rate?;
        Some(if self.align { next.min(of_optimizer) } else { next })
    }
}

impl<M: LightningModule> Callback<M> for BackboneFinetuning {
    fn setup(&mut self, ctx: &mut Context<'_>, module: &mut M, stage: Stage) -> Result<()> {
        if stage == Stage::Fit {
            require_rate("BackboneFinetuning::initial_ratio", self.initial_ratio)?;
            require_rate("BackboneFinetuning::initial_lr", self.initial_lr.unwrap_or_default())?;
            // Those of later epochs become known with them.
            require_rate("BackboneFinetuning::lambda", (self.lambda)(self.epoch.saturating_add(2)))?;
            self.now = Rate::default();
            self.inner.stages = vec![(self.epoch, self.part.clone())];
        }
        self.inner.setup(ctx, module, stage).map_err(|error| match error {
            Error::Config(refused) => Error::config("BackboneFinetuning::new", refused.reason, refused.hint),
            other => other,
        })
    }

    fn on_fit_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        self.inner.on_fit_start(ctx, module)
    }

    fn on_train_epoch_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        self.inner.on_train_epoch_start(ctx, module)?;
        let epoch = ctx.current_epoch();
        let of_optimizer = ctx.learning_rates().first().map(|(_, rate)| *rate);
        if epoch >= self.epoch
            && let Some(rate) = of_optimizer.and_then(|of_optimizer| self.rate(epoch, of_optimizer))
        {
            self.now.rate = Some(rate);
            ctx.set_learning_rate(RateOf::Params(self.part.clone()), rate);
        }
        Ok(())
    }

    fn state(&self) -> Result<Saved> {
        state::save(&self.now)
    }

    fn load_state(&mut self, state: Saved) -> Result<()> {
        self.inner.is_loaded = true;
        state::load(&mut self.now, state)
    }
}

impl std::fmt::Debug for BackboneFinetuning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackboneFinetuning").field("part", &self.part).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}
