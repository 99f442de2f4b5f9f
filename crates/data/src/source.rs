use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use burn::tensor::Device;

use crate::{Batch, Error, Length, Position, Result};

/// Where the batches of a loader come from.
pub(crate) trait Source<B>: Send + Sync {
    /// What it is, for messages: "a loader made from {kind}".
    fn kind(&self) -> &'static str;

    /// Whether the options make sense.
    fn check(&self) -> Result<()>;

    /// Starts a pass. `start.batch` is not past a known end.
    fn open(&self, start: Position, device: &Device) -> Result<Box<dyn Feed<B>>>;

    fn length(&self) -> Length;

    fn dataset_len(&self) -> Option<usize>;

    fn is_shuffled(&self) -> bool;

    /// Whether there is one pass only.
    fn is_single_pass(&self) -> bool {
        false
    }

    /// Whether batches are made on other threads than the one that iterates.
    fn makes_ahead(&self) -> bool {
        false
    }

    /// How many functions its batches go through.
    fn depth(&self) -> u64 {
        0
    }

    /// The same source with another setting; `None` where the setting means nothing.
    fn set(&self, setting: Setting) -> Option<Arc<dyn Source<B>>>;
}

/// The running half of a [`Source`].
pub(crate) trait Feed<B>: Send {
    /// Not called again after `None` or an error.
    fn next(&mut self) -> Option<Result<Batch<B>>>;

    /// Whether `next` will yield something, if that is known without loading it.
    fn more(&mut self) -> Option<bool>;
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Setting {
    BatchSize(usize),
    Shuffle(bool),
    Seed(u64),
    Workers(usize),
    Prefetch(usize),
    DropLast(bool),
    ItemsPerBatch(usize),
    /// The Trainer's seed: only where the user set none.
    DefaultSeed(u64),
    /// What the random numbers of batches follow from in a run.
    RunSeed(u64),
    /// The Trainer's wish for a fixed order: no complaint where there is nothing to turn off.
    NoShuffle,
}

impl Setting {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BatchSize(_) => "batch_size",
            Self::Shuffle(_) | Self::NoShuffle => "shuffle",
            Self::Seed(_) | Self::DefaultSeed(_) | Self::RunSeed(_) => "seed",
            Self::Workers(_) => "workers",
            Self::Prefetch(_) => "prefetch",
            Self::DropLast(_) => "drop_last",
            Self::ItemsPerBatch(_) => "items_per_batch",
        }
    }
}

/// Runs the user's code and turns a panic into an error.
///
/// What the code has left half done is never used again: a pass ends at its first error.
pub(crate) fn guarded<T>(place: &'static str, batch: usize, work: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| Error::Panic { place, batch, message: message(payload.as_ref()) })
}

fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic whose payload is no text".to_owned()
    }
}
