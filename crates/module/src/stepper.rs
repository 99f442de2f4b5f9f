//! One training batch: the [`Stepper`] turns losses into updates.

mod apply;
mod automatic;
mod backward;
mod drive;
mod over_ranks;
mod overflow;

use std::sync::Arc;

use burn::{module::Module, optim::GradientsParams, tensor::Tensor};
use stormfire_optim::{
    Optimizer, Optimizers,
    for_trainer::{DriveOptimizer as _, DriveOptimizers as _},
    gradients::{self, Clip},
    window::{Accumulated, StepGradients, Window},
};

pub use over_ranks::OtherRanks;

use crate::{
    error::{Error, Result},
    evidence::{Evidence, FiniteCheck, Skipped, add},
    loss_scale::LossScale,
    moment::Moment,
    scope,
    threads::Threads,
};

pub use drive::DriveStepper;

/// The hooks within an optimization step. The Trainer passes them to callbacks and module.
pub trait StepHooks<M> {
    /// [`Callback::on_before_zero_grad`](crate::Callback::on_before_zero_grad).
    fn on_before_zero_grad(&mut self, module: &mut M, optimizer: &str) -> Result<()>;
    /// [`Callback::on_before_backward`](crate::Callback::on_before_backward).
    fn on_before_backward(&mut self, module: &mut M, loss: &Tensor<1>) -> Result<()>;
    /// Casts the gradients of a loss to the types of the parameters that the optimizer updates. By default, these are
    /// the parameters of the module, whose types the gradients have.
    fn as_parameters(&self, _gradients: &mut GradientsParams) {}
    /// [`Callback::on_after_backward`](crate::Callback::on_after_backward).
    fn on_after_backward(&mut self, module: &mut M, gradients: &mut GradientsParams) -> Result<()>;
    /// [`Callback::on_before_optimizer_step`](crate::Callback::on_before_optimizer_step).
    fn on_before_optimizer_step(&mut self, module: &mut M, optimizer: &str, gradients: &mut GradientsParams) -> Result<()>;
    /// Why the step that the last hook was about is to be skipped. All ranks get the same answer.
    fn asked_to_skip(&mut self) -> Result<Option<String>>;
    /// The optimizer steps with these gradients.
    fn update(&mut self, module: &mut M, optimizer: &mut Optimizer, gradients: StepGradients)
    where
        M: Module,
    {
        optimizer.update(module, gradients);
    }
    /// In this batch nothing changes the module but the optimizer and these hooks: `training_batch` is the default.
    fn is_automatic(&mut self) {}
    /// An optimizer with a schedule has stepped: these rates apply from now on.
    fn learning_rates(&mut self, rates: Vec<(String, f64)>);
}

/// The run's options for the Stepper.
#[derive(Clone, Copy, Debug)]
pub struct StepPlan {
    /// The position of the batch in its window.
    pub window: Window,
    /// Gradient clipping.
    pub clip: Option<Clip>,
    /// Whether to check loss and gradients of every batch, which needs device reads.
    pub detect_anomaly: bool,
    /// Whether and when losses and gradients are checked.
    pub finite: FiniteCheck,
    /// The factor by which a loss is multiplied before its backward pass. The gradients are divided by it before
    /// [`StepHooks::on_after_backward`], and checked before each step: those of a wide loss may not fit into `f16`.
    pub loss_scale: Option<LossScale>,
}

