//! Which parameters are trained: burn's `requires_grad`, by parameter path.

use std::collections::HashSet;

use burn::{
    module::{Module, ModuleMapper, Param},
    tensor::Tensor,
};

use crate::float_params::{EachFloat, walk};

/// Whether a parameter gets gradients in training. Does not initialize it.
///
/// `Param::is_require_grad` initializes the parameter, and is false on a device without autodiff and in evaluation
/// mode. A stand-in with one element takes over the parameter's setting without these effects.
pub fn is_trained<const D: usize>(param: &Param<Tensor<D>>) -> bool {
    let stand_in = if param.is_initialized() {
        param.clone()
    } else {
        param.clone().transform_for_load(Tensor::zeros([1; D], &param.lazy_device()), param.id)
    };
    stand_in.train().is_require_grad()
}

/// The paths of the float parameters that are not trained: frozen ones, and buffers.
pub fn frozen<M: Module>(module: &M) -> Vec<String> {
    struct Frozen(Vec<String>);
    impl EachFloat for Frozen {
        fn call<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
            if !is_trained(param) {
                self.0.push(path.into());
            }
        }
    }
    walk(module, Frozen(Vec::new())).0
}

/// Freezes exactly these parameters. Returns the module, and the paths of the parameters whose setting changed.
pub fn with_frozen<M: Module>(module: M, frozen: &[String]) -> (M, Vec<String>) {
    struct Set<'a> {
        path: Vec<String>,
        frozen: HashSet<&'a str>,
        changed: Vec<String>,
    }
    impl ModuleMapper for Set<'_> {
        fn enter_module(&mut self, name: &str, _container_type: &str) {
            self.path.push(name.into());
        }
        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.pop();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let path = self.path.join(".");
            let trains = !self.frozen.contains(path.as_str());
            if is_trained(&param) == trains {
                return param;
            }
            self.changed.push(path);
            param.set_require_grad(trains)
        }
    }
    let mut set = Set { path: Vec::new(), frozen: frozen.iter().map(String::as_str).collect(), changed: Vec::new() };
    (module.map(&mut set), set.changed)
}

#[cfg(test)]
mod tests {
    use burn::{
        nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig},
        tensor::Device,
    };

    use super::*;

    #[derive(Module, Debug)]
    struct Net {
        body: Linear,
        norm: BatchNorm,
    }

    #[test]
    fn frozen_parameters_are_found_and_set_in_every_mode() {
        let device = Device::flex();
        let net = Net { body: LinearConfig::new(1, 1).init(&device).freeze(), norm: BatchNormConfig::new(1).init(&device) };
        let expected = ["body.weight", "body.bias", "norm.running_mean", "norm.running_var"];
        for net in [net.clone(), net.clone().train(), net.clone().train().valid()] {
            assert_eq!(frozen(&net), expected);
        }
        let (net, changed) = with_frozen(net.train(), &["norm.gamma".into(), "norm.running_mean".into(), "norm.running_var".into()]);
        assert_eq!(changed, ["body.weight", "body.bias", "norm.gamma"]);
        assert_eq!(frozen(&net), ["norm.gamma", "norm.running_mean", "norm.running_var"]);
        assert!(net.body.weight.val().is_require_grad() && !net.norm.gamma.val().is_require_grad());
    }
}
