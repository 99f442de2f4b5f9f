//! Optimizers as plain data, for the configuration of a module.

use burn::optim::{
    AdaGradConfig, AdamConfig, AdamWConfig, LionConfig, RmsPropConfig, SgdConfig, decay::WeightDecayConfig, momentum::MomentumConfig,
};
use serde::{Deserialize, Serialize};

use crate::{error::Result, optimizer::Optimizer, schedule_config::ScheduleConfig};

/// An optimizer and its learning rate as plain data: a field of the configuration of a module. In a file it is
/// `optimizer: {name: adam_w, lr: 1e-3}`.
///
/// ```
/// use stormfire_optim::OptimizerConfig;
///
/// let config: OptimizerConfig = serde_json::from_str(r#"{"name": "sgd", "lr": 0.1, "momentum": 0.9}"#)?;
/// assert_eq!(config.build().name(), "SGD");
/// assert_eq!(OptimizerConfig::adam(1e-3).lr(), 1e-3);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// In a module:
///
/// * `Ok(self.config.optimizer.build().into())`
/// * `Ok(self.config.optimizer.scheduled(&self.config.schedule, self.estimated_stepping_batches())?.into())`
///
/// Defaults are those of burn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum OptimizerConfig {
    /// Adam.
    Adam {
        /// The learning rate.
        #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
        lr: f64,
        /// The decay of the mean of the gradients.
        #[serde(default = "defaults::beta_1")]
        #[cfg_attr(feature = "schema", schemars(range(min = 0), extend("exclusiveMaximum" = 1)))]
        beta_1: f64,
        /// The decay of the mean of their squares.
        #[serde(default = "defaults::beta_2")]
        #[cfg_attr(feature = "schema", schemars(range(min = 0), extend("exclusiveMaximum" = 1)))]
        beta_2: f64,
        /// A small number in the denominator.
        #[serde(default = "defaults::epsilon")]
        #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
        epsilon: f64,
        /// The factor of an L2 penalty. 0 for none.
        #[serde(default)]
        #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
        weight_decay: f64,
        /// Whether to divide by the largest mean of squares so far.
        #[serde(default)]
        amsgrad: bool,
    },
    /// Adam with a decoupled weight decay.
    AdamW {
        /// The learning rate.
        #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
        lr: f64,
        /// The decay of the mean of the gradients.
        #[serde(default = "defaults::beta_1")]
        #[cfg_attr(feature = "schema", schemars(range(min = 0), extend("exclusiveMaximum" = 1)))]
        beta_1: f64,
        /// The decay of the mean of their squares.
        #[serde(default = "defaults::beta_2")]
        #[cfg_attr(feature = "schema", schemars(range(min = 0), extend("exclusiveMaximum" = 1)))]
        beta_2: f64,
        /// A small number in the denominator.
        #[serde(default = "defaults::epsilon")]
        #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
        epsilon: f64,
        /// The part of a weight that a step removes, times the learning rate.
        #[serde(default = "defaults::decoupled")]
        #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
        weight_decay: f64,
        /// Whether to divide by the largest mean of squares so far.
        #[serde(default)]
        amsgrad: bool,
    },
    /// Gradient descent.
    Sgd {
        /// The learning rate.
        #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
        lr: f64,
        /// The factor of the former steps. 0 for none.
        #[serde(default)]
        #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
        momentum: f64,
        /// The part of a gradient that does not count in the momentum.
        #[serde(default)]
        #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1)))]
        dampening: f64,
        /// Whether the momentum looks ahead.
        #[serde(default)]
        nesterov: bool,
        /// The factor of an L2 penalty. 0 for none.
        #[serde(default)]
        #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
        weight_decay: f64,
    },
    /// `RMSprop`.
    RmsProp {
        /// The learning rate.
        #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
        lr: f64,
        /// The decay of the mean of squares.
        #[serde(default = "defaults::alpha")]
        #[cfg_attr(feature = "schema", schemars(range(min = 0), extend("exclusiveMaximum" = 1)))]
        alpha: f64,
        /// The factor of the former steps.
        #[serde(default = "defaults::beta_1")]
        #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
        momentum: f64,
        /// A small number in the denominator.
        #[serde(default = "defaults::epsilon")]
        #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
        epsilon: f64,
        /// Whether to divide by the variance.
        #[serde(default)]
        centered: bool,
        /// The factor of an L2 penalty. 0 for none.
        #[serde(default)]
        #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
        weight_decay: f64,
    },
    /// `AdaGrad`.
    AdaGrad {
        /// The learning rate.
        #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
        lr: f64,
        /// The decay of the learning rate.
        #[serde(default)]
        #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
        lr_decay: f64,
        /// A small number in the denominator.
        #[serde(default = "defaults::epsilon")]
        #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
        epsilon: f64,
        /// The factor of an L2 penalty. 0 for none.
        #[serde(default)]
        #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
        weight_decay: f64,
    },
    /// Lion.
    Lion {
        /// The learning rate.
        #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
        lr: f64,
        /// The weight of the mean in the direction of a step.
        #[serde(default = "defaults::beta_1")]
        #[cfg_attr(feature = "schema", schemars(range(min = 0), extend("exclusiveMaximum" = 1)))]
        beta_1: f64,
        /// The decay of the mean of the gradients.
        #[serde(default = "defaults::alpha")]
        #[cfg_attr(feature = "schema", schemars(range(min = 0), extend("exclusiveMaximum" = 1)))]
        beta_2: f64,
        /// The part of a weight that a step removes, times the learning rate.
        #[serde(default)]
        #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
        weight_decay: f64,
    },
}

