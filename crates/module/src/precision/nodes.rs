//! Recognises tensors by their nodes in burn's graph.

use burn::{
    module::{Module, Param},
    tensor::{Gradients, Tensor},
};
use stormfire_optim::float_params::{EachFloat, walk};

/// The nodes of some tensors. burn's gradients are found by node, so a gradient that was put there marks one.
pub(super) struct Nodes(Option<Gradients>);

/// A leaf with the same node, that can have a gradient. `None` for a result of trained tensors.
fn leaf<const D: usize>(tensor: &Tensor<D>) -> Option<Tensor<D>> {
    let is_result = tensor.is_tracked() && !tensor.is_require_grad();
    (tensor.is_autodiff() && !is_result).then(|| tensor.clone().set_require_grad(true))
}

impl Nodes {
    /// The nodes of a module's float parameters.
    pub(super) fn of<M: Module>(module: &M) -> Self {
        walk(module, Self(None))
    }

    fn add<const D: usize>(&mut self, tensor: &Tensor<D>) {
        let Some(leaf) = leaf(tensor) else { return };
        let nodes = self.0.get_or_insert_with(|| {
            // The only way to an empty set of gradients.
            Tensor::<1>::ones([1], &leaf.device()).require_grad().mul_scalar(1.0).backward()
        });
        leaf.grad_replace(nodes, tensor.clone().inner());
    }

    /// The paths of a module's float parameters that are other tensors than these. Tensors without a graph are not
    /// distinguished.
    pub(super) fn others_in<M: Module>(&self, module: &M) -> Vec<String> {
        struct Others<'a> {
            nodes: Option<&'a Gradients>,
            paths: Vec<String>,
        }
        impl EachFloat for Others<'_> {
            fn call<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
                let tensor = param.val();
                let is_known = || leaf(&tensor)?.grad(self.nodes?);
                if tensor.is_autodiff() && is_known().is_none() {
                    self.paths.push(path.into());
                }
            }
        }
        walk(module, Others { nodes: self.0.as_ref(), paths: Vec::new() }).paths
    }
}

impl EachFloat for Nodes {
    fn call<const D: usize>(&mut self, _path: &str, param: &Param<Tensor<D>>) {
        self.add(&param.val());
    }
}
