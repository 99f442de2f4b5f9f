//! The float parameters of a module, apart from the rest of it.

use std::{any::Any, collections::VecDeque};

use burn::{
    module::{Module, ModuleMapper, Param, ParamId},
    tensor::Tensor,
};
use stormfire_optim::float_params::{EachFloat, walk};

use crate::{
    error::{Error, Result},
    training_mode::{in_training, strategy_of},
};

/// In the order of the module's fields: two frozen places may have one id.
struct Params(VecDeque<(ParamId, Box<dyn Any>)>);

impl EachFloat for Params {
    fn call<const D: usize>(&mut self, _path: &str, param: &Param<Tensor<D>>) {
        self.0.push_back((param.id, Box::new(param.clone())));
    }
}

struct Fill {
    params: Params,
    fits: bool,
}

impl ModuleMapper for Fill {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let next = self.params.0.pop_front().filter(|(id, _)| *id == param.id);
        if let Some(given) = next.and_then(|(_, given)| given.downcast::<Param<Tensor<D>>>().ok()) {
            return *given;
        }
        self.fits = false;
        param
    }
}

/// The module `rest` with the float parameters of another one: its skipped fields, flags and integers with their
/// weights. The result shares no running statistics with either.
///
/// # Errors
/// They have different parameters.
pub(super) fn with_parameters_of<M: Module>(params: &M, rest: &M) -> Result<M> {
    // A running statistic only notes what it has seen. Leaving the training mode adds that.
    drop(params.valid());
    let mut fill = Fill { params: walk(params, Params(VecDeque::new())), fits: true };
    let module = in_training(rest.valid(), strategy_of(rest)).map(&mut fill);
    if fill.fits && fill.params.0.is_empty() {
        return Ok(module);
    }
    let reason = "a hook or `training_batch` has added or removed parameters in the middle of a batch";
    Err(Error::config("precision", reason, "change the structure of the module between batches: in `on_train_batch_start`, for example"))
}
