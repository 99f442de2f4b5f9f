//! Layers that hooks have made: they are on the device of the run, have a tape, and share no parameter.

use burn::{
    module::{Module, ModuleMapper, Param},
    tensor::{Device, Tensor},
};
use stormfire_module::Result;
use stormfire_optim::{
    float_params::{EachFloat, walk},
    shared_ids,
};

/// Makes a module ready for training after hooks that may have changed it.
///
/// # Errors
/// As [`shared_ids::check`].
pub(crate) fn adopt<M: Module>(module: &mut M, device: &Device) -> Result<()> {
    if walk(module, LacksTape(false)).0 {
        *module = module.clone().map(&mut GivesTape(device));
    }
    Ok(shared_ids::check(module)?)
}

fn has_tape<const D: usize>(param: &Param<Tensor<D>>) -> bool {
    param.lazy_device().is_autodiff()
}

/// Whether a parameter was made on a device without a tape.
struct LacksTape(bool);

impl EachFloat for LacksTape {
    fn call<const D: usize>(&mut self, _path: &str, param: &Param<Tensor<D>>) {
        self.0 |= !has_tape(param);
    }
}

/// Gives these parameters a tape. The optimizers of burn panic at parameters without one.
struct GivesTape<'a>(&'a Device);

impl ModuleMapper for GivesTape<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if has_tape(&param) { param } else { param.to_device(self.0).train() }
    }
}
