//! The interface of a stepper for a training loop.

use std::sync::Arc;

use burn::module::Module;
use stormfire_optim::{Optimizers, window::Accumulated};

use super::{OtherRanks, StepHooks, StepPlan, Stepper};
use crate::{
    error::Result,
    evidence::{Evidence, Skipped},
    threads::Threads,
};

/// The interface of a stepper for a training loop.
pub trait DriveStepper<'a, M>: Sized {
    /// A stepper for one batch. `accumulated` lives as long as the fit and carries gradients from batch to batch.
    fn new(optimizers: &'a mut Optimizers, accumulated: &'a mut Accumulated, hooks: &'a mut dyn StepHooks<M>, plan: StepPlan) -> Self;

    /// Divides batches among these threads.
    fn divide_among(&mut self, threads: Option<Arc<Threads>>);

    /// Each step is that of all ranks.
    fn step_with(&mut self, ranks: Option<OtherRanks>);

    /// Forgets the gradients of the last window. Also called on a rank without a batch.
    ///
    /// # Errors
    /// As [`Stepper::step`].
    fn open_window(&mut self, module: &mut M) -> Result<()>;

    /// The step at the end of a window, with the mean of its gradients. Without gradients, no optimizer steps. Also
    /// called for an epoch that ends within a window.
    ///
    /// # Errors
    /// As [`Stepper::step`].
    fn close_window(&mut self, module: &mut M) -> Result<()>;

    /// Why an optimizer skipped its step, if one did.
    fn skipped(&mut self) -> Option<Skipped>;

    /// Whether an optimizer has not stepped because its gradients overflowed at this scale of the loss.
    fn has_overflowed(&self) -> bool;

    /// The evidence of this batch, with [`FiniteCheck::Later`](crate::for_trainer::FiniteCheck).
    fn evidence(&mut self) -> Evidence;
}

impl<'a, M: Module> DriveStepper<'a, M> for Stepper<'a, M> {
    fn new(optimizers: &'a mut Optimizers, accumulated: &'a mut Accumulated, hooks: &'a mut dyn StepHooks<M>, plan: StepPlan) -> Self {
        let (threads, ranks, evidence) = (None, None, Evidence::default());
        Self { optimizers, accumulated, hooks, plan, threads, ranks, stepped: false, skipped: None, overflowed: false, evidence }
    }

    fn divide_among(&mut self, threads: Option<Arc<Threads>>) {
        self.threads = threads;
    }

    fn step_with(&mut self, ranks: Option<OtherRanks>) {
        self.ranks = ranks;
    }

    fn open_window(&mut self, module: &mut M) -> Result<()> {
        if let Some(optimizer) = self.optimizers.iter().next() {
            let name = optimizer.name().to_owned();
            self.hooks.on_before_zero_grad(module, &name)?;
            *self.accumulated = Accumulated::default();
        }
        Ok(())
    }

    fn close_window(&mut self, module: &mut M) -> Result<()> {
        self.sum_window_over_ranks(module)?;
        self.accumulated.close(module).map_or(Ok(()), |gradients| self.apply_to(0, module, gradients))
    }

    fn skipped(&mut self) -> Option<Skipped> {
        self.skipped.take()
    }

    fn has_overflowed(&self) -> bool {
        self.overflowed
    }

    fn evidence(&mut self) -> Evidence {
        std::mem::take(&mut self.evidence)
    }
}
