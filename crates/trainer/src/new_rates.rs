//! Learning rates in place of those of `configure_optimizers`.

use std::sync::{Arc, OnceLock};

use stormfire_module::{Error, Result};
use stormfire_optim::{
    Optimizers,
    for_trainer::{DriveOptimizer as _, DriveOptimizers as _, Ramp},
};

/// The rates that a caller has set.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewRates {
    /// The new rates, by the name of the optimizer. Without a name, the rate is that of the only optimizer.
    set: Vec<(Option<String>, f64)>,
    sweep: Option<RateSweep>,
}

/// A learning rate for each step of an optimizer.
#[derive(Clone, Debug)]
pub struct RateSweep {
    /// The name of the optimizer. Without a name, the only optimizer.
    pub optimizer: Option<String>,
    /// Its rate in each step.
    pub rates: Vec<f64>,
    /// Receives the number of steps of the optimizer.
    pub steps: Arc<OnceLock<Ramp>>,
}

impl NewRates {
    pub(crate) fn set(&mut self, optimizer: Option<String>, rate: f64) {
        self.set.retain(|(known, _)| *known != optimizer);
        self.set.push((optimizer, rate));
    }

    pub(crate) fn sweep(&mut self, sweep: RateSweep) {
        self.sweep = Some(sweep);
    }

    /// Changes optimizers that were started, for a fit of this number of optimizer steps and epochs.
    pub(crate) fn apply(&self, optimizers: &mut Optimizers, steps: Option<u64>, epochs: Option<u64>) -> Result<()> {
        for (name, rate) in &self.set {
            let index = index_of(optimizers, name.as_deref(), "Trainer::set_learning_rate")?;
            let peak = peak_of(optimizers, index, steps, epochs)?;
            if !(rate.is_finite() && *rate >= 0.0) {
                let reason = format!("the learning rate {rate} is not a number of at least 0");
                return Err(Error::config("Trainer::set_learning_rate", reason, "use 1e-3, for example"));
            }
            optimizers.at(index).scale_rates(rate / peak);
        }
        if let Some(RateSweep { optimizer, rates, steps: counter }) = &self.sweep {
            let index = index_of(optimizers, optimizer.as_deref(), "LrFind::optimizer")?;
            let peak = peak_of(optimizers, index, None, None)?;
            let ramp = Ramp::new(rates.iter().map(|rate| rate / peak).collect::<Vec<_>>());
            optimizers.at(index).ramp_rates(&ramp, None, None);
            let _ = counter.set(ramp);
        }
        Ok(())
    }
}

fn index_of(optimizers: &Optimizers, name: Option<&str>, option: &str) -> Result<usize> {
    let names = || optimizers.iter().map(|optimizer| format!("`{}`", optimizer.name())).collect::<Vec<_>>().join(", ");
    match name {
        Some(name) => optimizers.index_of(name).map_err(|error| Error::config(option, error.to_string(), "name one of them")),
        None if optimizers.is_empty() => {
            Err(Error::config(option, "the module has no optimizer", "return one from `configure_optimizers`"))
        }
        None if optimizers.len() > 1 => {
            let reason = format!("the module has {} optimizers: {}", optimizers.len(), names());
            Err(Error::config(option, reason, "name one of them"))
        }
        None => Ok(0),
    }
}

fn peak_of(optimizers: &mut Optimizers, index: usize, steps: Option<u64>, epochs: Option<u64>) -> Result<f64> {
    let optimizer = optimizers.at(index);
    let peak = optimizer.peak_rate(steps, epochs);
    if peak > 0.0 {
        return Ok(peak);
    }
    let reason = format!("the learning rate of optimizer `{}` is always {peak}, so no factor changes it", optimizer.name());
    Err(Error::config("configure_optimizers", reason, "give the optimizer a positive rate"))
}
