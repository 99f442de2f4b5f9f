//! Layers that hooks have made: they are on the device of the run, have a tape, and share no parameter.

use burn::{
    module::{Module, ModuleMapper, Param},
    tensor::{GradientCheckpointingStrategy, Tensor},
};
use stormfire_module::{Result, for_trainer::training_mode::in_training};
use stormfire_optim::{
    float_params::{EachFloat, walk},
    shared_ids,
};

use crate::frame::Frame;

/// Makes a module ready for training after hooks that may have changed it.
///
/// # Errors
/// As [`shared_ids::check`].
pub(crate) fn adopt<M: Module>(module: &mut M, frame: &Frame) -> Result<()> {
    if walk(module, LacksTape { strategy: frame.checkpointing, any: false }).any {
        *module = module.clone().map(&mut GivesTape(frame));
    }
    Ok(shared_ids::check(module)?)
}

fn has_tape<const D: usize>(param: &Param<Tensor<D>>, strategy: GradientCheckpointingStrategy) -> bool {
    param.lazy_device().gradient_checkpointing_strategy() == Some(strategy)
}

/// Whether a parameter was made on a device without a tape, or with another kind of it.
struct LacksTape {
    strategy: GradientCheckpointingStrategy,
    any: bool,
}

impl EachFloat for LacksTape {
    fn call<const D: usize>(&mut self, _path: &str, param: &Param<Tensor<D>>) {
        self.any |= !has_tape(param, self.strategy);
    }
}

/// Gives these parameters the tape of the others. The optimizers of burn panic at parameters without one.
struct GivesTape<'a>(&'a Frame);

impl ModuleMapper for GivesTape<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Frame { device, checkpointing, .. } = self.0;
        if has_tape(&param, *checkpointing) { param } else { in_training(param.to_device(device), *checkpointing) }
    }
}
