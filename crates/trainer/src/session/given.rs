//! Options that only the program can set.

use burn::tensor::Device;
use stormfire_data::{Caster, Splitter};

use crate::{config::TrainerConfig, frame::Rehearsed, new_rates::NewRates};

/// Options that only the program can set, because no file can contain them.
pub(crate) struct Given<B> {
    pub(crate) device: Option<Device>,
    /// Divides batches among devices.
    pub(crate) splitter: Option<Splitter<B>>,
    /// Casts batches to the type of the steps.
    pub(crate) caster: Option<Caster<B>>,
    /// The run that is rehearsed.
    pub(crate) rehearsed: Option<Rehearsed>,
}

impl<B> Given<B> {
    /// The effective options of a Trainer with these.
    pub(crate) fn effective(&self, config: &TrainerConfig) -> TrainerConfig {
        let Some(run) = &self.rehearsed else { return config.resolved() };
        // A check of the options would refuse `barebones` with the `fast_dev_run` of a rehearsal.
        let rehearsal = TrainerConfig { barebones: run.config.barebones, ..config.clone() };
        rehearsal.resolved().without_loops_that_lack_in(&run.config)
    }
}

/// The start values of a fit, besides the options.
pub(crate) struct Start {
    /// Its seed, if none was given.
    pub(crate) drawn_seed: Option<u64>,
    pub(crate) new_rates: NewRates,
}
