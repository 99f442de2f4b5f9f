//! Parameter groups: parameters of an optimizer with their own learning rate or weight decay.

use std::collections::HashSet;

use burn::{
    lr_scheduler::module_lr_scheduler::{ModuleLearningRate, ModuleLrScheduler},
    module::ParamGroup,
    optim::ModuleOptimizer,
};
use serde::{Deserialize, Serialize};

use super::AddDecay;
use crate::{
    error::{Error, Result},
    patterns::Patterns,
};

/// The settings of a parameter group, for [`Optimizer::group`](crate::Optimizer::group). Settings that are not given
/// are those of the other parameters.
#[derive(Clone, Debug, Default)]
pub struct Group {
    name: Option<String>,
    rate: Option<GroupRate>,
    weight_decay: Option<f64>,
}

/// The learning rate of a group.
#[derive(Clone, Copy, Debug, PartialEq)]
enum GroupRate {
    /// Times that of the optimizer.
    Factor(f64),
    /// In the place of the rate that the optimizer was given.
    Own(f64),
}

impl Group {
    /// The learning rate. A schedule changes it in proportion to the rate that the optimizer was given.
    pub fn lr(mut self, lr: f64) -> Self {
        self.rate = Some(GroupRate::Own(lr));
        self
    }

    /// The learning rate, as a multiple of the optimizer's current one.
    pub fn lr_factor(mut self, factor: f64) -> Self {
        self.rate = Some(GroupRate::Factor(factor));
        self
    }

    /// The weight decay. For the optimizers of burn that have one: all of them.
    pub fn weight_decay(mut self, decay: f64) -> Self {
        self.weight_decay = Some(decay);
        self
    }

    /// The name in the logged learning rate, `lr-AdamW/name`. Default: the pattern without wildcards.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}

/// The groups of an optimizer, in order. A later one wins over an earlier one, for each setting.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    given: Vec<(Patterns, Group)>,
    /// Layers from the input to the output, and the factor from one to the one before it.
    layers: Option<(f64, Vec<String>)>,
    rates: Vec<RateGroup>,
}

/// Parameters with their own learning rate.
#[derive(Clone, Debug)]
struct RateGroup {
    name: String,
    rate: GroupRate,
    params: ParamGroup,
}

/// A learning rate that the program has set during a fit, in place of that of schedule and group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SetRate {
    /// The name of a group. Empty for the parameters in no group.
    pub(super) group: String,
    /// The parameters, if the group was made when the rate was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) patterns: Option<Patterns>,
    pub(super) rate: f64,
    #[serde(skip)]
    pub(super) params: Option<ParamGroup>,
}

impl Groups {
    pub(super) fn add(&mut self, patterns: Patterns, group: Group) {
        self.given.push((patterns, group));
    }

    pub(super) fn decay_by_layer(&mut self, factor: f64, layers: Vec<String>) {
        self.layers = Some((factor, layers));
    }

    /// Finds the parameters of the groups among those of the optimizer. Groups with a weight decay become groups of
    /// burn's optimizer.
    pub(super) fn start(
        &mut self,
        optimizer: &str,
        lr: f64,
        paths: &[&str],
        decays: Option<&AddDecay>,
        mut inner: ModuleOptimizer,
    ) -> Result<ModuleOptimizer> {
        let refuse = |reason: String, hint: &str| Error::Optimizer { optimizer: optimizer.into(), reason, hint: hint.into() };
        self.rates = match &self.layers {
            Some((factor, layers)) => by_layer(*factor, layers, paths).map_err(|(reason, hint)| refuse(reason, &hint))?,
            None => Vec::new(),
        };
        for (patterns, group) in &self.given {
            let selected = patterns.select("Optimizer::group", paths.iter().copied())?;
            let params = ParamGroup::from_paths(selected);
            let is_valid = |number: f64| number.is_finite() && number >= 0.0;
            if let Some(rate) = group.rate {
                let (GroupRate::Factor(number) | GroupRate::Own(number)) = rate;
                if !is_valid(number) {
                    return Err(refuse(
                        format!("the learning rate {number} of the group {patterns} is not a number of at least 0"),
                        "use 1e-4, for example",
                    ));
                }
                if matches!(rate, GroupRate::Own(_)) && lr == 0.0 {
                    return Err(refuse(
                        format!("the group {patterns} has a learning rate, and that of the optimizer is 0"),
                        "give the optimizer a rate, to which a schedule changes that of the group in proportion",
                    ));
                }
                let name = group.name.clone().unwrap_or_else(|| patterns.name());
                self.rates.push(RateGroup { name, rate, params: params.clone() });
            }
            if let Some(decay) = group.weight_decay {
                if !is_valid(decay) {
                    return Err(refuse(
                        format!("the weight decay {decay} of the group {patterns} is not a number of at least 0"),
                        "use 0.01, for example",
                    ));
                }
                let Some(decays) = decays else {
                    let reason = format!("the group {patterns} has a weight decay, which the given `ModuleOptimizer` cannot change");
                    return Err(refuse(reason, "give a configuration such as `AdamWConfig::new()`, or use `ModuleOptimizer::with_group`"));
                };
                inner = decays(inner, params, decay);
            }
        }
        let mut names = HashSet::new();
        match self.rates.iter().find(|group| !names.insert(group.name.as_str())) {
            Some(group) => {
                let hint = "name one with `Group::named`: `.group(\"*.bias\", |g| g.lr(1e-3).named(\"biases\"))`";
                Err(refuse(format!("two groups with learning rates have the name `{}`", group.name), hint))
            }
            None => Ok(inner),
        }
    }

