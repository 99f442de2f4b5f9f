//! Deterministic, parallel, stateful loading of batches.
//!
//! * [`Loader`] produces batches from a burn `Dataset`, burn's own data loader, or any iterator. Its order depends on
//!   the seed and the epoch only, not on the number of workers. A pass can resume from a saved [`Position`].
//! * [`CombinedLoader`] combines several loaders into one. [`Loaders`] are the loaders of an evaluation.
//! * [`random`] returns random numbers for the code that makes a batch. They are derived from the seed and the position
//!   of the batch.
//! * [`SplitBatch`] divides a batch among the threads of a run.
//! * [`DataModule`] keeps all data of an experiment in one place.

mod batch;
mod batches;
mod burn_loader;
mod cast_batch;
mod combined;
mod data_module;
mod dataset;
mod error;
mod foreign_draws;
mod iterator;
mod loader;
mod loaders;
mod map;
mod random;
mod share;
mod shared;
mod shuffle;
mod source;
mod split_batch;
mod stage;
#[cfg(test)]
mod tests;
mod workers;

pub use batch::{Batch, Length, Position};
pub use batches::Batches;
pub use burn::tensor::FloatDType;
pub use cast_batch::{CastBatch, Caster};
pub use combined::CombinedLoader;
pub use data_module::DataModule;
pub use error::{BoxError, Error, Result};
pub use loader::Loader;
pub use loaders::Loaders;
pub use random::{Random, random};
pub use split_batch::{Part, SplitBatch, Splitter, common_items, items_of};
pub use stage::Stage;
pub use stormfire_checkpoint::Saved;
