//! The children of a module, as burn's visitor sees them.

use std::collections::{HashMap, HashSet};

use burn::{
    module::{ModuleVisitor, Param, ParamId},
    tensor::{Bool, DType, Int, Tensor},
};
use stormfire_optim::trained::is_trained;

/// A field or element below the module.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) name: String,
    /// A visitor learns a type only from its fields. `None` for a parameter, or a module without fields.
    pub(super) type_name: Option<String>,
    pub(super) children: Vec<Node>,
    /// Whether a parameter here or below is trained.
    pub(super) trains: bool,
    /// Elements of the parameters here and below, each counted once.
    elements: HashMap<ParamId, u64>,
}

impl Node {
    /// Elements of the parameters here and below.
    pub(super) fn params(&self) -> u64 {
        self.elements.values().sum()
    }

    /// Elements of the parameters that are fields of this module itself.
    pub(super) fn own_params(&self) -> u64 {
        let of_modules: HashSet<_> =
            self.children.iter().filter(|child| child.type_name.is_some()).flat_map(|child| child.elements.keys()).collect();
        self.elements.iter().filter(|(id, _)| !of_modules.contains(id)).map(|(_, count)| count).sum()
    }
}

/// Builds the tree of [`Node`]s and counts.
#[derive(Debug, Default)]
pub(super) struct Walk {
    pub(super) root: Node,
    pub(super) trainable: u64,
    pub(super) non_trainable: u64,
    pub(super) bytes: u64,
    /// The nodes from the root to the visited node.
    open: Vec<Node>,
}

impl Walk {
    fn count(&mut self, id: ParamId, dims: &[usize], bytes_each: usize, trainable: bool) {
        let count: u64 = dims.iter().map(|&dim| dim as u64).product();
        if self.root.elements.insert(id, count).is_none() {
            *(if trainable { &mut self.trainable } else { &mut self.non_trainable }) += count;
            self.bytes += count * bytes_each as u64;
        }
        for node in &mut self.open {
            node.trains |= trainable;
            node.elements.insert(id, count);
        }
    }
}

impl ModuleVisitor for Walk {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        // A reparameterization is inside a parameter. That does not make the parameter a module.
        if container_type != "Reparameterization" {
            let parent = self.open.last_mut().unwrap_or(&mut self.root);
            let bare = container_type.split_once(':').map_or(container_type, |(_, name)| name);
            parent.type_name.get_or_insert_with(|| bare.to_string());
        }
        self.open.push(Node { name: name.into(), ..Node::default() });
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        if let Some(node) = self.open.pop() {
            self.open.last_mut().unwrap_or(&mut self.root).children.push(node);
        }
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let bytes = if param.is_initialized() { param.base().dtype().size() } else { DType::F32.size() };
        self.count(param.id, param.lazy_shape().as_slice(), bytes, is_trained(param));
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        let bytes = if param.is_initialized() { param.base().dtype().size() } else { DType::I32.size() };
        self.count(param.id, param.lazy_shape().as_slice(), bytes, false);
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        let bytes = if param.is_initialized() { param.base().dtype().size() } else { 1 };
        self.count(param.id, param.lazy_shape().as_slice(), bytes, false);
    }
}
