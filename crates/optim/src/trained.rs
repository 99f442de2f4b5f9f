//! Which parameters are trained: burn's `requires_grad`, by parameter path.

use std::collections::HashSet;

use burn::{
    module::{Module, ModuleMapper, Param},
    tensor::Tensor,
};

use crate::{
    error::Result,
    float_params::{EachFloat, walk},
    patterns::Patterns,
};

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

/// Freezes the parameters that match a pattern: they get no gradients, so no optimizer changes them.
///
/// Dropout stays active in a frozen part, and a `BatchNorm` keeps updating its running statistics.
///
/// ```
/// use burn::{nn::{Linear, LinearConfig}, prelude::*};
/// use stormfire_optim::{freeze, trained::frozen, unfreeze};
///
/// #[derive(Module, Debug)]
/// struct Net { backbone: Linear, head: Linear }
///
/// # let linear = || LinearConfig::new(2, 2).init(&Device::flex());
/// # let net = Net { backbone: linear(), head: linear() };
/// let net = freeze(net, "backbone")?;
/// let net = unfreeze(net, "*.bias")?;
/// assert_eq!(frozen(&net), ["backbone.weight"]);
/// # Ok::<(), stormfire_optim::Error>(())
/// ```
///
/// # Errors
/// [`Error::Config`](crate::Error::Config) with similar names for a pattern that matches no parameter.
pub fn freeze<M: Module>(module: M, patterns: impl Into<Patterns>) -> Result<M> {
    set_trained(module, &patterns.into(), false, "freeze")
}

/// Trains the parameters that match a pattern again, after [`freeze`]. Running statistics stay as they are.
///
/// # Errors
/// As [`freeze`].
pub fn unfreeze<M: Module>(module: M, patterns: impl Into<Patterns>) -> Result<M> {
    set_trained(module, &patterns.into(), true, "unfreeze")
}

fn set_trained<M: Module>(module: M, patterns: &Patterns, trains: bool, option: &str) -> Result<M> {
    let selected: HashSet<_> = patterns.select(option, paths(&module).iter().map(String::as_str))?.into_iter().collect();
    let kept = frozen(&module).into_iter().filter(|path| !selected.contains(path));
    let frozen: Vec<_> = if trains { kept.collect() } else { kept.chain(selected.iter().cloned()).collect() };
    Ok(with_frozen(module, &frozen).0)
}

/// The paths of the float parameters.
pub fn paths<M: Module>(module: &M) -> Vec<String> {
    struct Paths(Vec<String>);
    impl EachFloat for Paths {
        fn call<const D: usize>(&mut self, path: &str, _param: &Param<Tensor<D>>) {
            self.0.push(path.into());
        }
    }
    walk(module, Paths(Vec::new())).0
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
