use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use burn::tensor::Device;

use crate::{Batch, Error, Length, Position, Result, samplers::AnySampler, share::Share};

/// The source of a loader's batches.
pub(crate) trait Source<B>: Send + Sync {
    /// Its properties. Calls no user code.
    fn facts(&self) -> Facts;

    /// Checks the options.
    fn check(&self) -> Result<()>;

    /// Starts a pass. `start.batch` is not past a known end.
    fn open(&self, start: Position, device: &Device) -> Result<Box<dyn Feed<B>>>;

    /// The batches of a pass, and the items of the dataset if there is one.
    fn size(&self) -> Size;

    /// The options that decide which items are in which batch.
    fn order(&self) -> String;

    /// The same source with another setting. `None` if the setting does not apply.
    fn set(&self, setting: Setting) -> Option<Arc<dyn Source<B>>>;
}

/// The properties of a source that a source around it may keep or change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// The name of the source in messages: "a loader made from {kind}".
    pub(crate) kind: &'static str,
    pub(crate) is_shuffled: bool,
    /// Whether there is only one pass.
    pub(crate) is_single_pass: bool,
    /// Whether its batches are the same on every rank, and their number is known, so that the ranks can share them.
    pub(crate) is_divisible: bool,
    /// The part of the batches that a pass yields.
    pub(crate) share: Share,
    /// The number of `map` functions applied to its batches.
    pub(crate) depth: u64,
}

impl Facts {
    pub(crate) fn new(kind: &'static str) -> Self {
        Self { kind, is_shuffled: false, is_single_pass: false, is_divisible: false, share: Share::WHOLE, depth: 0 }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) length: Length,
    pub(crate) items: Option<usize>,
}

/// The running half of a [`Source`].
pub(crate) trait Feed<B>: Send {
    /// Not called again after `None` or an error.
    fn next(&mut self) -> Option<Result<Batch<B>>>;

    /// Whether `next` will yield a batch. `None` if that is unknown without loading it.
    fn more(&mut self) -> Option<bool>;

    /// The indices of the items of a batch in the dataset, in their order. `None` without a dataset.
    fn indices(&self, batch: usize) -> Option<Vec<usize>> {
        let _ = batch;
        None
    }
}

#[derive(Clone)]
pub(crate) enum Setting {
    BatchSize(usize),
    Shuffle(bool),
    Seed(u64),
    Workers(usize),
    Prefetch(usize),
    DropLast(bool),
    Sampler(AnySampler),
    ItemsPerBatch(usize),
    /// The Trainer's seed. Used only if the user set none.
    DefaultSeed(u64),
    /// The seed of the batches' random numbers in a run.
    RunSeed(u64),
    /// The Trainer's request for a fixed order. Not an error without shuffling.
    NoShuffle,
    /// The Trainer's request for the batches of one rank.
    Share(Share),
}

impl Setting {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::BatchSize(_) => "batch_size",
            Self::Shuffle(_) | Self::NoShuffle => "shuffle",
            Self::Seed(_) | Self::DefaultSeed(_) | Self::RunSeed(_) => "seed",
            Self::Workers(_) => "workers",
            Self::Prefetch(_) => "prefetch",
            Self::DropLast(_) => "drop_last",
            Self::Sampler(sampler) => sampler.name(),
            Self::ItemsPerBatch(_) => "items_per_batch",
            Self::Share(_) => "share",
        }
    }
}

/// Runs user code and turns a panic into an error.
///
/// Unwind safe: a pass ends at its first error, so a partial result is never used.
pub(crate) fn guarded<T>(place: &'static str, batch: usize, work: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| Error::Panic { place, batch, message: panic_message(payload.as_ref()) })
}

pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}