/// Converts losses into parameter updates during one training batch.
///
/// Automatic optimization uses it. A module that overrides [`training_batch`](crate::LightningModule::training_batch)
/// calls [`Stepper::step`] for each loss:
///
/// ```
/// # use burn::{nn::Linear, optim::AdamConfig, prelude::*};
/// # use stormfire_module::{LightningModule, Result, StepOutput, Stepper};
/// # use stormfire_optim::{Optimizer, Optimizers};
/// #[derive(Module, Debug)]
/// struct Gan { generator: Linear, critic: Linear }
///
/// impl LightningModule for Gan {
///     type Batch = Tensor<2>;
///
///     fn training_batch(&mut self, real: Tensor<2>, batch_idx: usize, opt: &mut Stepper<'_, Self>) -> Result<StepOutput> {
///         let noise = real.random_like(burn::tensor::Distribution::Default);
///         let fake = self.generator.forward(noise.clone()).detach();
///         let loss = (self.critic.forward(fake) - self.critic.forward(real)).mean();
///         self.log("critic_loss", &loss);
///         opt.step("critic", self, &loss)?;
///         if batch_idx.is_multiple_of(5) {
///             let loss = self.critic.forward(self.generator.forward(noise)).mean().neg();
///             self.log("generator_loss", &loss);
///             opt.step("generator", self, &loss)?;
///         }
///         Ok(StepOutput::none())
///     }
///
///     fn configure_optimizers(&self) -> Result<Optimizers> {
///         let adam = |name| Optimizer::new(AdamConfig::new(), 2e-4).named(name);
///         Ok([adam("generator").params_of(&self.generator), adam("critic").params_of(&self.critic)].into())
///     }
/// }
/// ```
///
#[doc = include_str!("../docs/stepper.md")]
pub struct Stepper<'a, M> {
    optimizers: &'a mut Optimizers,
    accumulated: &'a mut Accumulated,
    hooks: &'a mut dyn StepHooks<M>,
    plan: StepPlan,
    threads: Option<Arc<Threads>>,
    ranks: Option<OtherRanks>,
    stepped: bool,
    skipped: Option<Skipped>,
    overflowed: bool,
    evidence: Evidence,
}

