//! One training batch: what a step returns, and the [`Stepper`] that turns losses into updates.

use std::any::Any;

use burn::{
    module::Module,
    optim::GradientsParams,
    tensor::{DType, Tensor},
};

use crate::{
    error::{Error, Result},
    gradients::{self, Clip, ClipAlgorithm},
    moment::Moment,
    optimizer::Optimizers,
    read::{Scalar, read},
    scope,
};

/// What a step returns: the loss of a training step, and whatever `on_*_batch_end` of module and callbacks should see.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use stormfire_module::StepOutput;
///
/// let loss = Tensor::<1>::from_floats([0.5], &Device::flex());
/// let output: StepOutput = loss.into();
/// assert!(output.loss().is_some());
/// let with_names = output.with(vec!["a".to_string()]);
/// assert_eq!(with_names.payload::<Vec<String>>().map(Vec::len), Some(1));
/// ```
#[derive(Debug, Default)]
pub struct StepOutput {
    loss: Option<Tensor<1>>,
    payload: Option<Box<dyn Any + Send>>,
}

impl StepOutput {
    /// No loss: automatic optimization leaves this batch out of the gradients.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds a value for `on_train_batch_end`, `on_validation_batch_end` or `on_test_batch_end`, such as the predictions.
    pub fn with(mut self, payload: impl Any + Send) -> Self {
        self.payload = Some(Box::new(payload));
        self
    }

    /// The loss, shape `[1]`; detached from the tape in `on_train_batch_end`. That of a validation or test step is for its hooks only.
    pub fn loss(&self) -> Option<&Tensor<1>> {
        self.loss.as_ref()
    }

    /// The value given with [`StepOutput::with`], if it has this type.
    pub fn payload<T: 'static>(&self) -> Option<&T> {
        self.payload.as_ref().and_then(|p| p.downcast_ref())
    }

    /// Lets go of the tape, so that the memory of the batch is free before the callbacks run.
    pub fn detach(mut self) -> Self {
        self.loss = self.loss.map(Tensor::inner);
        self
    }
}

impl From<Tensor<1>> for StepOutput {
    fn from(loss: Tensor<1>) -> Self {
        Self { loss: Some(loss), payload: None }
    }
}

/// The hooks inside of an optimization step. The Trainer passes them on to callbacks and module.
pub trait StepHooks<M> {
    /// A new window of gradients begins.
    fn on_before_zero_grad(&mut self, module: &mut M, optimizer: &str) -> Result<()>;
    /// The gradients of this loss are about to be computed.
    fn on_before_backward(&mut self, module: &mut M, loss: &Tensor<1>) -> Result<()>;
    /// The gradients are known.
    fn on_after_backward(&mut self, module: &mut M, gradients: &mut GradientsParams) -> Result<()>;
    /// The optimizer is about to step.
    fn on_before_optimizer_step(&mut self, module: &mut M, optimizer: &str, gradients: &mut GradientsParams) -> Result<()>;
    /// An optimizer with a schedule has stepped: these rates hold from now on.
    fn learning_rates(&mut self, rates: Vec<(String, f64)>);
}

/// How a batch lies in its window of accumulated gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// It is the first of its window.
    pub opens: bool,
    /// It is the last: the optimizer steps.
    pub closes: bool,
    /// How many batches a full window has; each loss is divided by it.
    pub size: usize,
}

/// Whether the Stepper looks for losses and gradients that are not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FiniteCheck {
    /// Not at all.
    Off,
    /// It leaves [`Evidence`] on the device, for whoever reads it later, and computes nothing for it.
    Later,
    /// Before each step, with one device read: a step from a loss or gradient that is not finite is left out.
    BeforeStep,
}

/// What tells later whether the losses and gradients of a batch were finite: numbers on the device, shape `[1]`, that are
/// finite if and only if what they stand for is.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// For the losses that were walked back; `None` if there were none.
    pub losses: Option<Tensor<1>>,
    /// For the gradients that the optimizers stepped with; `None` if none stepped, or if nobody knows their norm anyhow and
    /// it need not be known before the step.
    pub gradients: Option<Tensor<1>>,
}

/// Adds to one piece of evidence another one. A single one costs nothing.
fn add(evidence: &mut Option<Tensor<1>>, more: Tensor<1>) {
    *evidence = Some(match evidence.take() {
        Some(evidence) => evidence.cast(DType::F32) + more.cast(DType::F32),
        None => more,
    });
}

/// What the Stepper needs from the run's options.
#[derive(Clone, Copy, Debug)]
pub struct StepPlan {
    /// The batch in its window.
    pub window: Window,
    /// Gradient clipping.
    pub clip: Option<Clip>,
    /// Check loss and gradients of every batch, at the price of device reads.
    pub detect_anomaly: bool,
    /// Whether and when losses and gradients are looked at.
    pub finite: FiniteCheck,
}

