//! A module with other float types.

use burn::{
    module::{Module, ModuleMapper, Param},
    tensor::{DType, FloatDType, Tensor},
};

use super::full;
use crate::training_mode::{in_place_of, in_training, strategy_of};

/// Casts the parameters of a module. The values are detached.
struct Cast {
    dtype: FloatDType,
    /// How many layers that stay as they are enclose the current parameter. `None` casts in them, too.
    kept: Option<usize>,
}

impl ModuleMapper for Cast {
    fn enter_module(&mut self, _name: &str, container_type: &str) {
        if let Some(kept) = &mut self.kept
            && full::is_kept(container_type)
        {
            *kept += 1;
        }
    }
    fn exit_module(&mut self, _name: &str, container_type: &str) {
        if let Some(kept) = &mut self.kept
            && full::is_kept(container_type)
        {
            *kept -= 1;
        }
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.kept.is_some_and(|kept| kept > 0) || !differs(&param, self.dtype) {
            return param;
        }
        param.map(|tensor| {
            let value = tensor.clone().inner().cast(self.dtype);
            in_place_of(&tensor, value)
        })
    }
}

fn differs<const D: usize>(param: &Param<Tensor<D>>, dtype: FloatDType) -> bool {
    let own = param.val().dtype();
    own != DType::from(dtype) && !matches!(own, DType::QFloat(_))
}

/// A copy of a module in evaluation mode, with separate running statistics. Its float parameters have this type, except
/// those of a [`FullPrecision`](super::FullPrecision).
pub fn cast<M: Module>(module: &M, dtype: FloatDType) -> M {
    module.valid().map(&mut Cast { dtype, kept: Some(0) })
}

/// A module whose float parameters all have this type. `None` if they have it already.
pub fn cast_parameters<M: Module>(module: &M, dtype: FloatDType) -> Option<M> {
    let mut differing = Differing { dtype, any: false };
    module.visit(&mut differing);
    differing.any.then(|| {
        // The copy has separate running statistics.
        let is_in_training = module.devices().iter().any(burn::tensor::Device::is_autodiff);
        let copy = module.valid().map(&mut Cast { dtype, kept: None });
        if is_in_training { in_training(copy, strategy_of(module)) } else { copy }
    })
}

struct Differing {
    dtype: FloatDType,
    any: bool,
}

impl burn::module::ModuleVisitor for Differing {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.any |= differs(param, self.dtype);
    }
}
