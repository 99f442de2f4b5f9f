//! Adam and `AdamW` on the CPU in one pass over the memory.
//!
//! burn's algorithms are a dozen operations on tensors. Each of them walks through all numbers, so most of a step of a
//! small model is spent on memory. Here, one loop does the same operations for each number, in the same order. The
//! result equals that of burn to the bit, which the tests check. The numbers of a large parameter are divided among the
//! threads of the `rayon` pool, as those of burn's kernels.
//!
//! Everything else is left to burn: other devices and types of numbers, the first step, `AMSGrad`, and cautious decay.

mod kernel;

use burn::{
    optim::{
        Adam, AdamConfig, AdamState, AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, LearningRate, ModuleOptimizer, Optimizer,
        decay::WeightDecayConfig,
    },
    tensor::{DType, Device, Tensor, TensorData},
};
use serde::Deserialize;
use stormfire_checkpoint::optimizer_state::{Destination, Transparent, show};
use stormfire_values::read::{is_at_hand, values_at_hand};

use self::kernel::{AdamRule, AdamWRule, Rule};

/// Below, the pass costs more than it saves.
const LEAST: usize = 1024;

/// Adam. Its moments leave the device together with the rest of a snapshot.
pub(crate) fn adam(config: &AdamConfig, to: Destination) -> ModuleOptimizer {
    #[derive(Deserialize)]
    struct Shown {
        beta_1: f32,
        beta_2: f32,
        epsilon: f32,
        amsgrad: bool,
        weight_decay: Option<WeightDecayConfig>,
    }
    match show(config) {
        Some(Shown { beta_1, beta_2, epsilon, amsgrad: false, weight_decay }) => {
            let penalty = weight_decay.map(|decay| decay.penalty);
            to.put(Transparent(Fused { burn: config.build(), formula: AdamFormula { betas: [beta_1, beta_2], epsilon, penalty } }))
        }
        _ => to.put(Transparent(config.build())),
    }
}

/// `AdamW`. Its moments leave the device together with the rest of a snapshot.
pub(crate) fn adam_w(config: &AdamWConfig, to: Destination) -> ModuleOptimizer {
    #[derive(Deserialize)]
    struct Shown {
        beta_1: f32,
        beta_2: f32,
        epsilon: f32,
        weight_decay: f32,
        cautious_weight_decay: bool,
        amsgrad: bool,
    }
    match show(config) {
        Some(Shown { beta_1, beta_2, epsilon, weight_decay: decay, cautious_weight_decay: false, amsgrad: false }) => {
            to.put(Transparent(Fused { burn: config.build(), formula: AdamWFormula { betas: [beta_1, beta_2], epsilon, decay } }))
        }
        _ => to.put(Transparent(config.build())),
    }
}

/// An algorithm of burn, and its formula for one number.
#[derive(Clone)]
struct Fused<O, F> {
    burn: O,
    formula: F,
}

/// The formula of an algorithm with two moments.
trait Formula<O: Optimizer>: Clone + Send + Sync + 'static {
    /// It at one step, which is the `time`-th.
    fn at(&self, lr: f64, time: usize) -> impl Rule;
    /// The moments in a state.
    fn open<const D: usize>(state: O::State<D>) -> AdaptiveMomentumState<D>;
    /// A state of moments.
    fn close<const D: usize>(moments: AdaptiveMomentumState<D>) -> O::State<D>;
}

#[derive(Clone)]
struct AdamFormula {
    betas: [f32; 2],
    epsilon: f32,
    penalty: Option<f32>,
}

impl Formula<Adam> for AdamFormula {
    #[expect(clippy::cast_possible_truncation, reason = "as burn does")]
    fn at(&self, lr: f64, time: usize) -> impl Rule {
        let [left_1, left_2] = left(self.betas, time);
        let correction = left_2.sqrt();
        AdamRule {
            betas: self.betas,
            factor: correction / left_1,
            epsilon: self.epsilon * correction,
            penalty: self.penalty,
            rate: lr as f32,
        }
    }

