//! The data that the ranks of a run exchange besides gradients: logged values, running statistics, small facts.

use std::collections::BTreeMap;

use burn::tensor::TensorData;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use stormfire_checkpoint::{Checkpoint, Encoder, Manifest, Snapshot};
use stormfire_module::{
    Error, LightningModule, Result,
    for_trainer::{KnownStats, running_stats},
    state,
};
use stormfire_ranks::Shared;
use stormfire_values::clock;

use super::Engine;
use crate::{
    bundle::Bundle,
    log_store::{Sent, Values},
};

/// A value as bytes for other ranks. Every float survives.
pub(crate) fn to_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(&state::save::<_, Value>(value)?).map_err(Error::other)
}

/// The value of [`to_bytes`].
pub(crate) fn of_bytes<T: DeserializeOwned + Default>(bytes: &[u8]) -> Result<T> {
    let mut value = T::default();
    state::load(&mut value, serde_json::from_slice::<Value>(bytes).map_err(Error::other)?)?;
    Ok(value)
}

/// Tensors as bytes for other ranks: a checkpoint without a state.
pub(crate) fn tensors_to_bytes(tensors: Snapshot) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    Encoder::new(&Manifest::default(), &tensors.read()?)?.write_to(&mut bytes)?;
    Ok(bytes)
}

/// The tensors of [`tensors_to_bytes`]. `what` names them in errors.
pub(crate) fn tensors_of_bytes(what: &str, bytes: &[u8]) -> Result<BTreeMap<String, TensorData>> {
    Ok(Checkpoint::from_bytes(what, bytes)?.into_parts().1)
}

/// The value of rank 0, on every rank.
pub(crate) fn of_zero<T: Serialize + DeserializeOwned + Default>(ranks: &Shared, value: T) -> Result<T> {
    if ranks.world() == 1 {
        return Ok(value);
    }
    let mut bytes = if ranks.is_global_zero() { to_bytes(&value)? } else { Vec::new() };
    ranks.broadcast(&mut bytes)?;
    of_bytes(&bytes)
}

impl<M: LightningModule> Engine<M> {
    pub(crate) fn world(&self) -> usize {
        self.frame.ranks.world()
    }

    pub(crate) fn rank(&self) -> usize {
        self.frame.ranks.rank()
    }

    /// The values of the others, on rank 0.
    pub(crate) fn gathered<T: Serialize + DeserializeOwned + Default>(&self, own: &T) -> Result<Option<Vec<T>>> {
        let gathered = self.frame.ranks.gather(to_bytes(own)?)?;
        gathered.map(|all| all.iter().skip(1).map(|bytes| of_bytes(bytes)).collect()).transpose()
    }

    /// Reduces logged values of an epoch over all ranks. Monitors on every rank then see the same numbers.
    pub(crate) fn sync_values(&mut self, sent: Sent) -> Result<()> {
        if self.world() == 1 {
            return Ok(());
        }
        let own = self.store.of_this_rank(sent)?;
        let device = self.frame.device.clone();
        let reduced = match self.gathered(&own)? {
            Some(others) => self.store.take_from_ranks(sent, &others, &device)?,
            None => Values::new(),
        };
        let values = of_zero(&self.frame.ranks, reduced)?;
        if self.rank() != 0 {
            self.store.take_from_zero(sent, values, &device)?;
        }
        Ok(())
    }

    /// The step metrics for the loggers: on rank 0, those of all ranks.
    pub(crate) fn step_metrics(&mut self) -> Result<Option<Bundle>> {
        if self.world() == 1 {
            return Ok(self.store.step_metrics(stormfire_module::RunningStage::Train, 0));
        }
        // A rank without a batch has values of an earlier one only.
        let has_batch = self.rank() < self.run.round;
        let own = if has_batch { self.store.of_this_rank(Sent::Step)? } else { Vec::new() };
        let waited = self.frame.ranks.waited().as_secs_f64();
        if let Some(others) = self.gathered(&(own, waited))? {
            let (others, waits): (Vec<_>, Vec<_>) = others.into_iter().unzip();
            let waited: Vec<f64> = std::iter::once(waited).chain(waits).collect();
            self.show_slowest(&waited);
            return self.store.step_metrics_of_ranks(&others, &self.frame.device.clone());
        }
        self.store.step_metrics_are_sent();
        Ok(None)
    }

    /// Shows in the progress bar which rank the others wait for: the one that itself waits least, and the share of the
    /// time that the others wait longer than it.
    fn show_slowest(&mut self, waited: &[f64]) {
        let now = clock::now();
        if let Some((began, before)) = self.books.waits.replace((now, waited.to_vec()))
            && before.len() == waited.len()
        {
            let new: Vec<f64> = waited.iter().zip(before).map(|(now, before)| now - before).collect();
            let least = new.iter().copied().fold(f64::INFINITY, f64::min);
            let most = new.iter().copied().fold(0.0, f64::max);
            let elapsed = now.saturating_duration_since(began).as_secs_f64();
            if let Some(slowest) = new.iter().position(|&new| new <= least)
                && elapsed > 0.0
            {
                self.store.shown = vec![("slowest_rank", slowest as f64), ("wait_for_it", (most - least) / elapsed)];
            }
        }
    }

    /// Makes running statistics, such as those of a batch normalization, the mean over the ranks that had a batch in
    /// this round. So all ranks have the same ones between any two batches.
    pub(crate) fn average_running_stats(&mut self, module: &mut M, stats: &mut KnownStats) -> Result<()> {
        if self.world() == 1 {
            return Ok(());
        }
        let known = stats.of(module);
        let (ranks, round) = (self.frame.ranks.clone(), self.run.round);
        running_stats::average(module, &known, (ranks.rank() < round, round), |sums| Ok(ranks.all_reduce_f64(sums)?))
    }
}
