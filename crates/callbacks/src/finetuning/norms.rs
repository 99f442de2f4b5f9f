//! `BatchNorm` layers in a frozen part of a module.

use std::collections::{HashMap, HashSet};

use burn::{
    module::{Flag, Module, ModuleMapper, ModuleVisitor, Param},
    tensor::Tensor,
};
use stormfire_optim::{Patterns, trained};

/// burn's name for the type of the fields of a `BatchNorm`.
const BATCH_NORM: &str = "Struct:BatchNorm";

/// The `BatchNorm` layers in a part of a module, and which of their parameters are trained.
pub(super) struct Norms {
    trained: HashMap<String, bool>,
}

impl Norms {
    pub(super) fn of<M: Module>(module: &M, part: &Patterns) -> Self {
        struct Find<'a> {
            path: Vec<String>,
            part: &'a Patterns,
            trained: HashMap<String, bool>,
            in_norm: bool,
        }
        impl ModuleVisitor for Find<'_> {
            fn enter_module(&mut self, name: &str, container_type: &str) {
                self.path.push(name.into());
                self.in_norm = container_type == BATCH_NORM;
            }
            fn exit_module(&mut self, _name: &str, _container_type: &str) {
                self.path.pop();
            }
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let path = self.path.join(".");
                if self.in_norm && self.part.matches(&path) {
                    self.trained.insert(path, trained::is_trained(param));
                }
            }
        }
        let mut find = Find { path: Vec::new(), part, trained: HashMap::new(), in_norm: false };
        module.visit(&mut find);
        Self { trained: find.trained }
    }

    /// After the part was frozen: trains its layers as before (`trains`), or freezes them with their statistics.
    pub(super) fn settle<M: Module>(&self, module: &mut M, trains: bool) {
        if trains {
            let kept = trained::frozen(module).into_iter().filter(|path| !self.trained.get(path).is_some_and(|trains| *trains));
            *module = trained::with_frozen(module.clone(), &kept.collect::<Vec<_>>()).0;
            return;
        }
        self.set_flags(module, |_| false);
    }

    /// Lets layers update their statistics if they are trained.
    pub(super) fn settle_as_frozen<M: Module>(&self, module: &mut M, trains: bool) {
        if !trains {
            let layer = |path: &str| path.rsplit_once('.').map(|(layer, _)| layer.to_owned());
            let trained: HashSet<_> = self.trained.iter().filter(|(_, trains)| **trains).filter_map(|(path, _)| layer(path)).collect();
            self.set_flags(module, |path| layer(path).is_some_and(|layer| trained.contains(&layer)));
        }
    }

    /// Sets whether the layers use the statistics of the batch, by the path of the flag.
    fn set_flags<M: Module>(&self, module: &mut M, trains: impl Fn(&str) -> bool) {
        struct Set<'a, F> {
            path: Vec<String>,
            layers: HashSet<&'a str>,
            trains: F,
        }
        impl<F: Fn(&str) -> bool> ModuleMapper for Set<'_, F> {
            fn enter_module(&mut self, name: &str, _container_type: &str) {
                self.path.push(name.into());
            }
            fn exit_module(&mut self, _name: &str, _container_type: &str) {
                self.path.pop();
            }
            fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
                let path = self.path.join(".");
                let is_here = path.rsplit_once('.').is_some_and(|(layer, _)| self.layers.contains(layer));
                if is_here { flag.with_value((self.trains)(&path)) } else { flag }
            }
        }
        let layers = self.trained.keys().filter_map(|path| Some(path.rsplit_once('.')?.0)).collect();
        *module = module.clone().map(&mut Set { path: Vec::new(), layers, trains });
    }
}
