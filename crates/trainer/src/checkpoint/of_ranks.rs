//! The parts of a checkpoint that differ between ranks: the logged values of an unfinished epoch, and the gradients of
//! an open window.
//!
//! A checkpoint contains them twice: merged over all ranks, as a single rank would have them, and separately for each
//! rank. A run that resumes with the same number of ranks continues exactly. With another number, rank 0 takes
//! all.

use std::collections::{BTreeMap, HashMap};

use burn::{module::Module, tensor::TensorData};
use stormfire_checkpoint::{Snapshot, tensor_names::take_under};
use stormfire_module::{LightningModule, Result, place::Place};
use stormfire_optim::window::Accumulated;

use crate::{
    engine::{
        Engine,
        over_ranks::{tensors_of_bytes, tensors_to_bytes},
    },
    log_state::{LogState, Pending, SavedAccumulator, SavedSlot},
    rank_state::{OfRank, Plain},
    training::Training,
};

/// The folder for the tensors of a rank. Those of rank 0 are in no folder.
fn folder_of(rank: usize) -> String {
    format!("ranks/{rank}/")
}

/// Collects the parts of the other ranks on rank 0, for a checkpoint that it takes next.
pub(crate) fn gather<M: LightningModule>(engine: &mut Engine<M>, module: &M, training: &Training) -> Result<()> {
    if engine.world() == 1 {
        return Ok(());
    }
    let plain = Plain { log: engine.store.state_to_send()?, window: engine.run.place.window.clone() };
    let mut windows = Vec::new();
    if engine.run.place.window.batches > 0 {
        let mut snapshot = Snapshot::default();
        training.accumulated.save(module, &mut snapshot);
        windows = engine.frame.ranks.gather(tensors_to_bytes(snapshot)?)?.unwrap_or_default();
    }
    let Some(plain) = engine.gathered(&plain)? else { return Ok(()) };
    let mut windows = windows.into_iter().skip(1);
    let of_rank = |plain| {
        let window = windows.next().map(|bytes| tensors_of_bytes("the window of a rank", &bytes)).transpose()?;
        Ok(OfRank { plain, window: window.unwrap_or_default().into_iter().collect() })
    };
    engine.books.of_ranks = plain.into_iter().map(of_rank).collect::<Result<_>>()?;
    Ok(())
}

/// The logged values and the window for a checkpoint.
pub(super) fn state<M: LightningModule>(engine: &mut Engine<M>, pending: &mut Pending) -> Result<(LogState, Place)> {
    let device = engine.frame.device.clone();
    let others: Vec<LogState> = engine.books.of_ranks.iter().map(|rank| rank.plain.log.clone()).collect();
    let log = engine.store.state_with(&others, pending, &device)?;
    let mut place = engine.run.place.clone();
    place.windows.clear();
    place.ranks = engine.world();
    if !others.is_empty() {
        let windows = engine.books.of_ranks.iter().map(|rank| rank.plain.window.clone());
        place.windows = std::iter::once(place.window.clone()).chain(windows).collect();
    }
    let lacks_ranks = engine.world() > 1 && others.is_empty();
    Ok((LogState { lacks_ranks, ..log }, place))
}

/// Adds the gradients of the other ranks to a snapshot.
pub(super) fn add_windows<M: LightningModule>(engine: &Engine<M>, snapshot: &mut Snapshot) {
    for (index, rank) in engine.books.of_ranks.iter().enumerate() {
        for (name, data) in &rank.window {
            snapshot.add_read(format!("{}{name}", folder_of(index + 1)), data.clone());
        }
    }
}

/// The gradients of the window of this rank, out of a checkpoint.
pub(super) fn window_of<M: Module>(
    tensors: &mut BTreeMap<String, TensorData>,
    module: &M,
    place: &mut Place,
    (rank, world): (usize, usize),
) -> Accumulated {
    let mut windows = std::mem::take(&mut place.windows);
    if windows.is_empty() {
        windows.push(place.window.clone());
    }
    let own = |rank: usize, tensors: &mut BTreeMap<String, TensorData>| {
        let mut tensors = if rank == 0 { std::mem::take(tensors) } else { take_under(tensors, &folder_of(rank)) };
        (Accumulated::load(&mut tensors, module, &windows[rank]), tensors)
    };
    let of_others: Vec<_> = (1..windows.len()).map(|rank| own(rank, tensors).0).collect();
    let (mut window, rest) = own(0, tensors);
    *tensors = rest;
    if windows.len() == world {
        let weight = windows[rank].weight;
        place.window.weight = weight;
        return of_others.into_iter().nth(rank.wrapping_sub(1)).unwrap_or(window);
    }
    if rank > 0 {
        place.window.weight = 0.0;
        return Accumulated::default();
    }
    for later in of_others {
        window.append(later, module);
    }
    place.window.weight = windows.iter().map(|window| window.weight).sum();
    window
}

/// The logged values of this rank, out of a checkpoint.
pub(super) fn log_of(mut log: LogState, has_open_window: bool, (rank, world): (usize, usize)) -> LogState {
    let ranks = std::mem::take(&mut log.ranks);
    let is_begun = log.train.iter().chain(&log.evaluation).any(|slot| slot.epoch.is_some() || slot.window.is_some());
    if std::mem::take(&mut log.lacks_ranks) && (is_begun || has_open_window) {
        tracing::warn!(
            "the checkpoint was written when a rank had failed, and lacks what the other ranks had: the values of the unfinished epoch in \
             its means{}",
            if has_open_window { ", and their gradients in the open window of `accumulate_grad_batches`" } else { "" }
        );
    }
    let own = if ranks.len() == world { ranks.into_iter().nth(rank) } else { (rank > 0).then(LogState::default) };
    let Some(mut own) = own else { return log };
    if rank == 0 {
        note_whole(&mut own.train, &log.train);
        note_whole(&mut own.evaluation, &log.evaluation);
    }
    let LogState { train, evaluation, window_batches, skipped_batches, .. } = own;
    LogState { train, evaluation, window_batches, skipped_batches, ..log }
}

/// Notes with the values of rank 0 those of all ranks, for metrics that no rank logs again.
fn note_whole(own: &mut [SavedSlot], all: &[SavedSlot]) {
    let all: HashMap<_, _> = all.iter().map(|slot| (slot.key(), slot)).collect();
    for slot in own {
        let of_all = all.get(&slot.key()).and_then(|of_all| of_all.epoch.as_ref());
        if let (Some(SavedAccumulator::Parts { value, whole, .. }), Some(SavedAccumulator::Parts { parts, value: of_all, .. })) =
            (&mut slot.epoch, of_all)
        {
            (*value, *whole) = (of_all.clone(), parts.clone());
        }
    }
}
