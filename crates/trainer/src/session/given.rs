//! Options that only the program can set.

use burn::tensor::Device;
use stormfire_data::{Caster, Splitter};

use crate::new_rates::NewRates;

/// Options that only the program can set, because no file can contain them.
pub(crate) struct Given<B> {
    pub(crate) device: Option<Device>,
    /// Divides batches among devices.
    pub(crate) splitter: Option<Splitter<B>>,
    /// Casts batches to the type of the steps.
    pub(crate) caster: Option<Caster<B>>,
    /// Whether this is the rehearsal of a run without loggers.
    pub(crate) lacks_loggers: bool,
}

/// The start values of a fit, besides the options.
pub(crate) struct Start {
    /// Its seed, if none was given.
    pub(crate) drawn_seed: Option<u64>,
    pub(crate) new_rates: NewRates,
}