/// Turns losses into parameter updates during one training batch.
///
/// Automatic optimization uses it for you. A module that overrides
/// [`training_batch`](crate::LightningModule::training_batch) calls [`Stepper::step`] for each loss:
///
/// ```
/// # use burn::{nn::Linear, optim::AdamConfig, prelude::*};
/// # use stormfire_module::{LightningModule, Optimizer, Optimizers, Result, StepOutput, Stepper};
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
pub struct Stepper<'a, M> {
    optimizers: &'a mut Optimizers,
    accumulated: &'a mut Option<GradientsParams>,
    hooks: &'a mut dyn StepHooks<M>,
    plan: StepPlan,
    stepped: bool,
    skipped: Option<String>,
    evidence: Evidence,
}

impl<'a, M: Module> Stepper<'a, M> {
    /// A stepper for one batch. `accumulated` lives as long as the fit: it carries gradients from batch to batch.
    pub fn new(
        optimizers: &'a mut Optimizers,
        accumulated: &'a mut Option<GradientsParams>,
        hooks: &'a mut dyn StepHooks<M>,
        plan: StepPlan,
    ) -> Self {
        Self { optimizers, accumulated, hooks, plan, stepped: false, skipped: None, evidence: Evidence::default() }
    }

    /// Whether an optimizer has stepped in this batch. With `on_non_finite = "skip:n"` a step may be left out.
    pub fn has_stepped(&self) -> bool {
        self.stepped
    }

    /// What was not finite, if an optimizer left out its step for it ([`FiniteCheck::BeforeStep`]).
    pub fn skipped(&mut self) -> Option<String> {
        self.skipped.take()
    }

    /// What tells later whether the batch was fine, if [`FiniteCheck::Later`] asked for it.
    pub fn evidence(&mut self) -> Evidence {
        std::mem::take(&mut self.evidence)
    }

    /// One optimization step: backward, clipping, hooks, and the update of this optimizer's own parameters.
    ///
    /// # Errors
    /// An optimizer of that name is missing, the loss has no tape, accumulation was asked for (which the Trainer can
    /// only do in automatic optimization), or a hook failed.
    pub fn step(&mut self, optimizer: &str, module: &mut M, loss: &Tensor<1>) -> Result<()> {
        if self.plan.window.size > 1 {
            return Err(Error::config(
                "accumulate_grad_batches",
                "gradients are accumulated by automatic optimization only",
                "leave it at 1, and accumulate with `Stepper::backward` and `Stepper::apply`",
            ));
        }
        let index = self.optimizers.index_of(optimizer)?;
        let gradients = self.backward_of(index, module, loss)?;
        self.apply_to(index, module, gradients)
    }

    /// The gradients of a loss for the parameters of one optimizer, with the hooks around it: the first half of
    /// [`Stepper::step`]. A tape can be walked back once only.
    ///
    /// # Errors
    /// As [`Stepper::step`].
    pub fn backward(&mut self, optimizer: &str, module: &mut M, loss: &Tensor<1>) -> Result<GradientsParams> {
        let index = self.optimizers.index_of(optimizer)?;
        self.backward_of(index, module, loss)
    }

    fn backward_of(&mut self, index: usize, module: &mut M, loss: &Tensor<1>) -> Result<GradientsParams> {
        self.check_loss(loss)?;
        if self.plan.finite != FiniteCheck::Off {
            add(&mut self.evidence.losses, loss.clone().inner());
        }
        self.hooks.on_before_backward(module, loss)?;
        let mut gradients = self.optimizers.at(index).gradients(loss.backward(), module);
        self.check_gradients(&gradients, module)?;
        self.hooks.on_after_backward(module, &mut gradients)?;
        Ok(gradients)
    }

    /// Clips gradients and updates one optimizer's parameters with them: the second half of [`Stepper::step`].
    ///
    /// # Errors
    /// As [`Stepper::step`].
    pub fn apply(&mut self, optimizer: &str, module: &mut M, gradients: GradientsParams) -> Result<()> {
        let index = self.optimizers.index_of(optimizer)?;
        self.apply_to(index, module, gradients)
    }

