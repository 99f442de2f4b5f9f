//! The learning rates of an optimizer and its groups, and those that are set during a fit.

use burn::{lr_scheduler::module_lr_scheduler::ModuleLearningRate, module::ParamGroup};

use super::{Optimizer, Optimizers, param_groups::SetRate};
use crate::{
    error::{Error, Result},
    patterns::Patterns,
};

/// The parameters whose learning rate is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RateOf {
    /// An optimizer or one of its groups, by the logged name of its rate: `lr-AdamW`, `lr-AdamW/head`. Groups without a
    /// set rate follow the rate of their optimizer in proportion.
    Name(String),
    /// Parameters by path. They become a group.
    Params(Patterns),
}

impl From<&str> for RateOf {
    fn from(name: &str) -> Self {
        Self::Name(name.into())
    }
}

impl From<String> for RateOf {
    fn from(name: String) -> Self {
        Self::Name(name)
    }
}

impl From<Patterns> for RateOf {
    fn from(patterns: Patterns) -> Self {
        Self::Params(patterns)
    }
}

impl Optimizer {
    /// The name of its logged rate.
    pub(super) fn rate_name(&self) -> String {
        let given = self.schedule.as_ref().and_then(|schedule| schedule.name().map(String::from));
        given.unwrap_or_else(|| format!("lr-{}", self.name))
    }

    /// Finds the parameters of its groups. Its schedule has started.
    pub(super) fn start_groups(&mut self) -> Result<()> {
        let paths: Vec<_> = self.paths.iter().map(String::as_str).collect();
        self.inner = self.groups.start(&self.name, self.lr, &paths, self.decays.as_ref(), self.inner.clone())?;
        if self.groups.have_rates() && self.schedule.as_ref().is_some_and(|schedule| schedule.group_rates().next().is_some()) {
            return Err(Error::Optimizer {
                optimizer: self.name.clone(),
                reason: "both its schedule and `Optimizer::group` give groups learning rates".into(),
                hint: "use one of them".into(),
            });
        }
        Ok(())
    }

    /// The set rate of the parameters in no group.
    pub(super) fn set_rate(&self) -> Option<f64> {
        self.set_rates.iter().find(|set| set.group.is_empty()).map(|set| set.rate)
    }

    /// The rates of the optimizer's groups, by name.
    pub(super) fn group_rates(&self) -> Vec<(String, f64)> {
        self.groups.rates(self.learning_rate(), self.lr, &self.set_rates)
    }

    /// The rate of each parameter in the next step.
    pub(super) fn rates(&self) -> ModuleLearningRate {
        if self.groups.have_rates() || !self.set_rates.is_empty() {
            return self.groups.by_param(self.learning_rate(), self.lr, &self.set_rates);
        }
        let scale = self.scale.at(self.steps);
        let is_scaled = scale.to_bits() != 1.0_f64.to_bits();
        let of_schedule = self.schedule.as_ref().and_then(|of| if is_scaled { of.scaled(scale) } else { of.rate().cloned() });
        of_schedule.unwrap_or_else(|| (scale * self.lr).into())
    }

    /// Sets the rate of a group, or gives it back to the schedule. `false` if the optimizer has no such group.
    fn set(&mut self, of: &RateOf, rate: Option<f64>) -> bool {
        let (group, patterns, params) = match of {
            RateOf::Name(name) => {
                let key = self.rate_name();
                let group = if *name == key { "" } else { name.strip_prefix(&format!("{key}/")).unwrap_or(name) };
                let is_made = self.set_rates.iter().any(|set| set.patterns.is_some() && set.group == group);
                if *name != key && (group == name || !(self.groups.has(group) || is_made)) {
                    return false;
                }
                let made = self.set_rates.iter().find(|set| set.group == group);
                let (patterns, params) = made.map_or((None, None), |set| (set.patterns.clone(), set.params.clone()));
                (group.to_owned(), patterns, params)
            }
            RateOf::Params(patterns) => {
                let Ok(selected) = patterns.select("", self.paths.iter().map(String::as_str)) else { return false };
                (patterns.name(), Some(patterns.clone()), Some(ParamGroup::from_paths(selected)))
            }
        };
        let is_same = |set: &SetRate| set.group == group && set.patterns == patterns;
        match (self.set_rates.iter().position(is_same), rate) {
            (Some(index), Some(rate)) => self.set_rates[index].rate = rate,
            (Some(index), None) => drop(self.set_rates.remove(index)),
            (None, Some(rate)) => self.set_rates.push(SetRate { group, patterns, rate, params }),
            (None, None) => {}
        }
        true
    }

    /// Restores the set rates of a checkpoint.
    pub(super) fn load_set_rates(&mut self, saved: Vec<SetRate>) -> Result<()> {
        self.set_rates.clear();
        for SetRate { group, patterns, rate, .. } in saved {
            let params = match &patterns {
                Some(patterns) => Some(ParamGroup::from_paths(patterns.select(&self.name, self.paths.iter().map(String::as_str))?)),
                None => None,
            };
            self.set_rates.push(SetRate { group, patterns, rate, params });
        }
        Ok(())
    }
}

impl Optimizers {
    /// Sets a learning rate in place of that of schedule and group, until it is set again. `None` gives it back to
    /// them.
    ///
    /// # Errors
    /// [`Error::Optimizer`] for a rate that is negative or not finite. [`Error::Config`] if no parameters match.
    pub(crate) fn set_learning_rate(&mut self, of: &RateOf, rate: Option<f64>) -> Result<()> {
        if let Some(rate) = rate.filter(|rate| !(rate.is_finite() && *rate >= 0.0)) {
            return Err(Error::Optimizer {
                optimizer: format!("{of:?}"),
                reason: format!("the learning rate {rate} is not a number of at least 0"),
                hint: "correct the callback that sets it".into(),
            });
        }
        let mut is_known = false;
        for optimizer in &mut self.all {
            let is_here = optimizer.set(of, rate);
            if is_here && optimizer.schedule.as_ref().is_some_and(|schedule| schedule.group_rates().next().is_some()) {
                return Err(Error::Optimizer {
                    optimizer: optimizer.name.clone(),
                    reason: "its schedule has parameter groups, whose rates cannot be set".into(),
                    hint: "give the groups rates with `Optimizer::group`, and the schedule none".into(),
                });
            }
            is_known |= is_here;
        }
        match of {
            _ if is_known => Ok(()),
            RateOf::Name(name) => {
                let known: Vec<_> = self.learning_rates().into_iter().map(|(name, _)| format!("`{name}`")).collect();
                Err(Error::Optimizer {
                    optimizer: name.clone(),
                    reason: "no learning rate has this name".into(),
                    hint: format!("the names are {}", known.join(", ")),
                })
            }
            RateOf::Params(patterns) => {
                let paths = self.all.iter().flat_map(|optimizer| optimizer.paths.iter().map(String::as_str));
                Ok(patterns.select("learning rate", paths).map(drop)?)
            }
        }
    }
}
