//! Parameters that share an id, and independent copies.

use std::collections::HashMap;

use burn::{
    module::{Module, ModuleMapper, Param, ParamId},
    tensor::{Bool, Device, Int, Tensor},
};

use stormfire_checkpoint::origin;
use stormfire_values::ConfigError;

use crate::{
    float_params::{EachFloat, walk},
    trained::is_trained,
};

/// Rejects a module in which two places have the same parameter id and one of them is trained.
///
/// burn's gradients and optimizers use the id. The first place in the order of the fields gets the update of both, even
/// if it is frozen. The second place stays unchanged.
///
/// # Errors
/// [`ConfigError`] with both paths.
pub fn check<M: Module>(module: &M) -> Result<(), ConfigError> {
    let Some((first, second)) = walk(module, Places::default()).pair else { return Ok(()) };
    Err(ConfigError::new(
        "module",
        format!(
            "`{first}` and `{second}` are one parameter to burn: an optimizer would update only the first one, for both, and leave the second one unchanged"
        ),
        "a `clone` keeps the ids of its parameters: copy with `stormfire::optim::independent_copy`; to tie weights, use one field twice",
    ))
}

#[derive(Default)]
struct Places {
    /// The first place of each parameter, and whether it is trained.
    seen: HashMap<ParamId, (String, bool)>,
    pair: Option<(String, String)>,
}

impl EachFloat for Places {
    fn call<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
        match self.seen.get(&param.id) {
            Some((first, trained)) if *trained || is_trained(param) => {
                self.pair.get_or_insert_with(|| (first.clone(), path.into()));
            }
            Some(_) => {}
            None => drop(self.seen.insert(param.id, (path.into(), is_trained(param)))),
        }
    }
}

/// A copy of a module, or of a part of one, that shares nothing with it: its parameters have new ids, and its
/// `BatchNorm` has separate statistics. Values, dtypes, devices and frozen parameters stay.
///
/// `clone` keeps the ids, which burn's gradients and optimizers use. A module that contains a part and a clone of it
/// cannot be trained. With an independent copy it can.
///
/// ```
/// use burn::{nn::{Linear, LinearConfig}, prelude::*};
/// use stormfire_optim::independent_copy;
///
/// #[derive(Module, Debug)]
/// struct Averaged { average: Linear, body: Linear }
///
/// let body = LinearConfig::new(2, 1).init(&Device::flex());
/// let net = Averaged { average: independent_copy(&body).freeze(), body };
/// assert_ne!(net.average.weight.id, net.body.weight.id);
/// ```
pub fn independent_copy<M: Module>(module: &M) -> M {
    struct NewIds;
    impl ModuleMapper for NewIds {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let trains = is_trained(&param);
            let (old, tensor, mapper) = param.consume();
            let new = ParamId::new();
            if origin::is_chosen(old) {
                origin::choose([new]);
            }
            // A separate leaf: two parameters with the same leaf would share its gradient.
            let tensor = if tensor.is_autodiff() { Tensor::from_inner(tensor.inner()).set_require_grad(trains) } else { tensor };
            Param::from_mapped_value(new, tensor, mapper)
        }
        fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
            let (_, tensor, mapper) = param.consume();
            Param::from_mapped_value(ParamId::new(), tensor, mapper)
        }
        fn map_bool<const D: usize>(&mut self, param: Param<Tensor<D, Bool>>) -> Param<Tensor<D, Bool>> {
            let (_, tensor, mapper) = param.consume();
            Param::from_mapped_value(ParamId::new(), tensor, mapper)
        }
    }
    // Only switching modes creates separate statistics.
    let copy = module.valid();
    let copy = if module.devices().iter().any(Device::is_autodiff) { copy.train() } else { copy };
    copy.map(&mut NewIds)
}

#[cfg(test)]
mod tests {
    use burn::{
        nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig},
        tensor::Distribution,
    };

    use super::*;
    use crate::trained::frozen;

    #[derive(Module, Debug)]
    struct Pair {
        average: Option<Linear>,
        body: Linear,
    }

    fn body() -> Linear {
        LinearConfig::new(1, 1).init(&Device::flex())
    }

    #[test]
    fn two_places_of_one_parameter_are_named() {
        let errors = [|body: &Linear| body.clone().freeze(), Linear::clone].map(|average| {
            let body = body();
            let pair = Pair { average: Some(average(&body)), body };
            let error = check(&pair.train()).unwrap_err();
            format!("{error}\n  hint: {}", error.hint)
        });
        insta::assert_snapshot!(errors.join("\n"), @r"
        `module`: `average.weight` and `body.weight` are one parameter to burn: an optimizer would update only the first one, for both, and leave the second one unchanged
          hint: a `clone` keeps the ids of its parameters: copy with `stormfire::optim::independent_copy`; to tie weights, use one field twice
        `module`: `average.weight` and `body.weight` are one parameter to burn: an optimizer would update only the first one, for both, and leave the second one unchanged
          hint: a `clone` keeps the ids of its parameters: copy with `stormfire::optim::independent_copy`; to tie weights, use one field twice
        ");
    }

    #[test]
    fn frozen_and_independent_copies_are_accepted() {
        let body = body();
        check(&Pair { average: Some(independent_copy(&body)), body: body.clone() }.train()).unwrap();
        check(&Pair { average: Some(body.clone().freeze()), body: body.clone().freeze() }.train()).unwrap();
        check(&Pair { average: None, body }.train()).unwrap();
    }

    #[test]
    fn a_copy_shares_nothing() {
        #[derive(Module, Debug)]
        struct Net {
            layer: Linear,
            norm: BatchNorm,
        }
        let device = Device::flex();
        let made = Net { layer: LinearConfig::new(2, 1).init(&device), norm: BatchNormConfig::new(1).init(&device) };
        for net in [made.clone(), made.train()] {
            let copy = independent_copy(&net);
            let weight = |net: &Net| net.layer.weight.val().into_data();
            assert_eq!(weight(&copy), weight(&net));
            assert_eq!(frozen(&copy), frozen(&net));
            assert_ne!(copy.layer.weight.id, net.layer.weight.id);
            let autodiff = device.clone().autodiff();
            let x =
                Tensor::<2>::random([8, 2], Distribution::Default, if net.layer.weight.val().is_autodiff() { &autodiff } else { &device });
            let before = copy.norm.running_mean.value_sync().into_data();
            net.norm.forward::<2>(net.layer.forward(x));
            assert_eq!(copy.norm.running_mean.value_sync().into_data(), before);
            if net.layer.weight.val().is_autodiff() {
                assert!(copy.layer.weight.val().is_require_grad());
            }
        }
    }
}