    fn apply_to(&mut self, index: usize, module: &mut M, mut gradients: GradientsParams) -> Result<()> {
        let optimizer = self.optimizers.at(index);
        self.hooks.on_before_optimizer_step(module, optimizer.name(), &mut gradients)?;
        let norm = match self.plan.clip {
            Some(Clip { algorithm: ClipAlgorithm::Norm, .. }) => gradients::global_norm(&gradients, module),
            _ => None,
        };
        // A norm that is known anyhow is as good a witness as any.
        let witness = match self.plan.finite {
            FiniteCheck::Off => None,
            FiniteCheck::Later => norm.clone(),
            FiniteCheck::BeforeStep => norm.clone().or_else(|| gradients::total(&gradients, module)),
        };
        if let Some(witness) = witness {
            add(&mut self.evidence.gradients, witness);
        }
        if self.plan.finite == FiniteCheck::BeforeStep
            && let Some(what) = not_finite(std::mem::take(&mut self.evidence), &gradients, module)?
        {
            self.skipped = Some(what);
            return Ok(());
        }
        match (self.plan.clip, norm) {
            (Some(clip), Some(norm)) => gradients::clip_norm(&mut gradients, module, norm, clip.value),
            (Some(clip), None) => gradients::clip(&mut gradients, module, clip),
            (None, _) => {}
        }
        let optimizer = self.optimizers.at(index);
        optimizer.update(module, gradients);
        optimizer.step_schedule()?;
        if optimizer.lr_schedule().is_some() {
            self.hooks.learning_rates(self.optimizers.learning_rates());
        }
        self.stepped = true;
        Ok(())
    }

    /// The learning rate of an optimizer, as it holds now.
    ///
    /// # Errors
    /// [`Error::UnknownOptimizer`].
    pub fn learning_rate(&mut self, optimizer: &str) -> Result<f64> {
        let index = self.optimizers.index_of(optimizer)?;
        Ok(self.optimizers.at(index).learning_rate())
    }

    /// Automatic optimization of one batch, after its training step: the body of the default `training_batch`.
    ///
    /// # Errors
    /// As [`Stepper::step`]; several optimizers need a `training_batch` of your own.
    pub fn automatic(&mut self, module: &mut M, output: &StepOutput) -> Result<()> {
        if self.optimizers.len() > 1 {
            return Err(Error::config(
                "configure_optimizers",
                format!("{} optimizers, but automatic optimization knows one", self.optimizers.len()),
                "override `training_batch` and call `Stepper::step` with each optimizer's name",
            ));
        }
        if self.optimizers.is_empty() {
            return Ok(());
        }
        if self.plan.window.opens {
            self.hooks.on_before_zero_grad(module, self.optimizers.at(0).name())?;
            *self.accumulated = None;
        }
        if let Some(loss) = output.loss() {
            let size = self.plan.window.size;
            let gradients = if size > 1 {
                self.backward_of(0, module, &loss.clone().div_scalar(size as f64))?
            } else {
                self.backward_of(0, module, loss)?
            };
            match self.accumulated {
                Some(sum) => gradients::accumulate(sum, gradients, module),
                None => *self.accumulated = Some(gradients),
            }
        }
        match self.accumulated.take() {
            Some(gradients) if self.plan.window.closes => self.apply_to(0, module, gradients),
            kept => {
                *self.accumulated = kept;
                Ok(())
            }
        }
    }

    fn check_loss(&self, loss: &Tensor<1>) -> Result<()> {
        if loss.dims() != [1] {
            return Err(Error::Loss { reason: format!("it has shape {:?} instead of [1]", loss.dims()) });
        }
        if !loss.is_tracked() {
            return Err(Error::Loss { reason: "it does not depend on the module's parameters".into() });
        }
        if self.plan.detect_anomaly && read(&[Scalar::Device(loss.clone().inner())])?.iter().any(|v| !v.is_finite()) {
            return Err(non_finite(LOSS.into()));
        }
        Ok(())
    }

    fn check_gradients(&self, gradients: &GradientsParams, module: &M) -> Result<()> {
        if !self.plan.detect_anomaly {
            return Ok(());
        }
        let paths = gradients::non_finite(gradients, module)?;
        if paths.is_empty() { Ok(()) } else { Err(non_finite(gradient_of(&paths))) }
    }
}

/// What is not finite, if something is. One device read, and a second one for the names.
fn not_finite<M: Module>(evidence: Evidence, gradients: &GradientsParams, module: &M) -> Result<Option<String>> {
    let losses = evidence.losses.is_some();
    let values = read(&[evidence.losses, evidence.gradients].into_iter().flatten().map(Scalar::Device).collect::<Vec<_>>())?;
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(None),
        Some(0) if losses => Ok(Some(LOSS.into())),
        Some(_) => match gradients::non_finite(gradients, module)? {
            paths if paths.is_empty() => Ok(Some("the norm of the gradients".into())),
            paths => Ok(Some(gradient_of(&paths))),
        },
    }
}

const LOSS: &str = "the training loss";

fn gradient_of(paths: &[String]) -> String {
    let named: Vec<_> = paths.iter().map(|path| format!("`{path}`")).collect();
    format!("the gradient of {}", named.join(", "))
}

impl<M> std::fmt::Debug for Stepper<'_, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stepper").field("optimizers", &self.optimizers).field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// The error for a value that is not finite, at this moment of the run.
pub fn non_finite(what: String) -> Error {
    let Moment { epoch, batch_idx, global_step, .. } = scope::moment();
    Error::NonFinite { what, epoch, batch_idx, global_step, parameters: Vec::new() }
}
