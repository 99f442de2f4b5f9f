//! The parameters of an optimizer.

use std::collections::HashSet;

use burn::{
    module::{Module, Param, ParamId},
    tensor::Tensor,
};

use crate::{
    error::{Error, Result},
    float_params::{EachFloat, walk},
};

/// The parameters of a module that an optimizer can train, by path.
pub(super) fn of<M: Module>(module: &M) -> Vec<(ParamId, String)> {
    struct Collect(Vec<(ParamId, String)>);
    impl EachFloat for Collect {
        fn call<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
            self.0.push((param.id, path.into()));
        }
    }
    walk(module, Collect(Vec::new())).0
}

/// The parameters selected by `Optimizer::params_of`.
pub(super) fn own(optimizer: &str, named: &HashSet<ParamId>, all: &[(ParamId, String)]) -> Result<Vec<(ParamId, String)>> {
    let own: Vec<_> = all.iter().filter(|(id, _)| named.contains(id)).cloned().collect();
    let ids: HashSet<ParamId> = own.iter().map(|(id, _)| *id).collect();
    let foreign = named.difference(&ids).count();
    let refuse = |reason: String| Error::Optimizer {
        optimizer: optimizer.into(),
        reason,
        hint: "give `params_of` parts of the module that `configure_optimizers` is called on: `params_of(&self.head)`".into(),
    };
    match (foreign, named.len()) {
        (_, 0) => Err(refuse("`params_of` was given no parameters, so it would train nothing".into())),
        (0, _) => Ok(own),
        (foreign, all) => Err(refuse(format!("{foreign} of the {all} parameters that `params_of` was given are not those of this module"))),
    }
}
