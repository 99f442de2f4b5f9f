//! What a training loop needs of this crate, beyond the interface of loaders: their default seed, the seed of a run, a
//! fixed order, and what the ranks compare.
//!
//! For the Trainer, and for tests that take its place. The crate `stormfire` does not export it, and any release may
//! change it.

pub use crate::loader::DriveLoader;
