//! Gradients of several losses and for several optimizers: sums, means and shares.

use std::collections::HashSet;

use burn::{
    module::{Module, Param, ParamId},
    optim::GradientsParams,
    tensor::{DType, Tensor},
};
use stormfire_values::{
    Scalar,
    read::{is_half, without_halves},
};

use super::{AnyRank, change, types::Widen};
use crate::float_params::{EachFloat, walk};

/// Division by a number. A half float has neither the range nor the precision for it.
struct Divide<'a>(&'a Scalar);

impl AnyRank for Divide<'_> {
    fn apply<const D: usize>(&self, gradient: Tensor<D>) -> Tensor<D> {
        let dtype = gradient.dtype();
        let gradient = without_halves(gradient);
        let quotient = match self.0 {
            Scalar::Host(divisor) => gradient.div_scalar(*divisor),
            Scalar::Device(divisor) => {
                let divisor = divisor.clone().into_tensor();
                let divisor = if divisor.dtype() == gradient.dtype() { divisor } else { divisor.cast(gradient.dtype()) };
                gradient / divisor.unsqueeze::<D>()
            }
        };
        if is_half(dtype) { quotient.cast(dtype) } else { quotient }
    }
}

/// Adds `more` to `sum`, parameter by parameter. A parameter in only one of them keeps its gradient. Half floats are
/// added in `f32`.
pub fn accumulate<M: Module>(sum: &mut GradientsParams, more: GradientsParams, module: &M) {
    struct Add<'a> {
        sum: &'a mut GradientsParams,
        more: GradientsParams,
    }
    impl EachFloat for Add<'_> {
        fn call<const D: usize>(&mut self, _path: &str, param: &Param<Tensor<D>>) {
            if let Some(more) = self.more.remove::<D>(param.id) {
                // No further handle of either: burn then adds in place.
                let total = match self.sum.remove::<D>(param.id) {
                    Some(sum) => {
                        let (sum, more) = (Widen.apply(sum), Widen.apply(more));
                        // A window that another precision has left open.
                        if sum.dtype() == more.dtype() { sum + more } else { sum.cast(DType::F64) + more.cast(DType::F64) }
                    }
                    None => more,
                };
                self.sum.register(param.id, total);
            }
        }
    }
    walk(module, Add { sum, more });
}

/// Divides each gradient. Reads nothing from the device.
pub fn divide<M: Module>(gradients: &mut GradientsParams, module: &M, divisor: &Scalar) {
    change(gradients, module, Divide(divisor));
}

/// The gradients of some parameters as new handles. `None` selects all parameters.
pub(crate) fn share<M: Module>(gradients: &GradientsParams, module: &M, own: Option<&HashSet<ParamId>>) -> GradientsParams {
    struct Share<'a> {
        all: &'a GradientsParams,
        own: Option<&'a HashSet<ParamId>>,
        found: GradientsParams,
    }
    impl EachFloat for Share<'_> {
        fn call<const D: usize>(&mut self, _path: &str, param: &Param<Tensor<D>>) {
            if self.own.is_none_or(|own| own.contains(&param.id))
                && let Some(gradient) = self.all.get::<D>(param.id)
            {
                self.found.register(param.id, gradient);
            }
        }
    }
    walk(module, Share { all: gradients, own, found: GradientsParams::new() }).found
}
