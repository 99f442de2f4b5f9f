//! Reimplementations of the algorithms whose state burn 0.22 keeps in private fields. Their state is accessible.
//!
//! Every update equals that of burn to the bit, which the tests check. `Sgd` and `Muon` use burn's own parts. This file
//! can be removed once burn exposes the fields.

use burn::{
    grad_clipping::GradientClipping,
    module::ParamGroup,
    optim::{
        AdaGradConfig, LearningRate, ModuleOptimizer, Muon, MuonConfig, Optimizer, RmsPropConfig, Sgd, SgdConfig,
        decay::{WeightDecay, WeightDecayConfig},
        momentum::{Momentum, MomentumConfig, MomentumState},
    },
    tensor::{Device, Tensor},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::fields::{BUFFER, Fields, GRADIENT_AVERAGE, SQUARE_AVERAGE, SUM, VARIANCE, VELOCITY};
use super::transparent::Transparent;

/// A momentum with an accessible velocity.
#[derive(Clone)]
struct OpenMomentum {
    /// burn's momentum without Nesterov: its result is the velocity.
    plain: Momentum,
    /// The factor of Nesterov's lookahead.
    nesterov: Option<f32>,
}

impl OpenMomentum {
    fn new(config: &MomentumConfig) -> Self {
        let MomentumConfig { momentum, dampening, nesterov } = *config;
        #[expect(clippy::cast_possible_truncation, reason = "burn calculates with this number, too")]
        let factor = momentum as f32;
        let plain = Momentum::new(&MomentumConfig { momentum, dampening, nesterov: false });
        Self { plain, nesterov: nesterov.then_some(factor) }
    }

    /// The direction of the update, and the new velocity.
    fn transform<const D: usize>(&self, gradient: Tensor<D>, velocity: Option<Tensor<D>>) -> (Tensor<D>, Tensor<D>) {
        let velocity = velocity.map(MomentumState::new);
        let Some(factor) = self.nesterov else {
            let (velocity, _) = self.plain.transform(gradient, velocity);
            return (velocity.clone(), velocity);
        };
        let (velocity, _) = self.plain.transform(gradient.clone(), velocity);
        (velocity.clone().mul_scalar(factor).add(gradient), velocity)
    }
}

/// burn's SGD with momentum.
#[derive(Clone)]
struct OpenSgd {
    momentum: OpenMomentum,
    weight_decay: Option<WeightDecay>,
    /// burn's SGD, without momentum and weight decay.
    plain: Sgd,
}

/// burn's Muon.
#[derive(Clone)]
struct OpenMuon {
    momentum: OpenMomentum,
    /// burn's Muon. Its momentum has no effect on a parameter without state.
    plain: Muon,
}

/// burn's `RMSprop`.
#[derive(Clone)]
struct OpenRmsProp {
    alpha: f32,
    momentum: f32,
    epsilon: f32,
    centered: bool,
    weight_decay: Option<WeightDecay>,
}

/// burn's `AdaGrad`.
#[derive(Clone)]
struct OpenAdaGrad {
    lr_decay: f64,
    epsilon: f32,
    weight_decay: Option<WeightDecay>,
}

/// An update of one parameter: returns the new value and the new state.
trait Update: Clone + Send + Sync {
    fn update<const D: usize>(&self, lr: f64, tensor: Tensor<D>, gradient: Tensor<D>, old: Fields<D>) -> (Tensor<D>, Fields<D>);
}

fn decayed<const D: usize>(decay: Option<&WeightDecay>, gradient: Tensor<D>, tensor: &Tensor<D>) -> Tensor<D> {
    match decay {
        Some(decay) => decay.transform(gradient, tensor.clone()),
        None => gradient,
    }
}

impl Update for OpenSgd {
    fn update<const D: usize>(&self, lr: f64, tensor: Tensor<D>, gradient: Tensor<D>, mut old: Fields<D>) -> (Tensor<D>, Fields<D>) {
        let gradient = decayed(self.weight_decay.as_ref(), gradient, &tensor);
        let (direction, velocity) = self.momentum.transform(gradient, old.take(VELOCITY));
        (self.plain.step(lr, tensor, direction, None).0, Fields::default().with(VELOCITY, velocity))
    }
}

impl Update for OpenMuon {
    fn update<const D: usize>(&self, lr: f64, tensor: Tensor<D>, gradient: Tensor<D>, mut old: Fields<D>) -> (Tensor<D>, Fields<D>) {
        let (direction, velocity) = self.momentum.transform(gradient, old.take(VELOCITY));
        (self.plain.step(lr, tensor, direction, None).0, Fields::default().with(VELOCITY, velocity))
    }
}

impl Update for OpenRmsProp {
    fn update<const D: usize>(&self, lr: f64, tensor: Tensor<D>, gradient: Tensor<D>, mut old: Fields<D>) -> (Tensor<D>, Fields<D>) {
        let gradient = decayed(self.weight_decay.as_ref(), gradient, &tensor);
        let average = |old: Option<Tensor<D>>, new: Tensor<D>| {
            let new = new.mul_scalar(1.0 - self.alpha);
            old.map_or(new.clone(), |old| old.mul_scalar(self.alpha).add(new))
        };
        let squares = average(old.take(SQUARE_AVERAGE), gradient.clone().square());
        let mean = self.centered.then(|| average(old.take(GRADIENT_AVERAGE), gradient.clone()));
        let variance = match &mean {
            Some(mean) => squares.clone().sub(mean.clone().square()),
            None => squares.clone(),
        };
        let scaled = gradient.div(variance.clone().sqrt().add_scalar(self.epsilon));
        let buffer = (self.momentum > 0.0).then(|| match old.take(BUFFER) {
            Some(buffer) => buffer.mul_scalar(self.momentum).add(scaled.clone()),
            None => scaled.clone(),
        });
        let tensor = tensor - buffer.clone().unwrap_or(scaled).mul_scalar(lr);
        let fields = Fields::default().with(SQUARE_AVERAGE, squares).with(GRADIENT_AVERAGE, mean).with(BUFFER, buffer);
        (tensor, fields.with(VARIANCE, variance))
    }
}

impl Update for OpenAdaGrad {
    fn update<const D: usize>(&self, lr: f64, tensor: Tensor<D>, gradient: Tensor<D>, mut old: Fields<D>) -> (Tensor<D>, Fields<D>) {
        let gradient = decayed(self.weight_decay.as_ref(), gradient, &tensor);
        let squares = gradient.clone().square();
        let sum = old.take(SUM).map_or(squares.clone(), |sum| sum.add(squares));
        let done = old.time.unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "2^53 updates are out of reach")]
        let lr = lr / (1.0 + done as f64 * self.lr_decay);
        let tensor = tensor - gradient.div(sum.clone().sqrt().add_scalar(self.epsilon)).mul_scalar(lr);
        (tensor, Fields { time: Some(done + 1), ..Fields::default().with(SUM, sum) })
    }
}

