//! Deterministic, parallel, stateful loading of batches.
//!
//! * [`Loader`] gives batches: of a burn `Dataset`, of burn's own data loader, or of any iterator. Its order is a function of the seed and
//!   the epoch, whatever the number of workers, and a pass can go on from a saved [`Position`].
//! * [`CombinedLoader`] makes one loader of several; [`Loaders`] are the loaders of an evaluation.
//! * [`random`] gives whoever makes a batch random numbers that follow from the seed and the place of the batch.
//! * [`DataModule`] is the data of an experiment in one place.

mod batch;
mod batches;
mod burn_loader;
mod combined;
mod data_module;
mod dataset;
mod error;
mod iterator;
mod loader;
mod loaders;
mod map;
mod random;
mod shuffle;
mod source;
mod stage;
#[cfg(test)]
mod tests;
mod workers;

pub use batch::{Batch, Length, Position};
pub use batches::Batches;
pub use combined::CombinedLoader;
pub use data_module::DataModule;
pub use error::{BoxError, Error, Result};
pub use loader::Loader;
pub use loaders::Loaders;
pub use random::{Random, random};
pub use stage::Stage;
pub use stormfire_checkpoint::Saved;
