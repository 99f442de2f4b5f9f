//! Modules in training mode, with a strategy of gradient checkpointing.
//!
//! burn's `train` gives every tensor the default strategy, and no operation takes tensors of two strategies. So a
//! module with another strategy must not be switched by burn alone.

use burn::{
    module::{Flag, Module, ModuleMapper, ModuleVisitor, Param},
    tensor::{Bool, Device, GradientCheckpointingStrategy, Int, Tensor},
};

/// The device of a module that trains, with its tape. `None` in evaluation mode.
pub fn device_of<M: Module>(module: &M) -> Option<Device> {
    struct First(Option<Device>);
    impl ModuleVisitor for First {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.0.is_none() {
                self.0 = Some(param.lazy_device()).filter(Device::is_autodiff);
            }
        }
    }
    let mut first = First(None);
    module.visit(&mut first);
    // For burn, a device with a tape equals one without, so `devices` may not list it.
    first.0.or_else(|| module.devices().into_iter().find(Device::is_autodiff))
}

/// The strategy of a module that trains.
pub fn strategy_of<M: Module>(module: &M) -> GradientCheckpointingStrategy {
    device_of(module).and_then(|device| device.gradient_checkpointing_strategy()).unwrap_or_default()
}

/// The module in training mode, with this strategy.
///
/// Except for the default strategy, tensors that are not parameters get no tape: burn has no way to set the strategy of
/// such a tensor in a module, and combines a tensor without a tape with any other.
pub fn in_training<M: Module>(module: M, strategy: GradientCheckpointingStrategy) -> M {
    if strategy != GradientCheckpointingStrategy::default() {
        module.valid().map(&mut GivesTape(strategy))
    } else if strategy_of(&module) == strategy {
        module.train()
    } else {
        module.valid().train()
    }
}

struct GivesTape(GradientCheckpointingStrategy);

impl ModuleMapper for GivesTape {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.train().map(|tensor| tensor.with_gradient_checkpointing_strategy(self.0))
    }
    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        param.train().map(|tensor| tensor.with_gradient_checkpointing_strategy(self.0))
    }
    fn map_bool<const D: usize>(&mut self, param: Param<Tensor<D, Bool>>) -> Param<Tensor<D, Bool>> {
        param.train().map(|tensor| tensor.with_gradient_checkpointing_strategy(self.0))
    }
    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        flag.train()
    }
}

/// A value without a tape in the place of an older one.
pub(crate) fn in_place_of<const D: usize>(old: &Tensor<D>, value: Tensor<D>) -> Tensor<D> {
    match old.gradient_checkpointing_strategy() {
        Some(strategy) => Tensor::from_inner(value).with_gradient_checkpointing_strategy(strategy).set_require_grad(old.is_require_grad()),
        None => value,
    }
}
