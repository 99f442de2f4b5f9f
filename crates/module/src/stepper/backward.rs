//! From a loss to gradients: the checks of both, the hooks around the pass, and the pass itself.

use burn::{
    module::Module,
    optim::GradientsParams,
    tensor::{Gradients, Tensor},
};
use stormfire_optim::{
    Optimizers,
    for_trainer::{DriveOptimizer as _, DriveOptimizers as _},
    gradients,
};
use stormfire_values::{Scalar, read::read};

use super::{Stepper, non_finite};
use crate::{
    error::Result,
    evidence::{FiniteCheck, LOSS, add, gradient_of},
    loss_scale::LossScale,
    tape::{check_loss, scaled, walk_back},
};

impl<M: Module> Stepper<'_, M> {
    pub(super) fn backward_of(&mut self, index: usize, module: &mut M, loss: &Tensor<1>) -> Result<GradientsParams> {
        let gradients = self.backward_with(module, loss, |optimizers, walked, module| optimizers.at(index).gradients(walked, module))?;
        self.note_loss(index, loss);
        Ok(gradients)
    }

    pub(super) fn backward_with(
        &mut self,
        module: &mut M,
        loss: &Tensor<1>,
        take: impl FnOnce(&mut Optimizers, Gradients, &M) -> GradientsParams,
    ) -> Result<GradientsParams> {
        check_loss(loss)?;
        self.around_backward(module, loss, |stepper, module| {
            Ok(take(stepper.optimizers, walk_back(&scaled(loss, stepper.plan.loss_scale))?, module))
        })
    }

    /// The hooks and checks of a pass. `pass` gives the gradients.
    pub(super) fn around_backward(
        &mut self,
        module: &mut M,
        loss: &Tensor<1>,
        pass: impl FnOnce(&mut Self, &M) -> Result<GradientsParams>,
    ) -> Result<GradientsParams> {
        let detached = || Scalar::from(loss.clone());
        if self.plan.detect_anomaly && read(&[detached()])?.iter().any(|v| !v.is_finite()) {
            return Err(non_finite(LOSS.into()));
        }
        if self.plan.finite == FiniteCheck::Later && self.ranks.is_none() {
            add(&mut self.evidence.losses, detached());
        }
        self.hooks.on_before_backward(module, loss)?;
        let mut gradients = pass(self, module)?;
        self.check_gradients(&gradients, module)?;
        self.unscale(&mut gradients, module);
        self.hooks.on_after_backward(module, &mut gradients)?;
        Ok(gradients)
    }

    /// The gradients of the loss itself, for the parameters that the optimizer updates. Hooks, sums and optimizers see
    /// no others.
    fn unscale(&self, gradients: &mut GradientsParams, module: &M) {
        // A half float has no digits for the quotient.
        self.hooks.as_parameters(gradients);
        if let Some(LossScale { scale, .. }) = self.plan.loss_scale {
            gradients::divide(gradients, module, &Scalar::Host(scale));
        }
    }

    /// Keeps a loss for the check before the step of this optimizer.
    pub(super) fn note_loss(&mut self, index: usize, loss: &Tensor<1>) {
        // With ranks, the sum of all losses is the evidence: see `sum_window_over_ranks`.
        let is_summed = self.ranks.is_some() && self.plan.finite == FiniteCheck::Later;
        if self.plan.finite == FiniteCheck::BeforeStep || is_summed {
            self.accumulated.add_loss(index, loss.clone().inner());
        }
    }

    fn check_gradients(&self, gradients: &GradientsParams, module: &M) -> Result<()> {
        // Whether a gradient has only overflowed at the scale of the loss is known before the step.
        if !self.plan.detect_anomaly || self.plan.loss_scale.is_some_and(|scale| scale.can_shrink()) {
            return Ok(());
        }
        let paths = gradients::non_finite(gradients, module)?;
        if paths.is_empty() { Ok(()) } else { Err(non_finite(gradient_of(&paths))) }
    }
}
