//! The result of `configure_optimizers`: optimizers with a name, a learning rate, a schedule, and their parameters.

mod drive;
mod in_checkpoint;
mod params;
mod scale;

use std::collections::HashSet;

use burn::{
    lr_scheduler::module_lr_scheduler::ModuleLearningRate,
    module::{Module, ParamId},
    optim::{
        AdaGradConfig, AdafactorConfig, AdamConfig, AdamWConfig, AdanConfig, LambConfig, LionConfig, ModuleOptimizer, MuonConfig,
        RmsPropConfig, SgdConfig,
    },
};

use stormfire_checkpoint::optimizer_state::{self, Transparent};

use crate::schedule::{IntoSchedule, Schedule};

pub use drive::{DriveOptimizer, DriveOptimizers};
pub use in_checkpoint::{OptimizerStates, OptimizersSnapshot, SaveOptimizers};
pub use scale::Ramp;
use scale::Scale;

/// The sources of an [`Optimizer`]: burn's configurations (`AdamConfig::new()`, which also provide the name), or a
/// [`ModuleOptimizer`], for parameter groups or a custom algorithm.
///
/// Wrap the algorithm of a [`ModuleOptimizer`] in [`Transparent`], as the configurations do. Then a checkpoint copies
/// the state once instead of twice.
pub trait IntoOptimizer {
    /// The optimizer and its name, such as `"Adam"`.
    fn into_optimizer(self) -> (ModuleOptimizer, &'static str);
}

impl IntoOptimizer for ModuleOptimizer {
    fn into_optimizer(self) -> (ModuleOptimizer, &'static str) {
        (self, "optimizer")
    }
}

macro_rules! burn_optimizers {
    (plain $config:ident) => { ModuleOptimizer::from(Transparent($config.build())) };
    (plain $config:ident $made_by:ident) => { optimizer_state::$made_by(&$config) };
    ($($config:ty = $name:literal $(by $made_by:ident)?),* $(,)?) => {$(
        impl IntoOptimizer for $config {
            fn into_optimizer(self) -> (ModuleOptimizer, &'static str) {
                let plain = burn_optimizers!(plain self $($made_by)?);
                let optimizer = match self.init().grad_clipping() {
                    Some(clipping) => plain.with_grad_clipping(clipping.clone()),
                    None => plain,
                };
                (optimizer, $name)
            }
        }
    )*};
}

burn_optimizers!(
    SgdConfig = "SGD" by sgd,
    AdamConfig = "Adam",
    AdamWConfig = "AdamW",
    RmsPropConfig = "RMSprop" by rms_prop,
    AdaGradConfig = "AdaGrad" by ada_grad,
    AdafactorConfig = "Adafactor",
    AdanConfig = "Adan",
    LambConfig = "LAMB",
    LionConfig = "Lion",
    MuonConfig = "Muon" by muon,
);

/// One optimizer of a module.
///
/// ```
/// use burn::optim::AdamConfig;
/// use stormfire_optim::Optimizer;
///
/// let optimizer = Optimizer::new(AdamConfig::new(), 1e-3);
/// assert_eq!(optimizer.name(), "Adam");
/// ```
pub struct Optimizer {
    name: String,
    inner: ModuleOptimizer,
    lr: f64,
    schedule: Option<Schedule>,
    params: Option<HashSet<ParamId>>,
    steps: u64,
    scale: Scale,
}

impl Optimizer {
    /// An optimizer for all parameters of the module, with a learning rate.
    pub fn new(optimizer: impl IntoOptimizer, lr: f64) -> Self {
        let (inner, name) = optimizer.into_optimizer();
        Self { name: name.into(), inner, lr, schedule: None, params: None, steps: 0, scale: Scale::Fixed(1.0) }
    }

    /// Sets the name. `Stepper::step` uses it, and it is a part of the name of the logged learning rate.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Restricts the optimizer to the parameters of a part of the module. Can be called several times. Parameters
    /// outside of the module are an error at the start of the run.
    pub fn params_of<M: Module>(mut self, part: &M) -> Self {
        self.params.get_or_insert_default().extend(params::of(part).into_iter().map(|(id, _)| id));
        self
    }

    /// Sets the schedule of the learning rate.
    pub fn schedule(mut self, schedule: impl IntoSchedule) -> Self {
        self.schedule = Some(schedule.into_schedule());
        self
    }

    /// The name: the given one, or that of the algorithm.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The current learning rate. With parameter groups, that of the parameters in no group.
    pub fn learning_rate(&self) -> f64 {
        self.scale.at(self.steps) * self.schedule.as_ref().and_then(Schedule::rate).map_or(self.lr, ModuleLearningRate::base)
    }

    /// Number of steps.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Its schedule.
    pub fn lr_schedule(&self) -> Option<&Schedule> {
        self.schedule.as_ref()
    }
}

impl std::fmt::Debug for Optimizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Optimizer")
            .field("name", &self.name)
            .field("lr", &self.learning_rate())
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

/// The optimizers of a module, in order.
#[derive(Debug, Default)]
pub struct Optimizers {
    all: Vec<Optimizer>,
}

impl From<Optimizer> for Optimizers {
    fn from(optimizer: Optimizer) -> Self {
        Self { all: vec![optimizer] }
    }
}

impl From<Vec<Optimizer>> for Optimizers {
    fn from(all: Vec<Optimizer>) -> Self {
        Self { all }
    }
}

impl<const N: usize> From<[Optimizer; N]> for Optimizers {
    fn from(all: [Optimizer; N]) -> Self {
        Self { all: all.into() }
    }
}

impl<'a> IntoIterator for &'a Optimizers {
    type Item = &'a Optimizer;
    type IntoIter = std::slice::Iter<'a, Optimizer>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Optimizers {
    /// No optimizers: the steps run, and nothing is updated.
    pub fn none() -> Self {
        Self::default()
    }

    /// Number of optimizers.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are no optimizers.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All optimizers, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Optimizer> {
        self.all.iter()
    }

    /// The learning rates by their logged names: the schedule's name, or `lr-` and the name of the optimizer. Parameter
    /// groups of the schedule follow. Their names contain the common part of their parameters' paths: `lr-AdamW/head`.
    pub fn learning_rates(&self) -> Vec<(String, f64)> {
        let mut rates = Vec::with_capacity(self.all.len());
        for optimizer in &self.all {
            let given = optimizer.schedule.as_ref().and_then(|schedule| schedule.name().map(String::from));
            let key = given.unwrap_or_else(|| format!("lr-{}", optimizer.name));
            let groups = optimizer.schedule.iter().flat_map(Schedule::group_rates);
            let scale = optimizer.scale.at(optimizer.steps);
            let groups: Vec<_> = groups.map(|(group, rate)| (format!("{key}/{group}"), scale * rate)).collect();
            rates.push((key, optimizer.learning_rate()));
            rates.extend(groups);
        }
        rates
    }
}