impl<M: Module> Stepper<'_, M> {
    /// Whether an optimizer has stepped in this batch. With `on_non_finite = "skip:n"` a step may be skipped.
    pub fn has_stepped(&self) -> bool {
        self.stepped
    }

    /// An optimization step: backward, clipping, hooks, and the update of this optimizer's parameters.
    ///
    /// # Errors
    /// If no optimizer has that name, the loss has no autodiff graph, accumulation is enabled (which requires automatic
    /// optimization), or a hook fails.
    pub fn step(&mut self, optimizer: &str, module: &mut M, loss: &Tensor<1>) -> Result<()> {
        if self.plan.window.size > 1 {
            return Err(Error::config(
                "accumulate_grad_batches",
                "only automatic optimization accumulates gradients",
                "leave it at 1, and accumulate with `Stepper::backward` and `Stepper::apply`",
            ));
        }
        self.refuse_threads()?;
        let index = self.optimizers.index_of(optimizer)?;
        let params = self.backward_of(index, module, loss)?;
        self.apply_with_ranks(index, module, StepGradients { params, is_sum: false })
    }

    /// The gradients of a loss for the parameters of one optimizer, with the hooks around it: the first half of
    /// [`Stepper::step`]. Each loss supports only one backward pass. For one loss and several optimizers, use
    /// [`Stepper::backward_all`].
    ///
    /// # Errors
    /// As [`Stepper::step`].
    pub fn backward(&mut self, optimizer: &str, module: &mut M, loss: &Tensor<1>) -> Result<GradientsParams> {
        self.refuse_threads()?;
        let index = self.optimizers.index_of(optimizer)?;
        self.backward_of(index, module, loss)
    }

    /// The gradients of one loss for every optimizer, from one backward pass, with the hooks around it. Apply each with
    /// [`Stepper::apply`]:
    ///
    /// ```
    /// # use burn::{nn::Linear, optim::AdamConfig, prelude::*};
    /// # use stormfire_module::{LightningModule, Result, StepOutput, Stepper};
    /// # #[derive(Module, Debug)]
    /// # struct Net { body: Linear, head: Linear }
    /// impl LightningModule for Net {
    ///     # type Batch = Tensor<2>;
    ///     fn training_batch(&mut self, batch: Tensor<2>, _batch_idx: usize, opt: &mut Stepper<'_, Self>) -> Result<StepOutput> {
    ///         let loss = self.head.forward(self.body.forward(batch)).mean();
    ///         for (optimizer, gradients) in opt.backward_all(self, &loss)? {
    ///             opt.apply(&optimizer, self, gradients)?;
    ///         }
    ///         Ok(loss.into())
    ///     }
    ///     // ... `configure_optimizers` returns one for the body and one for the head.
    /// }
    /// ```
    ///
    /// The order is that of `configure_optimizers`. `on_before_backward` and `on_after_backward` are called once, with
    /// all gradients. With `on_non_finite = "skip:n"` a value that is not finite skips the steps of all of them.
    ///
    /// # Errors
    /// As [`Stepper::step`].
    pub fn backward_all(&mut self, module: &mut M, loss: &Tensor<1>) -> Result<Vec<(String, GradientsParams)>> {
        self.refuse_threads()?;
        let all = self.backward_with(module, loss, |_, walked, module| GradientsParams::from_grads(walked, module))?;
        let share = |optimizer: &Optimizer| (optimizer.name().to_owned(), optimizer.share_of(&all, module));
        let shares: Vec<_> = self.optimizers.iter().map(share).collect();
        if self.plan.finite == FiniteCheck::BeforeStep && self.ranks.is_some() {
            // Each step sums its evidence over the ranks.
            let totals: Vec<_> = shares.iter().filter_map(|(_, share)| gradients::total(share, module)).collect();
            for index in 0..shares.len() {
                let evidence = std::iter::once(loss.clone().inner()).chain(totals.iter().cloned());
                evidence.for_each(|piece| self.accumulated.add_loss(index, piece));
            }
        } else if self.plan.finite == FiniteCheck::BeforeStep {
            let mut evidence = Evidence { losses: Some(loss.clone().into()), gradients: None };
            for total in shares.iter().filter_map(|(_, share)| gradients::total(share, module)) {
                add(&mut evidence.gradients, total.into());
            }
            if let Some(what) = evidence.what_is_not_finite(&all, module)? {
                self.accumulated.bad_pass = vec![Some(what); shares.len()];
            }
        }
        Ok(shares)
    }

    /// Only automatic optimization knows which work can be divided.
    fn refuse_threads(&self) -> Result<()> {
        self.threads.as_ref().map_or(Ok(()), |threads| {
            let reason = format!("a `training_batch` with manual optimization cannot be divided among {} threads", threads.count());
            Err(Error::config("devices", reason, "use `devices(1)`, or leave the step to `Stepper::automatic`"))
        })
    }

    /// Clips gradients and updates one optimizer's parameters: the second half of [`Stepper::step`].
    ///
    /// # Errors
    /// As [`Stepper::step`].
    pub fn apply(&mut self, optimizer: &str, module: &mut M, gradients: GradientsParams) -> Result<()> {
        let index = self.optimizers.index_of(optimizer)?;
        // The caller may have added them up.
        self.apply_with_ranks(index, module, StepGradients { params: gradients, is_sum: true })
    }

    /// The current learning rate of an optimizer.
    ///
    /// # Errors
    /// [`Error::Optimizer`] if no optimizer has this name.
    pub fn learning_rate(&mut self, optimizer: &str) -> Result<f64> {
        let index = self.optimizers.index_of(optimizer)?;
        Ok(self.optimizers.at(index).learning_rate())
    }
}

impl<M> std::fmt::Debug for Stepper<'_, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stepper").field("optimizers", &self.optimizers).field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// The error for a value that is not finite, at the current moment of the run.
pub(crate) fn non_finite(what: String) -> Error {
    let Moment { epoch, batch_idx, global_step, .. } = scope::moment();
    Error::NonFinite { what, epoch, batch_idx, global_step, parameters: Vec::new() }
}
