//! Operations on gradients: accumulating, clipping, checking and saving them, without a device read unless an error is
//! found.

mod combine;
mod types;
mod watched;

use std::collections::{BTreeMap, HashSet};

use burn::{
    module::{Module, Param, ParamId},
    optim::GradientsParams,
    tensor::{DType, Tensor, TensorData},
};
use serde::{Deserialize, Serialize};
use stormfire_checkpoint::Snapshot;
use stormfire_values::{
    ReadError, Scalar,
    read::{read, without_halves},
    reads_text,
    text::{TextError, one_of},
};

use crate::float_params::{EachFloat, walk};

pub(crate) use combine::share;
pub use combine::{accumulate, divide};
pub use types::{as_parameters, widen};
pub use watched::{Norms, Of, Samples, norms, samples};

/// The method of gradient clipping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "String")]
pub enum ClipAlgorithm {
    /// Scale all gradients so that their common L2 norm is at most the value (`torch.nn.utils.clip_grad_norm_`).
    #[default]
    Norm,
    /// Clamp each element to `[-value, value]` (`torch.nn.utils.clip_grad_value_`).
    Value,
}

impl std::str::FromStr for ClipAlgorithm {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        one_of(text, "a clipping method", &[("norm", Self::Norm), ("value", Self::Value)], "`norm` or `value`")
    }
}

reads_text!(ClipAlgorithm);

/// Gradient clipping: a limit and its method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clip {
    /// The maximum norm, or the maximum absolute value of an element.
    pub value: f64,
    /// The method.
    pub algorithm: ClipAlgorithm,
}

/// The squared L2 norm of each gradient.
struct Squares<'a> {
    gradients: &'a GradientsParams,
    found: Vec<Tensor<1>>,
    /// A parameter at two places has one gradient.
    seen: HashSet<ParamId>,
}

impl EachFloat for Squares<'_> {
    fn call<const D: usize>(&mut self, _path: &str, param: &Param<Tensor<D>>) {
        // Squares of half floats overflow, and tensors of different types cannot be added.
        if let Some(gradient) = self.gradients.get::<D>(param.id)
            && self.seen.insert(param.id)
        {
            self.found.push(without_halves(gradient).powi_scalar(2).sum());
        }
    }
}

/// The tensors of [`Totals`].
#[derive(Clone, Copy)]
enum Summed<'a> {
    Gradients(&'a GradientsParams),
    /// Includes parameters that are not trained, such as running statistics. These may be infinite on purpose, such as
    /// masks.
    Parameters,
    Trained,
}

/// A number for each tensor, which is finite exactly when all of its elements are.
struct Totals<'a> {
    of: Summed<'a>,
    found: Vec<(String, Tensor<1>)>,
}

impl EachFloat for Totals<'_> {
    fn call<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
        let tensor = match self.of {
            Summed::Gradients(gradients) => gradients.get::<D>(param.id),
            Summed::Parameters if !is_trained(param) => {
                let value = param.val().inner();
                Some(value.clone().mask_fill(value.is_inf(), 0.0))
            }
            Summed::Parameters => Some(param.val().inner()),
            Summed::Trained => is_trained(param).then(|| param.val().inner()),
        };
        self.found.extend(tensor.map(|tensor| (path.to_string(), total_of(tensor))));
    }
}

/// Also works for a parameter in evaluation mode, which remembers the setting.
fn is_trained<const D: usize>(param: &Param<Tensor<D>>) -> bool {
    let value = param.val();
    if value.is_autodiff() { value.is_require_grad() } else { param.clone().train().val().is_require_grad() }
}

/// A sum is the cheapest reduction that keeps NaN and infinity. As `f32`, which does not overflow for sums of `f16`,
/// the totals of parameters of several types can be added.
fn total_of<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let tensor = if tensor.dtype() == DType::F16 { tensor.cast(DType::F32) } else { tensor };
    tensor.sum().cast(DType::F32)
}

/// Changes each gradient with a function for any rank.
struct Change<'a, F> {
    gradients: &'a mut GradientsParams,
    function: F,
    seen: HashSet<ParamId>,
}

fn change<M: Module, F: AnyRank>(gradients: &mut GradientsParams, module: &M, change: F) {
    walk(module, Change { gradients, function: change, seen: HashSet::new() });
}

trait AnyRank {
    fn apply<const D: usize>(&self, gradient: Tensor<D>) -> Tensor<D>;
}

