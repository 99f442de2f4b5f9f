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
    path: Vec<String>,
    code: &'a mut F,
}

impl<F: EachFloat> ModuleVisitor for Walk<'_, F> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }
    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.code.call(&self.path.join("."), param);
    }
}

/// Visits a module in the order of its fields, and returns `code`. The walk itself initializes no parameter.
pub fn walk<M: Module, F: EachFloat>(module: &M, mut code: F) -> F {
    module.visit(&mut Walk { path: Vec::new(), code: &mut code });
    code
}
