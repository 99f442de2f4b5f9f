//! Gradients that have overflowed at the scale of the loss.

use burn::{module::Module, optim::GradientsParams, tensor::Tensor};
use stormfire_optim::gradients;
use stormfire_values::Scalar;

use super::Stepper;
use crate::{
    error::Result,
    evidence::{Evidence, FiniteCheck, LOSS, Skipped, add},
    loss_scale::LossScale,
};

/// Names the gradients that are not finite, with one device read. The losses are checked later, if at all.
pub(super) fn what_has_overflowed<M: Module>(gradients: &GradientsParams, norm: Option<&Tensor<1>>, module: &M) -> Result<Option<String>> {
    let total = norm.cloned().or_else(|| gradients::total(gradients, module));
    Evidence { losses: None, gradients: total.map(Scalar::from) }.what_is_not_finite(gradients, module)
}

impl<M: Module> Stepper<'_, M> {
    /// Notes why an optimizer does not step: the scale of the loss was too large, or its loss or gradients are not
    /// finite.
    pub(super) fn give_up_step(&mut self, what: String) {
        if what != LOSS && self.plan.loss_scale.as_ref().is_some_and(LossScale::can_shrink) {
            self.overflowed = true;
        } else if self.plan.finite == FiniteCheck::BeforeStep {
            self.skipped.get_or_insert(Skipped::NotFinite(what));
        } else {
            // No scale helps. The reaction is decided when the evidence is read.
            self.overflowed = true;
            if self.plan.finite == FiniteCheck::Later {
                add(&mut self.evidence.gradients, Scalar::Host(f64::NAN));
            }
        }
    }
}