impl<F: AnyRank> EachFloat for Change<'_, F> {
    fn call<const D: usize>(&mut self, _path: &str, param: &Param<Tensor<D>>) {
        if self.seen.insert(param.id)
            && let Some(gradient) = self.gradients.remove::<D>(param.id)
        {
            self.gradients.register(param.id, self.function.apply(gradient));
        }
    }
}

struct Scale(Tensor<1>);

impl AnyRank for Scale {
    fn apply<const D: usize>(&self, gradient: Tensor<D>) -> Tensor<D> {
        let factor = self.0.clone().unsqueeze::<D>();
        let dtype = gradient.dtype();
        gradient * if factor.dtype() == dtype { factor } else { factor.cast(dtype) }
    }
}

struct Clamp(f64);

impl AnyRank for Clamp {
    fn apply<const D: usize>(&self, gradient: Tensor<D>) -> Tensor<D> {
        gradient.clamp(-self.0, self.0)
    }
}

/// The L2 norm of all gradients together, shape `[1]`, on the device. `None` without gradients.
pub fn global_norm<M: Module>(gradients: &GradientsParams, module: &M) -> Option<Tensor<1>> {
    let squares = walk(module, Squares { gradients, found: Vec::new(), seen: HashSet::new() }).found;
    squares.into_iter().reduce(|a, b| a + b).map(Tensor::sqrt)
}

/// A number on the device, shape `[1]`, which is finite exactly when every gradient is. `None` without gradients. Needs
/// one reduction per gradient.
pub fn total<M: Module>(gradients: &GradientsParams, module: &M) -> Option<Tensor<1>> {
    sum(module, Summed::Gradients(gradients))
}

/// As [`total`], for the trained parameters. `None` without any.
pub fn total_of_trained<M: Module>(module: &M) -> Option<Tensor<1>> {
    sum(module, Summed::Trained)
}

fn sum<M: Module>(module: &M, of: Summed<'_>) -> Option<Tensor<1>> {
    let totals = walk(module, Totals { of, found: Vec::new() }).found;
    totals.into_iter().map(|(_, total)| total).reduce(|a, b| a + b)
}

/// The paths of the trained parameters, even if the module is in evaluation mode.
pub fn trained<M: Module>(module: &M) -> Vec<String> {
    struct Trained(Vec<String>);
    impl EachFloat for Trained {
        fn call<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
            self.0.extend(is_trained(param).then(|| path.to_string()));
        }
    }
    walk(module, Trained(Vec::new())).0
}

/// Clips gradients in place, as torch does: the norm is that of all parameters together, and the factor is `value /
/// (norm + 1e-6)`, at most 1. Reads nothing from the device.
pub fn clip<M: Module>(gradients: &mut GradientsParams, module: &M, clip: Clip) {
    match clip.algorithm {
        ClipAlgorithm::Value => change(gradients, module, Clamp(clip.value)),
        ClipAlgorithm::Norm => {
            if let Some(norm) = global_norm(gradients, module) {
                clip_norm(gradients, module, norm, clip.value);
            }
        }
    }
}

/// Clips gradients with a known global norm.
pub fn clip_norm<M: Module>(gradients: &mut GradientsParams, module: &M, norm: Tensor<1>, max: f64) {
    let factor = (norm + 1e-6).recip().mul_scalar(max).clamp_max(1.0);
    change(gradients, module, Scale(factor));
}

/// The folder of gradients in a checkpoint.
const FOLDER: &str = "gradients/";

/// Adds gradients to a snapshot, by parameter path.
pub fn save<M: Module>(gradients: &GradientsParams, module: &M, snapshot: &mut Snapshot) {
    struct Save<'a> {
        gradients: &'a GradientsParams,
        snapshot: &'a mut Snapshot,
    }
    impl EachFloat for Save<'_> {
        fn call<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.gradients.get::<D>(param.id) {
                self.snapshot.add(format!("{FOLDER}{path}"), gradient);
            }
        }
    }
    walk(module, Save { gradients, snapshot });
}

/// Takes the gradients of [`save`] from the tensors of a checkpoint. `None` if it has none.
pub fn load<M: Module>(tensors: &mut BTreeMap<String, TensorData>, module: &M) -> Option<GradientsParams> {
    struct Load<'a> {
        tensors: &'a mut BTreeMap<String, TensorData>,
        gradients: GradientsParams,
    }
    impl EachFloat for Load<'_> {
        fn call<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
            let (device, shape) = (param.lazy_device().inner(), param.lazy_shape());
            if let Some(data) = self.tensors.remove(&format!("{FOLDER}{path}"))
                && data.shape() == &shape
            {
                let dtype = data.dtype();
                self.gradients.register(param.id, Tensor::<D>::from_data(data, (&device, dtype)));
            }
        }
    }
    let gradients = walk(module, Load { tensors, gradients: GradientsParams::new() }).gradients;
    (!gradients.is_empty()).then_some(gradients)
}