/// Those of burn.
mod defaults {
    pub(super) fn beta_1() -> f64 {
        0.9
    }
    pub(super) fn beta_2() -> f64 {
        0.999
    }
    pub(super) fn alpha() -> f64 {
        0.99
    }
    pub(super) fn epsilon() -> f64 {
        1e-5
    }
    pub(super) fn decoupled() -> f64 {
        1e-4
    }
}

fn penalty(factor: f64) -> Option<WeightDecayConfig> {
    (factor != 0.0).then(|| WeightDecayConfig::new(factor as f32))
}

impl OptimizerConfig {
    /// Adam with burn's defaults.
    pub fn adam(lr: f64) -> Self {
        let (beta_1, beta_2, epsilon) = (defaults::beta_1(), defaults::beta_2(), defaults::epsilon());
        Self::Adam { lr, beta_1, beta_2, epsilon, weight_decay: 0.0, amsgrad: false }
    }

    /// `AdamW` with burn's defaults.
    pub fn adam_w(lr: f64) -> Self {
        let (beta_1, beta_2, epsilon) = (defaults::beta_1(), defaults::beta_2(), defaults::epsilon());
        Self::AdamW { lr, beta_1, beta_2, epsilon, weight_decay: defaults::decoupled(), amsgrad: false }
    }

    /// Gradient descent without momentum.
    pub fn sgd(lr: f64) -> Self {
        Self::Sgd { lr, momentum: 0.0, dampening: 0.0, nesterov: false, weight_decay: 0.0 }
    }

    /// The learning rate.
    pub fn lr(&self) -> f64 {
        match self {
            Self::Adam { lr, .. }
            | Self::AdamW { lr, .. }
            | Self::Sgd { lr, .. }
            | Self::RmsProp { lr, .. }
            | Self::AdaGrad { lr, .. }
            | Self::Lion { lr, .. } => *lr,
        }
    }

