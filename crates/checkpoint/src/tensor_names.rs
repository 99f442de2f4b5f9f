//! What the names of tensors in a checkpoint mean. A weight is named by the path of its parameter; all other names contain a `/`.

use std::collections::BTreeMap;

use burn::tensor::TensorData;

/// What stands before the path of a parameter in the name of its value that was in force beside the one that is trained.
pub const IN_FORCE: &str = "in_force/";

/// Whether it is a weight that is trained.
pub fn is_trained_weight(name: &str) -> bool {
    !name.contains('/')
}

/// Takes out the trained weights.
pub fn take_trained_weights(tensors: &mut BTreeMap<String, TensorData>) -> BTreeMap<String, TensorData> {
    tensors.extract_if(.., |name, _| is_trained_weight(name)).collect()
}

/// Takes out the weights that were in force: those beside the trained ones if there are any (the average that was validated, say),
/// else the trained ones.
pub fn take_weights(tensors: &mut BTreeMap<String, TensorData>) -> BTreeMap<String, TensorData> {
    let (trained, in_force) = (take_trained_weights(tensors), take_under(tensors, IN_FORCE));
    if in_force.is_empty() { trained } else { in_force }
}

/// Takes out the tensors below a folder, whose name ends with a `/`. Their names are then without it.
pub fn take_under(tensors: &mut BTreeMap<String, TensorData>, folder: &str) -> BTreeMap<String, TensorData> {
    let taken = tensors.extract_if(.., |name, _| name.starts_with(folder));
    taken.map(|(name, data)| (name[folder.len()..].to_owned(), data)).collect()
}