/// The paths of the parameters whose gradient is not finite. Needs one device read.
///
/// # Errors
/// [`ReadError`] if the device fails.
pub fn non_finite<M: Module>(gradients: &GradientsParams, module: &M) -> Result<Vec<String>, ReadError> {
    not_finite_of(module, Summed::Gradients(gradients))
}

/// The paths of trained parameters that are not finite, and of other parameters that are NaN. Needs one device read.
///
/// # Errors
/// [`ReadError`] if the device fails.
pub fn non_finite_parameters<M: Module>(module: &M) -> Result<Vec<String>, ReadError> {
    not_finite_of(module, Summed::Parameters)
}

fn not_finite_of<M: Module>(module: &M, of: Summed<'_>) -> Result<Vec<String>, ReadError> {
    let totals = walk(module, Totals { of, found: Vec::new() }).found;
    let (paths, tensors): (Vec<_>, Vec<_>) = totals.into_iter().map(|(path, total)| (path, Scalar::from(total))).unzip();
    let values = read(&tensors)?;
    Ok(paths.into_iter().zip(values).filter(|(_, value)| !value.is_finite()).map(|(path, _)| path).collect())
}

#[cfg(test)]
mod tests {
    use burn::{
        nn::{Linear, LinearConfig},
        tensor::Device,
    };

    use super::*;

    fn module() -> Linear {
        LinearConfig::new(2, 1).init(&Device::flex().autodiff())
    }

    /// Gradients 3 and 4 for the weights, 12 for the bias: the norm is 13.
    fn gradients(module: &Linear) -> GradientsParams {
        let device = Device::flex();
        let mut gradients = GradientsParams::new();
        gradients.register(module.weight.id, Tensor::<2>::from_floats([[3.0], [4.0]], &device));
        if let Some(bias) = &module.bias {
            gradients.register(bias.id, Tensor::<1>::from_floats([12.0], &device));
        }
        gradients
    }

    fn values(module: &Linear, gradients: &GradientsParams) -> Vec<f64> {
        let weight = gradients.get::<2>(module.weight.id).unwrap();
        let bias = gradients.get::<1>(module.bias.as_ref().unwrap().id).unwrap();
        let parts = [weight.clone().slice([0..1, 0..1]).reshape([1]), weight.slice([1..2, 0..1]).reshape([1]), bias];
        read(&parts.map(Scalar::from)).unwrap()
    }

