//! The names and the layout of burn's parameters in PyTorch.

use std::collections::{BTreeMap, BTreeSet};

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{Bool, Int, Tensor},
};

use crate::unread::Unread;

/// A counter of PyTorch's batch normalization that burn does not have. PyTorch uses it only with `momentum=None`.
pub(crate) const BATCH_COUNTER: &str = "num_batches_tracked";

/// The layers whose parameters burn names `gamma` and `beta`, and PyTorch `weight` and `bias`.
const NORMS: [&str; 5] = ["BatchNorm", "GroupNorm", "InstanceNorm", "LayerNorm", "RmsNorm"];

/// The container type of the parts of a reparameterization, such as the adapters of `LoRA`.
const REPARAMETERIZATION: &str = "Reparameterization";

/// The way from a module to one of its parameters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Way {
    /// The name and the container type of each level.
    steps: Vec<(String, String)>,
}

impl Way {
    pub(crate) fn enter(&mut self, name: &str, container: &str) {
        self.steps.push((name.into(), container.into()));
    }

    pub(crate) fn exit(&mut self) {
        self.steps.pop();
    }

    /// burn's path.
    pub(crate) fn path(&self) -> String {
        self.steps.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(".")
    }

    /// The names in PyTorch, the usual one last. PyTorch has no enums. Old files have burn's names of norms, too.
    pub(crate) fn in_pytorch(&self) -> Vec<String> {
        let mut names: Vec<_> =
            self.steps.iter().filter(|(_, container)| !container.starts_with("Enum:")).map(|(name, _)| name.as_str()).collect();
        let own = names.join(".");
        let other = match names.last() {
            Some(&"gamma") if self.is_in(&NORMS) => "weight",
            Some(&"beta") if self.is_in(&NORMS) => "bias",
            _ => return vec![own],
        };
        names.pop();
        names.push(other);
        vec![own, names.join(".")]
    }

    /// Whether PyTorch stores the transpose of this parameter.
    pub(crate) fn is_transposed(&self) -> bool {
        self.steps.last().is_some_and(|(name, _)| name == "weight") && self.is_in(&["Linear"])
    }

    /// The counter that PyTorch stores next to this parameter, if it is the last one of a `BatchNorm`.
    pub(crate) fn batch_counter(&self) -> Option<Self> {
        let is_last = self.steps.last().is_some_and(|(name, _)| name == "running_var") && self.is_in(&["BatchNorm"]);
        is_last.then(|| {
            let mut way = self.clone();
            way.exit();
            way.enter(BATCH_COUNTER, "");
            way
        })
    }

    /// Whether it belongs to an adapter or another reparameterization.
    pub(crate) fn is_reparameterization(&self) -> bool {
        self.steps.iter().any(|(_, container)| container == REPARAMETERIZATION)
    }

    /// Whether the innermost struct has one of these names. The containers between it and the parameter do not count.
    fn is_in(&self, types: &[&str]) -> bool {
        let innermost = self.steps.iter().rev().find(|(_, container)| container.starts_with("Struct:") || container.starts_with("Enum:"));
        innermost.and_then(|(_, container)| container.strip_prefix("Struct:")).is_some_and(|name| types.contains(&name))
    }
}

/// Whether burn saves this parameter transposed, such as the weight of a `Linear` in column layout, which is as PyTorch
/// stores it.
pub(crate) fn is_saved_transposed<const D: usize>(param: &Param<Tensor<D>>) -> bool {
    let Ok(shape) = <[usize; D]>::try_from([1, 2].as_slice()) else { return false };
    // Loading a small probe tensor shows it even for a square weight.
    let probe = Tensor::<D>::zeros(shape, &param.lazy_device().inner());
    param.clone().transform_for_load(probe, param.id).val().dims() != shape
}

/// The tensors of a PyTorch program with the names and in the layout of burn.
pub(crate) struct Translated {
    /// The tensors that were found, by the module's path.
    pub(crate) found: BTreeMap<String, Unread>,
    /// The other tensors, by PyTorch's name.
    pub(crate) others: BTreeMap<String, Unread>,
    /// The names in PyTorch by which a parameter was searched, by the module's path.
    pub(crate) wanted: BTreeMap<String, Vec<String>>,
}

