//! The pass over the training data that renews the running statistics of the weights in force.

use stormfire_data::{Position, for_trainer::DriveLoader as _};
use stormfire_module::{
    Hook, LightningModule, Result,
    for_trainer::{RenewedStats, scope},
};

use super::FitLoop;
use crate::engine::RandomPart;

impl<M: LightningModule> FitLoop<'_, M> {
    /// Renews the statistics of the weights in force, if a callback requests it. Values logged in the pass are dropped.
    pub(super) fn renew_statistics(&mut self) -> Result<()> {
        let wants = self.engine.callbacks_with_keys().any(|(callback, _)| callback.renews_statistics());
        if !wants || self.finite.stop().is_some() {
            return Ok(());
        }
        let Some(in_force) = self.engine.given_weights(self.module)? else { return Ok(()) };
        let Some(mut stats) = RenewedStats::of(&in_force) else { return Ok(()) };
        if self.train.is_single_pass() {
            tracing::warn!("the statistics of batch normalizations are not renewed: the training data can be read only once");
            return Ok(());
        }
        let _span = tracing::info_span!("statistics").entered();
        self.engine.store.drops_records = true;
        let batches = self.pass(&mut stats);
        self.engine.store.drops_records = false;
        let Some(batches) = batches? else {
            tracing::warn!(
                "the statistics of batch normalizations are not renewed: the pass calls `training_step`, which this module does not have"
            );
            return Ok(());
        };
        if batches == 0 {
            return Ok(());
        }
        let ranks = self.engine.frame.ranks.clone();
        let renewed = stats.finish((ranks.world(), batches), |sums| Ok(ranks.all_reduce_f64(sums)?))?.valid();
        for (callback, _) in self.engine.callbacks_with_keys() {
            callback.take_statistics(&renewed)?;
        }
        Ok(())
    }

    /// Returns the number of batches of all ranks. `None` for a module without a `training_step`.
    fn pass(&mut self, stats: &mut RenewedStats<M>) -> Result<Option<usize>> {
        // Data of unknown length may be endless.
        let trained = usize::try_from(self.engine.run.place.progress.batches).unwrap_or(usize::MAX);
        let limit = self.engine.run.limits.train_batches.unwrap_or(trained);
        let device = stats.device().unwrap_or_else(|| self.engine.frame.device.clone());
        let start = Position::new(self.engine.run.place.progress.epoch, 0);
        let (rank, world) = (self.engine.rank(), self.engine.world());
        let mut lacks_step = [0.0];
        if rank < limit
            && let Some(batch) = self.train.batches(start, &device)?.next()
        {
            let batch = batch?.value;
            stats.probe(|module| self.forward(module, batch, 0))?;
            lacks_step = [f64::from(u8::from(scope::take_not_implemented().is_some()))];
        }
        let ranks = self.engine.frame.ranks.clone();
        if world > 1 {
            ranks.all_reduce_f64(&mut lacks_step)?;
        }
        if lacks_step[0] > 0.0 {
            return Ok(None);
        }
        let mut batches = self.train.batches(start, &device)?;
        let mut done = 0;
        while done < limit {
            let round = world.min(limit - done);
            if rank < round {
                let Some(batch) = batches.next() else { break };
                let batch = batch?.value;
                stats.add(|module| self.forward(module, batch, done / world))?;
            }
            done += round;
            self.agree()?;
            self.engine.check_interrupt()?;
        }
        Ok(Some(done))
    }

    fn forward(&mut self, module: &mut M, batch: M::Batch, batch_idx: usize) -> Result<()> {
        self.engine.reseed(RandomPart::Batch);
        let output = {
            let _scope = self.engine.enter(Hook::TrainingStep);
            module.training_step(batch, batch_idx)
        };
        output.map_err(|error| self.engine.in_step(Hook::TrainingStep, error))?;
        self.engine.collect()
    }
}