    fn open<const D: usize>(state: AdamState<D>) -> AdaptiveMomentumState<D> {
        state.momentum
    }

    fn close<const D: usize>(moments: AdaptiveMomentumState<D>) -> AdamState<D> {
        AdamState::new(moments)
    }
}

#[derive(Clone)]
struct AdamWFormula {
    betas: [f32; 2],
    epsilon: f32,
    decay: f32,
}

impl Formula<AdamW> for AdamWFormula {
    #[expect(clippy::cast_possible_truncation, reason = "as burn does")]
    fn at(&self, lr: f64, time: usize) -> impl Rule {
        let decay = lr * f64::from(self.decay);
        AdamWRule {
            betas: self.betas,
            left: left(self.betas, time),
            epsilon: self.epsilon,
            kept: (decay != 0.0).then_some((1.0 - decay) as f32),
            rate: lr as f32,
        }
    }

    fn open<const D: usize>(state: AdamWState<D>) -> AdaptiveMomentumState<D> {
        state.momentum
    }

    fn close<const D: usize>(moments: AdaptiveMomentumState<D>) -> AdamWState<D> {
        AdamWState::new(moments)
    }
}

/// The bias corrections of the moments: `1 - beta^time`.
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "as burn does")]
fn left(betas: [f32; 2], time: usize) -> [f32; 2] {
    betas.map(|beta| 1.0 - beta.powi(time as i32))
}

impl<O: Optimizer, F: Formula<O>> Optimizer for Fused<O, F> {
    type State<const D: usize> = O::State<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<O::State<D>>,
    ) -> (Tensor<D>, Option<O::State<D>>) {
        let Some(state) = state else { return self.burn.step(lr, tensor, grad, None) };
        let device = tensor.device();
        let moments = F::open(state);
        let all = [&tensor, &grad, &moments.moment_1, &moments.moment_2];
        let fits = |other: &Tensor<D>| other.dtype() == DType::F32 && other.shape() == tensor.shape() && other.device() == device;
        if moments.max_moment_2.is_some() || !is_at_hand(&device) || tensor.shape().num_elements() < LEAST || !all.into_iter().all(fits) {
            return self.burn.step(lr, tensor, grad, Some(F::close(moments)));
        }
        let time = moments.time + 1;
        let tensors = [tensor, grad, moments.moment_1, moments.moment_2];
        let ([tensor, grad, moment_1, moment_2], is_updated) = updated(&self.formula.at(lr, time), tensors, &device);
        let moments = AdaptiveMomentumState::new(if is_updated { time } else { time - 1 }, moment_1, moment_2);
        if is_updated { (tensor, Some(F::close(moments))) } else { self.burn.step(lr, tensor, grad, Some(F::close(moments))) }
    }

    fn to_device<const D: usize>(state: O::State<D>, device: &Device) -> O::State<D> {
        O::to_device(state, device)
    }
}

/// The parameter, its gradient and its moments after the step, and whether they are: they stay if their values are not
/// at hand.
fn updated<const D: usize>(rule: &impl Rule, tensors: [Tensor<D>; 4], device: &Device) -> ([Tensor<D>; 4], bool) {
    // The memory of a tensor without another handle is taken as it is.
    let mut data = tensors.map(values_at_hand);
    let slices = data.each_mut().map(|data| data.as_mut().ok().and_then(|data| data.as_mut_slice::<f32>().ok()));
    let is_updated = if let [Some(values), Some(gradient), Some(moment_1), Some(moment_2)] = slices {
        kernel::run(rule, values, gradient, [moment_1, moment_2]);
        true
    } else {
        false
    };
    let back =
        |data: Result<TensorData, Tensor<D>>| data.map_or_else(|tensor| tensor, |data| Tensor::from_data(data, (device, DType::F32)));
    (data.map(back), is_updated)
}

#[cfg(test)]
mod tests;
