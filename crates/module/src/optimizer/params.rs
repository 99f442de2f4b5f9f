//! Which parameters of a module an optimizer has.

use std::collections::HashSet;

use burn::{
    module::{Module, ModuleVisitor, Param, ParamId},
    tensor::Tensor,
};

use crate::error::{Error, Result};

/// The parameters of a module that an optimizer can train, by path.
pub(super) fn of<M: Module>(module: &M) -> Vec<(ParamId, String)> {
    #[derive(Default)]
    struct Collect {
        path: Vec<String>,
        found: Vec<(ParamId, String)>,
    }
    impl ModuleVisitor for Collect {
        fn enter_module(&mut self, name: &str, _container_type: &str) {
            self.path.push(name.into());
        }
        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.found.push((param.id, self.path.join(".")));
        }
    }
    let mut collect = Collect::default();
    module.visit(&mut collect);
    collect.found
}

/// Those of them that `Optimizer::params_of` has named.
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
