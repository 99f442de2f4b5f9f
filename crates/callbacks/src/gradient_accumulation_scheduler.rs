//! Gradient accumulation that changes with the epoch.

use stormfire_module::{Callback, Context, Error, LightningModule, Result, Stage};

/// Changes the number of batches per optimizer step at given epochs.
///
/// ```
/// use stormfire_callbacks::GradientAccumulationScheduler;
///
/// // 1 batch a step in epochs 0 to 3, 4 in epochs 4 to 7, then 8.
/// let schedule = GradientAccumulationScheduler::new([(4, 4), (8, 8)]);
/// # let _ = schedule;
/// ```
///
/// # Errors
/// [`Error::Config`] if the fit starts with an empty schedule, an epoch given twice, a factor of 0, or a Trainer with
/// its own `accumulate_grad_batches`.
#[derive(Clone, Debug)]
pub struct GradientAccumulationScheduler {
    factors: Vec<(usize, usize)>,
}

impl GradientAccumulationScheduler {
    /// Pairs of a 0-based epoch and the number of batches per step from that epoch on. Before the first pair, the
    /// number is 1.
    pub fn new(factors: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut factors: Vec<_> = factors.into_iter().collect();
        factors.sort_by_key(|(epoch, _)| *epoch);
        Self { factors }
    }

    /// The number of batches per optimizer step in an epoch.
    pub fn factor(&self, epoch: usize) -> usize {
        self.factors.iter().rfind(|(from, _)| *from <= epoch).map_or(1, |(_, factor)| *factor)
    }

    fn check(&self, of_trainer: usize) -> Result<()> {
        let fail = |reason: String, hint: &str| Err(Error::config("GradientAccumulationScheduler", reason, hint));
        if self.factors.is_empty() {
            return fail("the schedule is empty".into(), "give pairs of an epoch and a number of batches, as `[(4, 2)]`");
        }
        if let Some((epoch, _)) = self.factors.iter().find(|(_, factor)| *factor == 0) {
            return fail(format!("epoch {epoch} accumulates 0 batches"), "the smallest number is 1, which accumulates nothing");
        }
        if let Some(pair) = self.factors.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return fail(format!("epoch {} is given twice", pair[0].0), "give each epoch once");
        }
        if of_trainer != 1 {
            let reason = format!("the Trainer's `accumulate_grad_batches` is {of_trainer}, and this callback would change it");
            return fail(reason, "leave `accumulate_grad_batches` at 1, or leave this callback out");
        }
        Ok(())
    }
}

impl<M: LightningModule> Callback<M> for GradientAccumulationScheduler {
    fn setup(&mut self, ctx: &mut Context<'_>, _module: &mut M, stage: Stage) -> Result<()> {
        if stage == Stage::Fit { self.check(ctx.run().place.accumulate_grad_batches) } else { Ok(()) }
    }

    fn on_train_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        // A fit resumed in mid-epoch fires no second `on_train_epoch_start`.
        ctx.set_accumulate_grad_batches(self.factor(ctx.current_epoch()));
        Ok(())
    }

    fn on_train_epoch_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        ctx.set_accumulate_grad_batches(self.factor(ctx.current_epoch()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use stormfire_module::Event;

    use super::*;
    use crate::testing::{Bench, text};

    #[test]
    fn the_factor_follows_the_epoch() {
        let mut callback = GradientAccumulationScheduler::new([(4, 8), (2, 4)]);
        let mut bench = Bench::new();
        bench.start(&mut callback).unwrap();
        let mut factors = Vec::new();
        for epoch in 0..6 {
            bench.run.place.progress.epoch = epoch;
            bench.fire(&mut callback, Event::TrainEpochStart).unwrap();
            factors.push(bench.run.place.accumulate_grad_batches);
        }
        assert_eq!(factors, [1, 1, 4, 4, 8, 8]);
    }

    #[test]
    fn a_restart_within_an_epoch_has_the_factor_of_that_epoch() {
        let mut bench = Bench::new();
        bench.run.place.progress.epoch = 3;
        bench.start(&mut GradientAccumulationScheduler::new([(0, 2), (3, 5)])).unwrap();
        assert_eq!(bench.run.place.accumulate_grad_batches, 5);
    }

    #[test]
    fn wrong_schedules_are_refused() {
        let cases = [
            (vec![], 1, "the schedule is empty | hint: give pairs of an epoch and a number of batches, as `[(4, 2)]`"),
            (vec![(0, 1), (3, 0)], 1, "epoch 3 accumulates 0 batches | hint: the smallest number is 1, which accumulates nothing"),
            (vec![(3, 1), (1, 1), (3, 2)], 1, "epoch 3 is given twice | hint: give each epoch once"),
            (
                vec![(1, 2)],
                4,
                "the Trainer's `accumulate_grad_batches` is 4, and this callback would change it \
                 | hint: leave `accumulate_grad_batches` at 1, or leave this callback out",
            ),
        ];
        for (factors, of_trainer, expected) in cases {
            let mut bench = Bench::new();
            bench.run.place.accumulate_grad_batches = of_trainer;
            let error = bench.setup(&mut GradientAccumulationScheduler::new(factors)).unwrap_err();
            assert_eq!(text(&error), format!("`GradientAccumulationScheduler`: {expected}"));
        }
    }
}