/// Finds the tensor of each parameter, and converts it to burn's layout. The tensors of paths for which
/// `has_burns_layout` is true are in it already.
pub(crate) fn translate<M: Module>(module: &M, tensors: BTreeMap<String, Unread>, has_burns_layout: impl Fn(&str) -> bool) -> Translated {
    let result = Translated { found: BTreeMap::new(), others: tensors, wanted: BTreeMap::new() };
    let mut visitor = Translate { way: Way::default(), result, has_burns_layout };
    module.visit(&mut visitor);
    visitor.result
}

struct Translate<F> {
    way: Way,
    result: Translated,
    has_burns_layout: F,
}

impl<F: Fn(&str) -> bool> Translate<F> {
    fn visit(&mut self, is_saved_transposed: bool) {
        let (path, names) = (self.way.path(), self.way.in_pytorch());
        if let Some(tensor) = names.iter().find_map(|name| self.result.others.remove(name)) {
            // If both are true, or both are false, the forms are the same.
            let differs = (self.has_burns_layout)(&path) == is_saved_transposed;
            let is_transposed = self.way.is_transposed() && differs && tensor.shape.len() == 2;
            self.result.found.insert(path.clone(), if is_transposed { tensor.transposed() } else { tensor });
        }
        self.result.wanted.insert(path, names);
    }
}

impl<F: Fn(&str) -> bool> ModuleVisitor for Translate<F> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.way.enter(name, container_type);
    }
    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.way.exit();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.visit(is_saved_transposed(param));
    }
    fn visit_int<const D: usize>(&mut self, _param: &Param<Tensor<D, Int>>) {
        self.visit(false);
    }
    fn visit_bool<const D: usize>(&mut self, _param: &Param<Tensor<D, Bool>>) {
        self.visit(false);
    }
}

/// Counts the layers of each list without gaps: `0`, `2` and `4` become `0`, `1` and `2`. Numbers without gaps that do
/// not begin with 0 stay: they are a part of a list, such as the layers `6` and `7` in one of several files.
pub(crate) fn renumber<T>(tensors: BTreeMap<String, T>) -> BTreeMap<String, T> {
    // `01` is not a number of a list.
    let index = |part: &str| part.parse::<usize>().ok().filter(|index| index.to_string() == part);
    // The numbers at each place, by the name before it.
    let mut lists: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for name in tensors.keys() {
        for (at, part) in parts(name) {
            if let Some(index) = index(part) {
                lists.entry(name[..at].into()).or_default().insert(index);
            }
        }
    }
    let has_gaps = |found: &BTreeSet<usize>| found.iter().zip(found.iter().skip(1)).any(|(one, next)| *next != one + 1);
    lists.retain(|_, found| has_gaps(found) || found.len() == 1);
    for (list, found) in &lists {
        if has_gaps(found) || !found.contains(&0) {
            let numbers = found.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
            let list = list.trim_end_matches('.');
            tracing::info!("the layers {numbers} of `{list}` are counted from 0 without gaps; `LoadOptions::renumber(false)` keeps them");
        }
    }
    let ranks: BTreeMap<_, BTreeMap<usize, usize>> =
        lists.into_iter().map(|(list, found)| (list, found.into_iter().enumerate().map(|(rank, index)| (index, rank)).collect())).collect();
    let renamed = |name: &str| {
        let rank = |(at, part): (usize, &str)| index(part).and_then(|index| ranks.get(&name[..at])?.get(&index)).map(usize::to_string);
        parts(name).map(|place| rank(place).unwrap_or_else(|| place.1.into())).collect::<Vec<_>>().join(".")
    };
    tensors.into_iter().map(|(name, tensor)| (renamed(&name), tensor)).collect()
}

/// The parts of a name between its dots, with their positions.
fn parts(name: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    name.split('.').map(move |part| {
        let start = at;
        at += part.len() + 1;
        (start, part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_counted_without_gaps() {
        let cases = [
            ("net.0.weight", "net.0.weight"),
            ("net.2.weight", "net.1.weight"),
            ("net.2.inner.5.bias", "net.1.inner.0.bias"),
            ("net.10.inner.7.bias", "net.2.inner.0.bias"),
            ("net.10.inner.9.bias", "net.2.inner.1.bias"),
            ("4.ü.01.weight", "0.ü.01.weight"),
            ("scale", "scale"),
            // A part of a list.
            ("blocks.6.weight", "blocks.6.weight"),
            ("blocks.7.weight", "blocks.7.weight"),
        ];
        let renamed = renumber(cases.into_iter().map(|(old, new)| (old.to_owned(), new)).collect());
        assert_eq!(renamed.len(), cases.len());
        for (name, expected) in renamed {
            assert_eq!(name, expected);
        }
    }
}