/// An algorithm as an optimizer of burn.
#[derive(Clone)]
struct Open<U>(U);

impl<U: Update + 'static> Optimizer for Open<U> {
    type State<const D: usize> = Fields<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Fields<D>>,
    ) -> (Tensor<D>, Option<Fields<D>>) {
        let (tensor, fields) = self.0.update(lr, tensor, grad, state.unwrap_or_default());
        (tensor, Some(fields))
    }

    fn to_device<const D: usize>(state: Fields<D>, device: &Device) -> Fields<D> {
        let tensors = state.tensors.into_iter().map(|(name, tensor)| (name, tensor.to_device(device)));
        Fields { tensors: tensors.collect(), ..state }
    }
}

/// Where an algorithm is put.
pub enum Destination {
    /// The algorithm becomes a separate optimizer.
    Own,
    /// The algorithm is added to a parameter group of this optimizer, with this clipping.
    Group(Box<ModuleOptimizer>, ParamGroup, Option<GradientClipping>),
}

impl Destination {
    /// Returns the optimizer that has the algorithm.
    pub fn put(self, algorithm: impl Optimizer) -> ModuleOptimizer {
        match self {
            Self::Own => algorithm.into(),
            Self::Group(optimizer, group, clipping) => optimizer.with_group(group, algorithm, clipping),
        }
    }
}

/// SGD without gradient clipping. Its momentum leaves the device together with the rest of the snapshot.
pub fn sgd(config: &SgdConfig, to: Destination) -> ModuleOptimizer {
    #[derive(Deserialize)]
    struct Shown {
        momentum: Option<MomentumConfig>,
        weight_decay: Option<WeightDecayConfig>,
    }
    match show(config) {
        Some(Shown { momentum: Some(momentum), weight_decay }) => to.put(open(OpenSgd {
            momentum: OpenMomentum::new(&momentum),
            weight_decay: weight_decay.as_ref().map(WeightDecay::new),
            plain: SgdConfig::new().build(),
        })),
        _ => to.put(Transparent(config.build())),
    }
}

/// Muon. Its momentum leaves the device together with the rest of the snapshot.
pub fn muon(config: &MuonConfig, to: Destination) -> ModuleOptimizer {
    #[derive(Deserialize)]
    struct Shown {
        momentum: MomentumConfig,
    }
    match show(config) {
        Some(Shown { momentum }) => {
            let none = MomentumConfig { momentum: 0.0, dampening: 0.0, nesterov: false };
            to.put(open(OpenMuon { momentum: OpenMomentum::new(&momentum), plain: config.clone().with_momentum(none).build() }))
        }
        None => to.put(Transparent(config.build())),
    }
}

/// `RMSprop` without gradient clipping. Its averages leave the device together with the rest of the snapshot.
pub fn rms_prop(config: &RmsPropConfig, to: Destination) -> ModuleOptimizer {
    #[derive(Deserialize)]
    struct Shown {
        alpha: f32,
        momentum: f32,
        epsilon: f32,
        centered: bool,
        weight_decay: Option<WeightDecayConfig>,
    }
    match show(config) {
        Some(Shown { alpha, momentum, epsilon, centered, weight_decay }) => {
            to.put(open(OpenRmsProp { alpha, momentum, epsilon, centered, weight_decay: weight_decay.as_ref().map(WeightDecay::new) }))
        }
        None => to.put(Transparent(config.build())),
    }
}

/// `AdaGrad` without gradient clipping. Its sum leaves the device together with the rest of the snapshot.
pub fn ada_grad(config: &AdaGradConfig, to: Destination) -> ModuleOptimizer {
    #[derive(Deserialize)]
    struct Shown {
        lr_decay: f64,
        epsilon: f32,
        weight_decay: Option<WeightDecayConfig>,
    }
    match show(config) {
        Some(Shown { lr_decay, epsilon, weight_decay }) => {
            to.put(open(OpenAdaGrad { lr_decay, epsilon, weight_decay: weight_decay.as_ref().map(WeightDecay::new) }))
        }
        None => to.put(Transparent(config.build())),
    }
}

fn open<U: Update + 'static>(update: U) -> Transparent<Open<U>> {
    Transparent(Open(update))
}

/// Reads the private fields of a configuration from its serialized form. `None` for a number that JSON cannot
/// represent, such as NaN.
pub fn show<T: DeserializeOwned>(config: &impl Serialize) -> Option<T> {
    serde_json::to_value(config).and_then(serde_json::from_value).ok()
}