    fn close(actual: &[f64], expected: &[f64]) -> bool {
        actual.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4)
    }

    #[test]
    fn the_norm_is_global() {
        let module = module();
        let mut clipped = gradients(&module);
        let norm = global_norm(&clipped, &module).unwrap();
        assert_eq!(read(&[norm.into()]).unwrap(), [13.0]);
        clip(&mut clipped, &module, Clip { value: 1.3, algorithm: ClipAlgorithm::Norm });
        assert!(close(&values(&module, &clipped), &[0.3, 0.4, 1.2]));
        clip(&mut clipped, &module, Clip { value: 100.0, algorithm: ClipAlgorithm::Norm });
        assert!(close(&values(&module, &clipped), &[0.3, 0.4, 1.2]), "a small norm is left alone");
        clip(&mut clipped, &module, Clip { value: 0.35, algorithm: ClipAlgorithm::Value });
        assert!(close(&values(&module, &clipped), &[0.3, 0.35, 0.35]));
    }

    /// 400² exceeds the range of `f16`, and 256 + 1 the precision of `bf16`.
    #[test]
    fn the_norm_of_half_floats_is_that_of_their_values() {
        let module = module();
        let of = |values: &[f32], dtype| TensorData::from(values).convert_dtype(dtype);
        for (dtype, weight, bias, norm) in [(DType::F16, [300.0, 400.0], 1200.0, 1300.0), (DType::BF16, [16.0, 0.0], 1.0, 257_f64.sqrt())] {
            let (device, mut gradients) = (Device::flex(), GradientsParams::new());
            let weight = Tensor::<1>::from_data(of(&weight, dtype), (&device, dtype)).reshape([2, 1]);
            gradients.register(module.weight.id, weight);
            // A module may have parameters of several types.
            gradients.register(module.bias.as_ref().unwrap().id, Tensor::<1>::from_floats([bias], &device));
            let found = read(&[global_norm(&gradients, &module).unwrap().into()]).unwrap()[0];
            assert!((found - norm).abs() < 1e-3 * norm, "{dtype:?}: {found} instead of {norm}");
            clip(&mut gradients, &module, Clip { value: norm / 10.0, algorithm: ClipAlgorithm::Norm });
            assert_eq!(gradients.get::<2>(module.weight.id).unwrap().dtype(), dtype);
            let clipped = read(&[global_norm(&gradients, &module).unwrap().into()]).unwrap()[0];
            assert!((clipped - norm / 10.0).abs() < 1e-2 * norm, "{dtype:?}: {clipped}");
        }
    }

    #[test]
    fn a_parameter_in_two_places_counts_once() {
        let layer = module();
        for algorithm in [ClipAlgorithm::Norm, ClipAlgorithm::Value] {
            let (mut once, mut twice) = (gradients(&layer), gradients(&layer));
            clip(&mut once, &layer, Clip { value: 1.3, algorithm });
            clip(&mut twice, &[layer.clone(), layer.clone()], Clip { value: 1.3, algorithm });
            assert_eq!(values(&layer, &twice), values(&layer, &once));
        }
    }

    #[test]
    fn accumulating_adds() {
        let module = module();
        let mut sum = gradients(&module);
        accumulate(&mut sum, gradients(&module), &module);
        let mut only_weight = GradientsParams::new();
        only_weight.register(module.weight.id, Tensor::<2>::from_floats([[1.0], [1.0]], &Device::flex()));
        accumulate(&mut sum, only_weight, &module);
        assert!(close(&values(&module, &sum), &[7.0, 9.0, 24.0]));
    }

    #[test]
    fn gradients_that_are_not_finite_are_found_and_named() {
        let module = module();
        let device = Device::flex();
        let total_of = |gradients: &GradientsParams| read(&[total(gradients, &module).unwrap().into()]).unwrap()[0];
        let mut gradients = gradients(&module);
        assert!(total(&GradientsParams::new(), &module).is_none());
        assert!(non_finite(&gradients, &module).unwrap().is_empty());
        // Its square exceeds the range of `f32`.
        gradients.register(module.weight.id, Tensor::<2>::from_floats([[1e30], [1.0]], &device));
        assert!(non_finite(&gradients, &module).unwrap().is_empty());
        assert!(total_of(&gradients).is_finite());
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            gradients.register(module.bias.as_ref().unwrap().id, Tensor::<1>::from_floats([bad], &device));
            assert_eq!(non_finite(&gradients, &module).unwrap(), ["bias"], "{bad}");
            assert!(!total_of(&gradients).is_finite(), "{bad}");
        }
        // Two infinities do not cancel out.
        gradients.register(module.weight.id, Tensor::<2>::from_floats([[f32::INFINITY], [f32::NEG_INFINITY]], &device));
        assert!(!total_of(&gradients).is_finite());
        assert!(non_finite_parameters(&module).unwrap().is_empty());
    }

    #[test]
    fn a_parameter_that_is_not_finite_is_named() {
        let mut module = module();
        module.weight = module.weight.map(|weight| Tensor::from_inner(weight.inner() * f64::NAN).require_grad());
        assert_eq!(non_finite_parameters(&module).unwrap(), ["weight"]);
        // A parameter that is not trained may be infinite on purpose.
        let number = |number: f64| Param::from_tensor(Tensor::<2>::full([1, 2], number, &Device::flex())).set_require_grad(false);
        for (value, named) in [(f64::NEG_INFINITY, 0), (f64::NAN, 1)] {
            module.weight = number(value);
            assert_eq!(non_finite_parameters(&module).unwrap().len(), named, "{value}");
        }
    }

    #[test]
    fn trained_parameters_are_known_in_evaluation_mode() {
        let mut module = module();
        module.bias = module.bias.map(|bias| bias.set_require_grad(false));
        let one = |module: &Linear| read(&[total_of_trained(module).unwrap().into()]).unwrap();
        for module in [module.clone(), module.valid()] {
            assert_eq!(trained(&module), ["weight"]);
            assert!((one(&module)[0] - f64::from(module.weight.val().sum().into_scalar::<f32>())).abs() < 1e-6);
        }
        assert!(total_of_trained(&module.no_grad()).is_none());
    }
}
