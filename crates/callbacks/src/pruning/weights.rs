//! The weights of a module: reading and masking them by path.

use std::collections::{HashMap, HashSet};

use burn::{
    module::{Module, ModuleMapper, Param, ParamId},
    tensor::{Bool, Device, GradientCheckpointingStrategy, Tensor},
};
use stormfire_optim::{
    float_params::{EachFloat, walk},
    trained::is_trained,
};

/// A weight that may be pruned.
pub(super) struct Weight {
    pub(super) path: String,
    pub(super) shape: Vec<usize>,
    pub(super) values: Tensor<1>,
}

/// The trained parameters that a function chooses by path. Without one, those with two or more dimensions. A parameter
/// at two places comes once, under its first path.
pub(super) fn chosen<M: Module>(module: &M, chooses: Option<&dyn Fn(&str) -> bool>) -> Vec<Weight> {
    struct Collect<'a> {
        chooses: Option<&'a dyn Fn(&str) -> bool>,
        seen: HashSet<ParamId>,
        found: Vec<Weight>,
    }
    impl EachFloat for Collect<'_> {
        fn call<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
            let is_chosen = self.chooses.map_or(D >= 2, |chooses| chooses(path));
            if is_chosen && is_trained(param) && self.seen.insert(param.id) {
                let values = param.val().inner();
                let shape = values.dims().to_vec();
                let values = values.reshape([shape.iter().product::<usize>()]);
                self.found.push(Weight { path: path.into(), shape, values });
            }
        }
    }
    walk(module, Collect { chooses, seen: HashSet::new(), found: Vec::new() }).found
}

/// Sets elements to zero. `pruned` finds those of a parameter by its path.
pub(super) fn apply<'a, M: Module>(module: &mut M, pruned: impl Fn(&str) -> Option<&'a Tensor<1, Bool>>) {
    struct Apply<F> {
        path: Vec<String>,
        pruned: F,
        /// Another place of a shared parameter gets the same value.
        done: HashMap<ParamId, Tensor<1, Bool>>,
    }
    impl<'a, F: Fn(&str) -> Option<&'a Tensor<1, Bool>>> ModuleMapper for Apply<F> {
        fn enter_module(&mut self, name: &str, _container_type: &str) {
            self.path.push(name.into());
        }
        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.pop();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let found = (self.pruned)(&self.path.join(".")).cloned().or_else(|| self.done.get(&param.id).cloned());
            let Some(pruned) = found else { return param };
            self.done.insert(param.id, pruned.clone());
            param.map(|value| {
                let trains = value.is_require_grad();
                let masked = |value: Tensor<D>| {
                    let dims = value.dims();
                    value.mask_fill(pruned.reshape(dims), 0.0)
                };
                if value.is_autodiff() { Tensor::from_inner(masked(value.inner())).set_require_grad(trains) } else { masked(value) }
            })
        }
    }
    *module = module.clone().map(&mut Apply { path: Vec::new(), pruned, done: HashMap::new() });
}

/// Whether the module uses gradient checkpointing.
pub(super) fn checkpoints_gradients<M: Module>(module: &M) -> bool {
    let strategies = module.devices();
    let mut strategies = strategies.iter().filter_map(Device::gradient_checkpointing_strategy);
    strategies.any(|strategy| strategy != GradientCheckpointingStrategy::default())
}
