//! Deterministic, parallel, stateful loading of batches.
//!
//! * [`Loader`] produces batches from a burn `Dataset`, burn's own data loader, or any iterator. Its order depends on
//!   the seed and the epoch only, not on the number of workers. A pass can resume from a saved [`Position`].
//! * [`CombinedLoader`] combines several loaders into one. [`Loaders`] are the loaders of an evaluation.
//! * [`random`] returns random numbers for the code that makes a batch. They are derived from the seed and the position
//!   of the batch.
//! * A [`Sampler`] or [`BatchSampler`] decides which items an epoch uses. [`KFold`] and [`random_split`] split a
//!   dataset. [`Pad`] and [`augment`] make batches. [`Shards`] are read as a stream.
//! * [`SplitBatch`] divides a batch among the threads of a run.
//! * [`DataModule`] keeps all data of an experiment in one place.

pub mod augment;
mod batch;
mod batches;
mod burn_loader;
mod cast_batch;
mod classes;
mod combined;
mod data_module;
mod dataset;
mod error;
mod folds;
pub mod for_trainer;
mod foreign_draws;
#[cfg(feature = "images")]
mod image_folder;
mod ints;
mod iterator;
mod loader;
mod loaders;
mod making;
mod map;
mod order;
mod pad;
mod random;
mod random_split;
mod row_error;
mod samplers;
mod share;
mod shared;
mod shuffle;
mod source;
mod split_batch;
mod stage;
mod stream;
mod subset;
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
pub use folds::{Fold, KFold};
#[cfg(feature = "images")]
pub use image_folder::{ImageFolder, LabeledImage};
pub use loader::Loader;
pub use loaders::Loaders;
pub use pad::{Pad, Padded, sort_by_length};
pub use random::{Random, random};
pub use random_split::{Portion, random_split};
pub use samplers::{BatchSampler, ClassBalancedSampler, LengthSampler, Sampler, StratifiedSampler, SubsetSampler, WeightedSampler};
pub use split_batch::{Part, SplitBatch, Splitter, common_items, items_of};
pub use stage::Stage;
pub use stormfire_checkpoint::Saved;
pub use stream::{Sample, Shards, shard_paths, split_files};
pub use subset::Subset;
