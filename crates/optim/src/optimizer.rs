//! The result of `configure_optimizers`: optimizers with a name, a learning rate, a schedule, and their parameters.

mod drive;
mod in_checkpoint;
mod param_groups;
mod params;
mod rates;
mod scale;

use std::collections::HashSet;

use burn::{
    lr_scheduler::module_lr_scheduler::ModuleLearningRate,
    module::{Module, ParamGroup, ParamId},
    optim::{
        AdaGradConfig, AdafactorConfig, AdamConfig, AdamWConfig, AdanConfig, LambConfig, LionConfig, ModuleOptimizer, MuonConfig,
        RmsPropConfig, SgdConfig, decay::WeightDecayConfig,
    },
};

use stormfire_checkpoint::optimizer_state::{self, Destination, Transparent};

use self::param_groups::{Groups, SetRate};
use crate::{
    fused,
    patterns::Patterns,
    schedule::{IntoSchedule, Schedule},
};

pub use drive::{DriveOptimizer, DriveOptimizers};
pub use in_checkpoint::{OptimizerStates, OptimizersSnapshot, SaveOptimizers};
pub use param_groups::Group;
pub use rates::RateOf;
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

    /// Adds parameter groups with another weight decay to the optimizer. Default: `None`, it cannot.
    fn weight_decays(&self) -> Option<AddDecay> {
        None
    }
}

/// Adds parameters with this weight decay to an optimizer, as a group.
pub type AddDecay = Box<dyn Fn(ModuleOptimizer, ParamGroup, f64) -> ModuleOptimizer + Send + Sync>;

impl IntoOptimizer for ModuleOptimizer {
    fn into_optimizer(self) -> (ModuleOptimizer, &'static str) {
        (self, "optimizer")
    }
}

macro_rules! burn_optimizers {
    (place $config:expr, $to:expr) => { $to.put(Transparent($config.build())) };
    (place $config:expr, $to:expr, $made_by:path) => { $made_by(&$config, $to) };
    (decay $decay:expr, number) => { $decay };
    (decay $decay:expr, config) => { Some(WeightDecayConfig::new($decay)) };
    ($($config:ty = $name:literal, $decay:ident $(, by $made_by:path)?;)*) => {$(
        impl IntoOptimizer for $config {
            fn into_optimizer(self) -> (ModuleOptimizer, &'static str) {
                let plain = burn_optimizers!(place self, Destination::Own $(, $made_by)?);
                let optimizer = match self.init().grad_clipping() {
                    Some(clipping) => plain.with_grad_clipping(clipping.clone()),
                    None => plain,
                };
                (optimizer, $name)
            }

            fn weight_decays(&self) -> Option<AddDecay> {
                let config = self.clone();
                Some(Box::new(move |optimizer, params, decay| {
                    let config = config.clone().with_weight_decay(burn_optimizers!(decay decay as f32, $decay));
                    let clipping = optimizer.grad_clipping().cloned();
                    let group = Destination::Group(Box::new(optimizer), params, clipping);
                    burn_optimizers!(place config, group $(, $made_by)?)
                }))
            }
        }
    )*};
}

burn_optimizers!(
    SgdConfig = "SGD", config, by optimizer_state::sgd;
    AdamConfig = "Adam", config, by fused::adam;
    AdamWConfig = "AdamW", number, by fused::adam_w;
    RmsPropConfig = "RMSprop", config, by optimizer_state::rms_prop;
    AdaGradConfig = "AdaGrad", config, by optimizer_state::ada_grad;
    AdafactorConfig = "Adafactor", number;
    AdanConfig = "Adan", number;
    LambConfig = "LAMB", number;
    LionConfig = "Lion", number;
    MuonConfig = "Muon", config, by optimizer_state::muon;
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
///
/// Parameter groups have their own learning rate or weight decay:
///
/// ```
/// use burn::optim::AdamWConfig;
/// use stormfire_optim::Optimizer;
///
/// let optimizer = Optimizer::new(AdamWConfig::new().with_weight_decay(0.01), 1e-3)
///     .group(["*.bias", "*.gamma", "*.beta"], |g| g.weight_decay(0.0))
///     .group("backbone", |g| g.lr_factor(0.1));
/// # let _ = optimizer;
/// ```
///
#[doc = include_str!("../docs/optimizer.md")]
pub struct Optimizer {
    name: String,
    inner: ModuleOptimizer,
    lr: f64,
    schedule: Option<Schedule>,
    params: Option<HashSet<ParamId>>,
    steps: u64,
    scale: Scale,
    decays: Option<AddDecay>,
    groups: Groups,
    /// Rates that were set during the fit.
    set_rates: Vec<SetRate>,
    /// The paths of its parameters, once it has started.
    paths: Vec<String>,
}

impl Optimizer {
    /// An optimizer for all parameters of the module, with a learning rate.
    pub fn new(optimizer: impl IntoOptimizer, lr: f64) -> Self {
        let decays = optimizer.weight_decays();
        let (inner, name) = optimizer.into_optimizer();
        let (groups, set_rates, paths) = (Groups::default(), Vec::new(), Vec::new());
        Self {
            name: name.into(),
            inner,
            lr,
            schedule: None,
            params: None,
            steps: 0,
            scale: Scale::Fixed(1.0),
            decays,
            groups,
            set_rates,
            paths,
        }
    }

    /// Gives some of its parameters their own learning rate or weight decay: those that match a pattern, such as
    /// `*.bias`, or `head` for a part of the module ([`Patterns`]). It can be called several times. If groups overlap,
    /// the last one wins, for each setting: a bias of the backbone can have the rate of one group and the decay of
    /// another.
    ///
    /// A schedule changes the rates of groups in proportion. They are logged as `lr-AdamW/head`. A pattern without a
    /// match is an error at the start of the fit. So is a rate next to a schedule that has parameter groups itself.
    pub fn group(mut self, patterns: impl Into<Patterns>, settings: impl FnOnce(Group) -> Group) -> Self {
        self.groups.add(patterns.into(), settings(Group::default()));
        self
    }

    /// Lowers the learning rate from each layer to the one before it by a factor. `layers` are in the order from the
    /// input to the output: the last one has the rate of the optimizer. `blocks.*` is a layer for each number below
    /// `blocks`.
    ///
    /// ```
    /// use burn::optim::AdamWConfig;
    /// use stormfire_optim::Optimizer;
    ///
    /// let optimizer = Optimizer::new(AdamWConfig::new(), 1e-3).layer_wise_decay(0.9, ["embedding", "blocks.*", "head"]);
    /// # let _ = optimizer;
    /// ```
    pub fn layer_wise_decay<L: Into<String>>(mut self, factor: f64, layers: impl IntoIterator<Item = L>) -> Self {
        self.groups.decay_by_layer(factor, layers.into_iter().map(Into::into).collect());
        self
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
        self.set_rate().unwrap_or_else(|| {
            self.scale.at(self.steps) * self.schedule.as_ref().and_then(Schedule::rate).map_or(self.lr, ModuleLearningRate::base)
        })
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

    /// Whether it has no optimizers.
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
            let key = optimizer.rate_name();
            let groups = optimizer.schedule.iter().flat_map(Schedule::group_rates);
            let scale = optimizer.scale.at(optimizer.steps);
            let groups = groups.map(|(group, rate)| (group.to_owned(), scale * rate)).chain(optimizer.group_rates());
            let groups: Vec<_> = groups.map(|(group, rate)| (format!("{key}/{group}"), rate)).collect();
            rates.push((key, optimizer.learning_rate()));
            rates.extend(groups);
        }
        rates
    }
}
