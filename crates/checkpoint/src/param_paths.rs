//! The parameters of a module, by path and by id.

use std::collections::HashMap;

use burn::{
    module::{Module, ModuleVisitor, Param, ParamId},
    tensor::{Bool, Int, Tensor},
};

/// The paths of a module's parameters: maps burn's random ids to paths such as `hidden.weight`, and back.
///
/// burn draws new ids whenever a module is built. Files use paths and burn's optimizers use ids, so this type
/// translates between them. A parameter with several paths (tied weights) has the first of them.
///
/// ```
/// use burn::{nn::LinearConfig, tensor::Device};
/// use stormfire_checkpoint::ParamPaths;
///
/// let layer = LinearConfig::new(2, 3).init(&Device::flex());
/// let paths = ParamPaths::of(&layer);
/// assert_eq!(paths.path(layer.weight.id), Some("weight"));
/// assert_eq!(paths.id("weight"), Some(layer.weight.id));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ParamPaths {
    by_id: HashMap<ParamId, String>,
    by_path: HashMap<String, (ParamId, usize)>,
}

impl ParamPaths {
    /// Visits a module. Initializes no parameter and reads nothing from the device.
    pub fn of<M: Module>(module: &M) -> Self {
        let mut walk = Walk::default();
        module.visit(&mut walk);
        walk.found
    }

    /// The path of a parameter.
    pub fn path(&self, id: ParamId) -> Option<&str> {
        self.by_id.get(&id).map(String::as_str)
    }

    /// The parameter at a path.
    pub fn id(&self, path: &str) -> Option<ParamId> {
        self.by_path.get(path).map(|(id, _)| *id)
    }

    /// The number of dimensions of the parameter at a path.
    pub fn rank(&self, path: &str) -> Option<usize> {
        self.by_path.get(path).map(|(_, rank)| *rank)
    }
}

#[derive(Default)]
struct Walk {
    path: Vec<String>,
    found: ParamPaths,
}

impl Walk {
    fn add(&mut self, id: ParamId, rank: usize) {
        let path = self.path.join(".");
        self.found.by_id.entry(id).or_insert_with(|| path.clone());
        self.found.by_path.insert(path, (id, rank));
    }
}

impl ModuleVisitor for Walk {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }
    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.add(param.id, D);
    }
    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.add(param.id, D);
    }
    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.add(param.id, D);
    }
}

#[cfg(test)]
mod tests {
    use burn::{nn::LinearConfig, tensor::Device};

    use super::*;

    #[test]
    fn tied_weights_go_by_their_first_path() {
        let layer = LinearConfig::new(2, 3).init(&Device::flex());
        let paths = ParamPaths::of(&[layer.clone(), layer.clone()]);
        assert_eq!(paths.path(layer.weight.id), Some("0.weight"));
        assert_eq!(paths.id("1.weight"), Some(layer.weight.id));
        assert_eq!(paths.rank("1.bias"), Some(1));
        assert_eq!(paths.id("2.bias"), None);
    }
}