    pub(super) fn have_rates(&self) -> bool {
        !self.rates.is_empty()
    }

    /// The rates by name, if the optimizer has this rate.
    pub(super) fn rates(&self, base: f64, given: f64, set: &[SetRate]) -> Vec<(String, f64)> {
        let is_made_again = |group: &&RateGroup| set.iter().any(|set| set.patterns.is_some() && set.group == group.name);
        let own = self.rates.iter().filter(|group| !is_made_again(group));
        let own = own.map(|group| (group.name.clone(), group.rate(base, given, set)));
        own.chain(set.iter().filter(|set| set.patterns.is_some()).map(|set| (set.group.clone(), set.rate))).collect()
    }

    /// The rate of each parameter, for a step.
    pub(super) fn by_param(&self, base: f64, given: f64, set: &[SetRate]) -> ModuleLearningRate {
        let own = self.rates.iter().map(|group| (&group.params, group.rate(base, given, set)));
        let of_set = set.iter().filter_map(|set| Some((set.params.as_ref()?, set.rate)));
        let start = ModuleLrScheduler::new(base);
        own.chain(of_set).fold(start, |all, (params, rate)| all.with_group(params.clone(), rate)).step()
    }

    /// Whether a group has this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.rates.iter().any(|group| group.name == name)
    }
}

impl RateGroup {
    fn rate(&self, base: f64, given: f64, set: &[SetRate]) -> f64 {
        if let Some(set) = set.iter().find(|set| set.patterns.is_none() && set.group == self.name) {
            return set.rate;
        }
        match self.rate {
            GroupRate::Factor(factor) => base * factor,
            // Without a schedule, exactly the given number.
            GroupRate::Own(own) if base.to_bits() == given.to_bits() => own,
            GroupRate::Own(own) => base * (own / given),
        }
    }
}

/// The groups of `layers`, from the input to the output. A layer `blocks.*` is one for each number below `blocks`.
fn by_layer(factor: f64, layers: &[String], paths: &[&str]) -> Result<Vec<RateGroup>, (String, String)> {
    if !(factor.is_finite() && factor > 0.0) {
        return Err((format!("the layer-wise decay {factor} is not a number above 0"), "use 0.9, for example".into()));
    }
    let mut all = Vec::new();
    for layer in layers {
        match layer.strip_suffix(".*") {
            None => all.push(layer.clone()),
            Some(list) => {
                let below = format!("{list}.");
                let number = |path: &&str| path.strip_prefix(&below)?.split('.').next()?.parse::<usize>().ok();
                let mut numbers: Vec<_> = paths.iter().filter_map(number).collect();
                numbers.sort_unstable();
                numbers.dedup();
                if numbers.is_empty() {
                    return Err((format!("`{layer}` matches no layer with a number"), "name a list of layers, such as `blocks.*`".into()));
                }
                all.extend(numbers.into_iter().map(|number| format!("{below}{number}")));
            }
        }
    }
    let count = all.len();
    let group = |(index, layer): (usize, String)| {
        let selected = Patterns::from(layer.as_str()).select("Optimizer::layer_wise_decay", paths.iter().copied());
        let params = ParamGroup::from_paths(selected.map_err(|error| (error.reason, error.hint))?);
        #[expect(clippy::cast_possible_wrap, reason = "a module has fewer layers")]
        let depth = (count - 1 - index) as i32;
        Ok(RateGroup { name: Patterns::from(layer).name(), rate: GroupRate::Factor(factor.powi(depth)), params })
    };
    all.into_iter().enumerate().map(group).collect()
}

#[cfg(test)]
mod tests;
