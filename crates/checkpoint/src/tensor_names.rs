//! The names of tensors in a checkpoint. A weight has the path of its parameter as its name. All other names contain a
//! `/`.

use std::collections::BTreeMap;

/// The prefix of the weights in force that are stored next to the trained weights.
pub const IN_FORCE: &str = "in_force/";

/// The prefix of the states of optimizers.
pub const OPTIMIZER: &str = "optimizer/";

/// Whether the tensor is a trained weight.
pub fn is_trained_weight(name: &str) -> bool {
    !name.contains('/')
}

/// Takes the trained weights.
pub fn take_trained_weights<T>(tensors: &mut BTreeMap<String, T>) -> BTreeMap<String, T> {
    tensors.extract_if(.., |name, _| is_trained_weight(name)).collect()
}

/// Takes the weights in force: those stored next to the trained weights, such as a validated average. Without such
/// weights, takes the trained weights.
pub fn take_weights<T>(tensors: &mut BTreeMap<String, T>) -> BTreeMap<String, T> {
    let (trained, in_force) = (take_trained_weights(tensors), take_under(tensors, IN_FORCE));
    if in_force.is_empty() { trained } else { in_force }
}

/// Takes the tensors below a folder, and removes it from their names. The folder's name ends with `/`.
pub fn take_under<T>(tensors: &mut BTreeMap<String, T>, folder: &str) -> BTreeMap<String, T> {
    let taken = tensors.extract_if(.., |name, _| name.starts_with(folder));
    taken.map(|(name, data)| (name[folder.len()..].to_owned(), data)).collect()
}