    /// The optimizer. Add groups or a name to it, if it needs them.
    pub fn build(&self) -> Optimizer {
        match *self {
            Self::Adam { lr, beta_1, beta_2, epsilon, weight_decay, amsgrad } => {
                let config = AdamConfig::new().with_beta_1(beta_1 as f32).with_beta_2(beta_2 as f32).with_epsilon(epsilon as f32);
                Optimizer::new(config.with_weight_decay(penalty(weight_decay)).with_amsgrad(amsgrad), lr)
            }
            Self::AdamW { lr, beta_1, beta_2, epsilon, weight_decay, amsgrad } => {
                let config = AdamWConfig::new().with_beta_1(beta_1 as f32).with_beta_2(beta_2 as f32).with_epsilon(epsilon as f32);
                Optimizer::new(config.with_weight_decay(weight_decay as f32).with_amsgrad(amsgrad), lr)
            }
            Self::Sgd { lr, momentum, dampening, nesterov, weight_decay } => {
                let momentum = (momentum != 0.0).then_some(MomentumConfig { momentum, dampening, nesterov });
                Optimizer::new(SgdConfig::new().with_momentum(momentum).with_weight_decay(penalty(weight_decay)), lr)
            }
            Self::RmsProp { lr, alpha, momentum, epsilon, centered, weight_decay } => {
                let config = RmsPropConfig::new().with_alpha(alpha as f32).with_momentum(momentum as f32).with_epsilon(epsilon as f32);
                Optimizer::new(config.with_centered(centered).with_weight_decay(penalty(weight_decay)), lr)
            }
            Self::AdaGrad { lr, lr_decay, epsilon, weight_decay } => {
                let config = AdaGradConfig::new().with_lr_decay(lr_decay).with_epsilon(epsilon as f32);
                Optimizer::new(config.with_weight_decay(penalty(weight_decay)), lr)
            }
            Self::Lion { lr, beta_1, beta_2, weight_decay } => {
                let config = LionConfig::new().with_beta_1(beta_1 as f32).with_beta_2(beta_2 as f32);
                Optimizer::new(config.with_weight_decay(weight_decay as f32), lr)
            }
        }
    }

    /// The optimizer with a schedule. `steps` is the length of the fit, for schedules that span it:
    /// `self.estimated_stepping_batches()`.
    ///
    /// # Errors
    /// If the schedule needs the length, and neither `steps` nor the schedule has one.
    pub fn scheduled(&self, schedule: &ScheduleConfig, steps: Option<u64>) -> Result<Optimizer> {
        let optimizer = self.build();
        Ok(match schedule.build(self.lr(), steps)? {
            Some(schedule) => optimizer.schedule(schedule),
            None => optimizer,
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::config::Config;
    use serde_json::{Value, json};

    use super::*;

    /// The fields of a configuration that burn has, too, have its defaults.
    fn has_defaults_of(name: &str, theirs: &impl Config) {
        let ours: OptimizerConfig = serde_json::from_value(json!({ "name": name, "lr": 0.1 })).unwrap();
        let (ours, theirs) = (serde_json::to_value(ours).unwrap(), serde_json::to_value(theirs).unwrap());
        for (field, value) in ours.as_object().unwrap() {
            match (value, &theirs[field]) {
                (Value::Number(_), Value::Number(number)) => {
                    let (ours, theirs) = (value.as_f64().unwrap(), number.as_f64().unwrap());
                    assert!((ours - theirs).abs() <= 1e-6 * theirs.abs(), "{name}: {field}: {ours} and {theirs}");
                }
                // A penalty or momentum of 0 is none.
                (Value::Number(zero), Value::Null) if field != "lr" => assert_eq!(zero.as_f64(), Some(0.0), "{name}: {field}"),
                (ours, theirs) => assert!(ours == theirs || theirs.is_null(), "{name}: {field}: {ours} and {theirs}"),
            }
        }
    }

    #[test]
    fn defaults_are_those_of_burn() {
        has_defaults_of("adam", &AdamConfig::new());
        has_defaults_of("adam_w", &AdamWConfig::new());
        has_defaults_of("sgd", &SgdConfig::new());
        has_defaults_of("rms_prop", &RmsPropConfig::new());
        has_defaults_of("ada_grad", &AdaGradConfig::new());
        has_defaults_of("lion", &LionConfig::new());
    }

    #[test]
    fn each_name_makes_its_optimizer() {
        let names =
            [("adam", "Adam"), ("adam_w", "AdamW"), ("sgd", "SGD"), ("rms_prop", "RMSprop"), ("ada_grad", "AdaGrad"), ("lion", "Lion")];
        for (name, expected) in names {
            let config: OptimizerConfig = serde_json::from_value(json!({ "name": name, "lr": 0.5, "weight_decay": 0.1 })).unwrap();
            let optimizer = config.build();
            assert_eq!((optimizer.name(), optimizer.learning_rate()), (expected, 0.5));
        }
        for config in [OptimizerConfig::adam(0.5), OptimizerConfig::adam_w(0.5), OptimizerConfig::sgd(0.5)] {
            let name = serde_json::to_value(&config).unwrap()["name"].clone();
            assert_eq!(serde_json::from_value::<OptimizerConfig>(json!({ "name": name, "lr": 0.5 })).unwrap(), config);
        }
    }
}
