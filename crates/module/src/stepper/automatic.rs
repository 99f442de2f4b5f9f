//! Automatic optimization: forward and loss, backward, the sum of the gradients, and the step at the end of a window.

use std::sync::Arc;

use burn::{module::Module, optim::GradientsParams, tensor::Tensor};
use stormfire_optim::{
    for_trainer::{DriveOptimizer as _, DriveOptimizers as _},
    window::weight_of,
};

use super::{DriveStepper as _, Stepper};
use crate::{
    error::{Error, Result},
    parts,
    step_output::StepOutput,
};

impl<M: Module + 'static> Stepper<'_, M> {
    /// Automatic optimization of one batch: the body of the default `training_batch`. `step` is the training step. With
    /// `Trainer::devices`, it runs on the parts of the batch, on several threads.
    ///
    /// # Errors
    /// As [`Stepper::step`], and those of `step`. Several optimizers need a custom `training_batch`.
    pub fn automatic<B: Send + 'static>(
        &mut self,
        module: &mut M,
        batch: B,
        step: impl Fn(&M, B) -> Result<StepOutput> + Send + Sync + 'static,
    ) -> Result<StepOutput> {
        if self.optimizers.len() > 1 {
            return Err(Error::config(
                "configure_optimizers",
                format!("automatic optimization uses one optimizer, but {} are configured", self.optimizers.len()),
                "override `training_batch` and call `Stepper::step` with each optimizer's name",
            ));
        }
        let (output, of_parts) = self.forward(module, batch, step)?;
        if self.optimizers.is_empty() {
            return Ok(output);
        }
        if self.plan.window.opens {
            self.open_window(module)?;
        }
        if let Some(loss) = output.loss() {
            let weight = weight_of(output.given_weight())?;
            let is_divided = of_parts.is_some();
            let gradients = self.backward_pass(module, loss, of_parts)?;
            if is_divided {
                self.accumulated.add_sum(gradients, weight, module);
            } else {
                self.accumulated.add(gradients, weight, module);
            }
        }
        if self.plan.window.closes {
            self.close_window(module)?;
        }
        Ok(output)
    }

    /// [`automatic`](Self::automatic) of a module that leaves the whole batch to it.
    ///
    /// # Errors
    /// As [`automatic`](Self::automatic).
    pub(crate) fn default_batch<B: Send + 'static>(
        &mut self,
        module: &mut M,
        batch: B,
        step: impl Fn(&M, B) -> Result<StepOutput> + Send + Sync + 'static,
    ) -> Result<StepOutput> {
        self.hooks.is_automatic();
        self.automatic(module, batch, step)
    }

    /// The output of the step. If the batch was divided, with the gradients: the threads have not waited for each
    /// other.
    fn forward<B: Send + 'static>(
        &self,
        module: &mut M,
        batch: B,
        step: impl Fn(&M, B) -> Result<StepOutput> + Send + Sync + 'static,
    ) -> Result<(StepOutput, Option<GradientsParams>)> {
        let Some(threads) = &self.threads else {
            return Ok((step(module, batch)?, None));
        };
        let step: parts::Step<M, B, StepOutput> = Arc::new(step);
        let (output, gradients) = parts::train(threads, module, &batch, &step, self.plan.loss_scale)?;
        Ok((output, Some(gradients)))
    }

    /// The gradients of one loss. Those of a divided batch are there already: only their hooks and checks follow.
    fn backward_pass(&mut self, module: &mut M, loss: &Tensor<1>, of_parts: Option<GradientsParams>) -> Result<GradientsParams> {
        if let Some(gradients) = of_parts {
            let own = self.optimizers.at(0).own_of(gradients, module);
            let gradients = self.around_backward(module, loss, |_, _| Ok(own))?;
            self.note_loss(0, loss);
            return Ok(gradients);
        }
        if self.plan.window.size > 1 {
            // burn allows one backward pass per tensor, and a loss may be a parameter, the same in each batch.
            return self.backward_of(0, module, &loss.clone().mul_scalar(1.0));
        }
        self.backward_of(0, module, loss)
    }
}
