//! The float types of gradients.

use burn::{
    module::{Module, Param},
    optim::GradientsParams,
    tensor::Tensor,
};

use stormfire_values::read::without_halves;

use super::{AnyRank, change};
use crate::float_params::{EachFloat, walk};

pub(super) struct Widen;

impl AnyRank for Widen {
    fn apply<const D: usize>(&self, gradient: Tensor<D>) -> Tensor<D> {
        without_halves(gradient)
    }
}

/// Casts the gradients that are half floats to `f32`.
pub fn widen<M: Module>(gradients: &mut GradientsParams, module: &M) {
    change(gradients, module, Widen);
}

/// Casts each gradient to the type of its parameter.
pub fn as_parameters<M: Module>(gradients: &mut GradientsParams, module: &M) {
    struct Cast<'a>(&'a mut GradientsParams);
    impl EachFloat for Cast<'_> {
        fn call<const D: usize>(&mut self, _path: &str, param: &Param<Tensor<D>>) {
            let Some(gradient) = self.0.get::<D>(param.id) else { return };
            let dtype = param.val().dtype();
            if gradient.dtype() != dtype && dtype.is_float() {
                self.0.register(param.id, gradient.cast(dtype));
            }
        }
    }
    walk(module, Cast(gradients));
}

#[cfg(test)]
mod tests {
    use burn::{
        nn::LinearConfig,
        tensor::{DType, Device, FloatDType},
    };

    use super::*;
    use crate::gradients::accumulate;

    #[test]
    fn half_floats_are_added_in_f32_and_cast_back_for_the_parameter() {
        let device = Device::flex();
        let module = LinearConfig::new(1, 1).with_bias(false).init(&device);
        let id = module.weight.id;
        let one = |value: f32| {
            let mut gradients = GradientsParams::new();
            gradients.register(id, Tensor::<2>::from_floats([[value]], &device).cast(FloatDType::BF16));
            gradients
        };
        let mut sum = one(256.0);
        accumulate(&mut sum, one(1.0), &module);
        let gradient = sum.get::<2>(id).unwrap();
        assert_eq!(gradient.dtype(), DType::F32);
        assert!((gradient.into_scalar::<f32>() - 257.0).abs() < 1e-6, "bf16 has no 257");
        let half = module.clone().map(&mut ToHalf);
        as_parameters(&mut sum, &half);
        assert_eq!(sum.get::<2>(id).unwrap().dtype(), DType::BF16);
        as_parameters(&mut sum, &module);
        assert_eq!(sum.get::<2>(id).unwrap().dtype(), DType::F32);
    }

    struct ToHalf;
    impl burn::module::ModuleMapper for ToHalf {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|tensor| tensor.cast(FloatDType::BF16))
        }
    }
}
