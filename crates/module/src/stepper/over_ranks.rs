//! Steps that several ranks make together.

use burn::module::Module;
use stormfire_optim::{
    bucket::Bucket,
    for_trainer::DriveOptimizers as _,
    window::{Accumulated, OverRanks, StepGradients},
};
use stormfire_ranks::Shared;
use stormfire_values::Scalar;

use super::Stepper;
use crate::{
    error::{Error, Result},
    evidence::{FiniteCheck, add},
};

/// The ranks of a run, at a batch.
#[derive(Clone, Debug)]
pub struct OtherRanks {
    /// The connection with them.
    pub ranks: Shared,
    /// Number of ranks that have a batch now. The last batches of an epoch may be fewer than the ranks.
    pub with_batch: usize,
}

impl OtherRanks {
    fn sum(&self, bucket: Bucket<'_>) -> Result<()> {
        match bucket {
            Bucket::Singles(numbers) => self.ranks.all_reduce(numbers)?,
            Bucket::Doubles(numbers) => self.ranks.all_reduce_f64(numbers)?,
        }
        Ok(())
    }

    /// Manual optimization makes any number of steps in a batch, so a rank without a batch cannot take part.
    fn check_all_have_batches(&self) -> Result<()> {
        let world = self.ranks.world();
        if self.with_batch == world {
            return Ok(());
        }
        let reason = format!("{} of {world} ranks have no batch at the end of the epoch", world - self.with_batch);
        let hint = format!(
            "manual optimization needs a batch on every rank: set `limit_train_batches` to a multiple of {world}, or leave the step to \
             `Stepper::automatic`"
        );
        Err(Error::config("training_batch", reason, hint))
    }
}

impl<M: Module> Stepper<'_, M> {
    /// Adds up the window of automatic optimization over all ranks. Hooks, norm, clipping and checks then see the
    /// gradients of all ranks.
    pub(super) fn sum_window_over_ranks(&mut self, module: &M) -> Result<()> {
        let Some(ranks) = self.ranks.clone() else { return Ok(()) };
        let summed = self.accumulated.sum_over_ranks((0, self.optimizers.len()), module, |bucket| ranks.sum(bucket))?;
        self.note_losses_of_all(0, &summed);
        Ok(())
    }

    /// A step of manual optimization: with the mean of the gradients of all ranks.
    pub(super) fn apply_with_ranks(&mut self, index: usize, module: &mut M, gradients: StepGradients) -> Result<()> {
        let Some(ranks) = self.ranks.clone() else { return self.apply_to(index, module, gradients) };
        ranks.check_all_have_batches()?;
        let mut own = Accumulated::default();
        own.add(gradients.params, Scalar::Host(1.0), module);
        own.take_losses_of(index, self.accumulated);
        let summed = own.sum_over_ranks((index, self.optimizers.len()), module, |bucket| ranks.sum(bucket))?;
        if summed.of_optimizers.get(index).is_none_or(|&count| count < ranks.ranks.world() as f64) {
            let reason = format!("only some ranks step with the optimizer `{}` now", self.optimizers.at(index).name());
            let hint =
                "step with the same optimizers in the same order on all ranks: decide by `batch_idx` or `global_step`, not by the data";
            return Err(Error::config("training_batch", reason, hint));
        }
        self.accumulated.take_losses_of(index, &mut own);
        self.note_losses_of_all(index, &summed);
        own.close(module).map_or(Ok(()), |gradients| self.apply_to(index, module, gradients))
    }

    /// All ranks judge by the same evidence, and come to the same end.
    fn note_losses_of_all(&mut self, index: usize, summed: &OverRanks) {
        if self.plan.finite == FiniteCheck::Later {
            self.accumulated.take_evidence(index);
            if let Some(loss) = summed.loss {
                add(&mut self.evidence.losses, Scalar::Host(loss));
            }
        }
    }
}
