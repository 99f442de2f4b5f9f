//! Visits the float parameters of a module, by path.

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::Tensor,
};

/// A visitor for the float parameters of a module, of any rank.
pub trait EachFloat {
    /// Called with the path of the parameter, such as `hidden.weight`.
    fn call<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>);
}

struct Walk<'a, F> {
    path: String,
    /// The lengths of the path at each open module.
    lengths: Vec<usize>,
    code: &'a mut F,
}

impl<F: EachFloat> ModuleVisitor for Walk<'_, F> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.lengths.push(self.path.len());
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(name);
    }
    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.truncate(self.lengths.pop().unwrap_or_default());
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.code.call(&self.path, param);
    }
}

/// Visits a module in the order of its fields, and returns `code`. The walk itself initializes no parameter.
pub fn walk<M: Module, F: EachFloat>(module: &M, mut code: F) -> F {
    module.visit(&mut Walk { path: String::new(), lengths: Vec::new(), code: &mut code });
    code
}
