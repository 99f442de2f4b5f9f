//! The gradients of a window that is not full yet, by parameter path.

use std::collections::BTreeMap;

use burn::{
    module::{Module, ModuleVisitor, Param},
    optim::GradientsParams,
    tensor::{Tensor, TensorData},
};
use stormfire_checkpoint::Snapshot;

/// The folder of their names in the file.
pub(super) const FOLDER: &str = "gradients/";

/// Adds the gradients to a snapshot.
pub(super) fn add<M: Module>(snapshot: &mut Snapshot, gradients: &GradientsParams, module: &M) {
    module.visit(&mut Add { path: Vec::new(), snapshot, gradients });
}

/// The gradients of a checkpoint; `None` if it holds none.
pub(super) fn restore<M: Module>(tensors: &mut BTreeMap<String, TensorData>, module: &M) -> Option<GradientsParams> {
    let mut restore = Restore { path: Vec::new(), tensors, gradients: GradientsParams::new() };
    module.visit(&mut restore);
    (!restore.gradients.is_empty()).then_some(restore.gradients)
}

struct Add<'a> {
    path: Vec<String>,
    snapshot: &'a mut Snapshot,
    gradients: &'a GradientsParams,
}

impl ModuleVisitor for Add<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }
    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.snapshot.add(format!("{FOLDER}{}", self.path.join(".")), gradient);
        }
    }
}

struct Restore<'a> {
    path: Vec<String>,
    tensors: &'a mut BTreeMap<String, TensorData>,
    gradients: GradientsParams,
}

impl ModuleVisitor for Restore<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }
    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let (device, shape) = (param.lazy_device().inner(), param.lazy_shape());
        if let Some(data) = self.tensors.remove(&format!("{FOLDER}{}", self.path.join(".")))
            && data.shape() == &shape
        {
            let dtype = data.dtype();
            self.gradients.register(param.id, Tensor::<D>::from_data(data, (&device, dtype)));
        }
    }
}
