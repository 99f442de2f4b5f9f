//! The highest rates of a schedule, and its rates times a factor.

use burn::{
    lr_scheduler::module_lr_scheduler::{ModuleLearningRate, ModuleLrScheduler},
    module::{ParamGroup, ParamId},
};
use stormfire_values::every::{Passed, Tick};

use super::{Kind, Schedule};

/// Maximum number of rates that are compared.
const MOST: u64 = 100_000;

impl Schedule {
    /// The rates at the highest base rate of a fit with this number of optimizer steps and epochs, as far as they are
    /// known. The schedule must have been started.
    pub(crate) fn peak(&self, steps: Option<u64>, epochs: Option<u64>) -> Option<ModuleLearningRate> {
        let Kind::Burn(scheduler) = &self.kind else { return self.current.clone() };
        let fit = Tick { steps: steps.map(Passed::since_zero), epochs: epochs.map(Passed::since_zero), ..Tick::default() };
        let changes = self.every.periods_in(&fit);
        let mut ahead = scheduler.before.clone();
        let mut peak = ahead.step();
        for _ in 1..changes.unwrap_or(MOST).clamp(1, MOST) {
            let rates = ahead.step();
            if rates.base() > peak.base() {
                peak = rates;
            }
        }
        Some(peak)
    }

    /// Holds these rates from now on.
    pub(crate) fn hold(&mut self, rates: ModuleLearningRate) {
        self.kind = Kind::Held;
        self.current = Some(rates);
    }

    /// Its rates times a factor.
    pub(crate) fn scaled(&self, factor: f64) -> Option<ModuleLearningRate> {
        let rates = self.current.as_ref()?;
        // burn does not expose the groups. Each parameter has one rate.
        let mut by_rate: Vec<(f64, Vec<ParamId>)> = Vec::new();
        for (id, path) in &self.params {
            let rate = rates.lr_from_param(*id, Some(path));
            if rate.to_bits() == rates.base().to_bits() {
                continue;
            }
            match by_rate.iter_mut().find(|(known, _)| known.to_bits() == rate.to_bits()) {
                Some((_, ids)) => ids.push(*id),
                None => by_rate.push((rate, vec![*id])),
            }
        }
        let base = ModuleLrScheduler::new(rates.base() * factor);
        let with_group = |all: ModuleLrScheduler, (rate, ids)| all.with_group(ParamGroup::from_ids(ids), rate * factor);
        Some(by_rate.into_iter().fold(base, with_group).step())
    }
}
