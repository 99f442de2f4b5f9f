//! What a run does with a loader before its first pass.

use super::Loader;
use crate::source::Setting;

/// Adapts a loader to a run: its seeds, its order.
pub trait DriveLoader {
    /// Returns this loader with `seed` as the default seed. Combined loaders get different seeds derived from it.
    fn with_default_seed(&self, seed: u64) -> Self;

    /// Returns this loader for a run with this seed. The random numbers of its batches are derived from it: those of
    /// [`random`](crate::random()), and without workers those of burn. Combined loaders get different seeds derived
    /// from it.
    fn with_run_seed(&self, seed: u64) -> Self;

    /// Returns this loader with a fixed order. A loader that does not control its order is unchanged.
    fn without_shuffle(&self) -> Self;

    /// Whether the loader has only one pass, like one made from an iterator.
    fn is_single_pass(&self) -> bool;

    /// The options that decide which items are in which batch, as text: the ranks of a run compare it. Empty for a
    /// loader that does not know.
    fn order(&self) -> String;
}

impl<B: Send + 'static> DriveLoader for Loader<B> {
    fn with_default_seed(&self, seed: u64) -> Self {
        self.adapt(Setting::DefaultSeed(seed))
    }

    fn with_run_seed(&self, seed: u64) -> Self {
        self.adapt(Setting::RunSeed(seed))
    }

    fn without_shuffle(&self) -> Self {
        self.adapt(Setting::NoShuffle)
    }

    fn is_single_pass(&self) -> bool {
        self.facts().is_single_pass
    }

    fn order(&self) -> String {
        self.source.order()
    }
}
