//! Automatic optimization: forward and loss, backward, the sum of the gradients, and the step at the end of a window.

use std::sync::Arc;

use burn::{module::Module, optim::GradientsParams, tensor::Tensor};

use stormfire_optim::{
    gradients,
    window::{Accumulated, weight_of},
};

use super::{
    Stepper,
    backward::{check_loss, walk_back},
};
use crate::{
    error::{Error, Result},
    parts,
    step_output::StepOutput,
};

/// A training step that has run.
struct Forward<M> {
    output: StepOutput,
    /// The losses of the parts, if the batch was divided: that of the output has no tape then.
    parts: Vec<(M, Tensor<1>)>,
}

impl<M: Module + 'static> Stepper<'_, M> {
    /// Automatic optimization of one batch: the body of the default `training_batch`. `step` is the training step. With
    /// `Trainer::devices`, it runs on the parts of the batch, on several threads.
    ///
    /// # Errors
    /// As [`Stepper::step`], and those of `step`. Several optimizers need a `training_batch` of your own.
    pub fn automatic<B: Send + 'static>(
        &mut self,
        module: &mut M,
        batch: B,
        step: impl Fn(&M, B) -> Result<StepOutput> + Send + Sync + 'static,
    ) -> Result<StepOutput> {
        if self.optimizers.len() > 1 {
            return Err(Error::config(
                "configure_optimizers",
                format!("{} optimizers, but automatic optimization knows one", self.optimizers.len()),
                "override `training_batch` and call `Stepper::step` with each optimizer's name",
            ));
        }
        let forward = self.forward(module, batch, step)?;
        if self.optimizers.is_empty() {
            return Ok(forward.output);
        }
        if self.plan.window.opens {
            self.hooks.on_before_zero_grad(module, self.optimizers.at(0).name())?;
            *self.accumulated = Accumulated::default();
        }
        if let Some(loss) = forward.output.loss().cloned() {
            let weight = weight_of(forward.output.given_weight())?;
            let gradients = self.backward_pass(module, &loss, forward.parts)?;
            self.accumulated.add(gradients, weight, module);
        }
        if self.plan.window.closes {
            self.close_window(module)?;
        }
        Ok(forward.output)
    }

    fn forward<B: Send + 'static>(
        &self,
        module: &mut M,
        batch: B,
        step: impl Fn(&M, B) -> Result<StepOutput> + Send + Sync + 'static,
    ) -> Result<Forward<M>> {
        let Some(threads) = &self.threads else {
            return Ok(Forward { output: step(module, batch)?, parts: Vec::new() });
        };
        let step: parts::Step<M, B, StepOutput> = Arc::new(step);
        let (modules, outputs): (Vec<_>, Vec<_>) = parts::train(threads, module, &batch, &step)?.into_iter().unzip();
        let (output, losses) = StepOutput::of_parts(outputs)?;
        let parts = modules.into_iter().zip(losses).filter_map(|(module, loss)| Some((module, loss?))).collect();
        Ok(Forward { output, parts })
    }

    /// The gradients of one loss, or their sum over the parts of a batch.
    fn backward_pass(&mut self, module: &mut M, loss: &Tensor<1>, parts: Vec<(M, Tensor<1>)>) -> Result<GradientsParams> {
        if parts.is_empty() && self.plan.window.size > 1 {
            // burn allows one backward pass per tensor, and a loss may be a parameter, the same in each batch.
            return self.backward_of(0, module, &loss.clone().mul_scalar(1.0));
        }
        if parts.is_empty() {
            return self.backward_of(0, module, loss);
        }
        let gradients = self.around_backward(module, loss, |stepper, module| stepper.backward_of_parts(module, parts))?;
        self.note_loss(0, loss);
        Ok(gradients)
    }

    /// Each thread walks back from its own loss. The sum is in the order of the parts, whichever thread is faster.
    fn backward_of_parts(&mut self, module: &M, parts: Vec<(M, Tensor<1>)>) -> Result<GradientsParams> {
        let Some(threads) = &self.threads else { return Ok(GradientsParams::new()) };
        parts.iter().try_for_each(|(_, loss)| check_loss(loss))?;
        let job = |(module, loss): (M, Tensor<1>)| move || Ok(GradientsParams::from_module(&mut walk_back(&loss)?, &module));
        let mut sum = GradientsParams::new();
        for gradients in threads.run(parts.into_iter().map(job).collect(), false)? {
            let gradients: Result<GradientsParams> = gradients;
            gradients::accumulate(&mut sum, gradients?, module);
        }
        Ok(self.optimizers.at(0).share_of(&sum, module))
    }

    /// The step at the end of a window, with the mean of its gradients. Without gradients there is no step. Also called
    /// for an epoch that ends within a window.
    ///
    /// # Errors
    /// As [`Stepper::step`].
    pub fn close_window(&mut self, module: &mut M) -> Result<()> {
        self.accumulated.close(module).map_or(Ok(()), |gradients| self.apply_to(0, module, gradients))
    }
}
