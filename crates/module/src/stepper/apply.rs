//! From gradients to new parameters: norm, check, clip, update.

use burn::{module::Module, optim::GradientsParams, tensor::Tensor};
use stormfire_optim::{
    ClipAlgorithm,
    for_trainer::{DriveOptimizer as _, DriveOptimizers as _},
    gradients::{self, Clip},
    window::StepGradients,
};
use stormfire_values::Scalar;

use super::{Stepper, overflow::what_has_overflowed};
use crate::{
    error::Result,
    evidence::{Evidence, FiniteCheck, add},
};

impl<M: Module> Stepper<'_, M> {
    pub(super) fn apply_to(&mut self, index: usize, module: &mut M, mut gradients: StepGradients) -> Result<()> {
        let optimizer = self.optimizers.at(index);
        self.hooks.on_before_optimizer_step(module, optimizer.name(), &mut gradients.params)?;
        let norm = self.norm_for_clipping(&gradients.params, module);
        if let Some(what) = self.what_is_not_finite(index, &gradients.params, norm.as_ref(), module)? {
            self.give_up_step(what);
            return Ok(());
        }
        self.clip(&mut gradients.params, norm, module);
        self.update(index, module, gradients)
    }

    fn norm_for_clipping(&self, gradients: &GradientsParams, module: &M) -> Option<Tensor<1>> {
        match self.plan.clip {
            Some(Clip { algorithm: ClipAlgorithm::Norm, .. }) => gradients::global_norm(gradients, module),
            _ => None,
        }
    }

    /// Leaves evidence on the device, or checks it now, as the plan says.
    fn what_is_not_finite(
        &mut self,
        index: usize,
        gradients: &GradientsParams,
        norm: Option<&Tensor<1>>,
        module: &M,
    ) -> Result<Option<String>> {
        // A norm that was computed for clipping is also valid evidence.
        match self.plan.finite {
            FiniteCheck::Off | FiniteCheck::Later if self.plan.loss_scale.is_some() => what_has_overflowed(gradients, norm, module),
            FiniteCheck::Off => Ok(None),
            FiniteCheck::Later => {
                if let Some(norm) = norm {
                    add(&mut self.evidence.gradients, norm.clone().into());
                }
                Ok(None)
            }
            FiniteCheck::BeforeStep => {
                let (losses, what) = self.accumulated.take_evidence(index);
                if what.is_some() {
                    return Ok(what);
                }
                let total = norm.cloned().or_else(|| gradients::total(gradients, module));
                Evidence { losses: losses.map(Scalar::from), gradients: total.map(Scalar::from) }.what_is_not_finite(gradients, module)
            }
        }
    }

    fn clip(&self, gradients: &mut GradientsParams, norm: Option<Tensor<1>>, module: &M) {
        match (self.plan.clip, norm) {
            (Some(clip), Some(norm)) => gradients::clip_norm(gradients, module, norm, clip.value),
            (Some(clip), None) => gradients::clip(gradients, module, clip),
            (None, _) => {}
        }
    }

    fn update(&mut self, index: usize, module: &mut M, gradients: StepGradients) -> Result<()> {
        let optimizer = self.optimizers.at(index);
        self.hooks.update(module, optimizer, gradients);
        optimizer.step_schedule()?;
        if optimizer.lr_schedule().is_some() {
            self.hooks.learning_rates(self.optimizers.learning_rates());
        }
        self.stepped = true;
        Ok(())
    }
}
