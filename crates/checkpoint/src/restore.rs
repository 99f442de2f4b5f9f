//! Loads named tensors into a module.

use std::collections::BTreeMap;

use burn::{module::Module, tensor::TensorData};

pub use crate::load_options::{LoadOptions, WeightLayout};
pub use crate::load_report::{Cast, LoadReport, Misfit};
use crate::{
    fill::fill,
    pytorch_names::{BATCH_COUNTER, Translated, renumber, translate},
    unread::Unread,
    weights_error::Result,
};

/// Loads tensors into a module by parameter path, and reports the result. The tensors must have burn's layout unless
/// [`LoadOptions::layout`] is set.
///
/// The module keeps its devices, its autodiff state, `requires_grad` and the ids of its parameters. Only the values
/// change, and with [`LoadOptions::adopt_dtype`] the dtypes. The clones of a module share the running statistics of a
/// `BatchNorm`, as always in burn: a clone made before this call has the loaded ones, too.
///
/// ```
/// use burn::{nn::LinearConfig, tensor::Device};
/// use stormfire_checkpoint::{LoadOptions, Snapshot, restore};
///
/// let device = Device::flex();
/// let weights = Snapshot::of_module(&LinearConfig::new(2, 3).init(&device))?.read()?;
/// let (layer, report) = restore(LinearConfig::new(2, 3).init(&device), weights, &LoadOptions::new())?;
/// assert_eq!(report.to_string(), "2 parameters loaded");
/// # Ok::<(), stormfire_checkpoint::WeightsError>(())
/// ```
///
/// # Errors
/// * [`Misfit`](crate::WeightsError::Misfit) with all missing, unexpected and mismatched tensors, unless
///   `strict(false)`.
/// * [`NothingSelected`](crate::WeightsError::NothingSelected), [`Pattern`](crate::WeightsError::Pattern) and
///   [`RenamedTwice`](crate::WeightsError::RenamedTwice) for the options.
/// * [`Overflow`](crate::WeightsError::Overflow) for a number that the dtype of its parameter cannot represent.
pub fn restore<M: Module>(
    module: M,
    tensors: impl IntoIterator<Item = (String, TensorData)>,
    options: &LoadOptions,
) -> Result<(M, LoadReport)> {
    restore_unread(module, tensors.into_iter().map(|(name, data)| (name, data.into())), options)
}

/// As [`restore`], for tensors that are read one at a time.
pub(crate) fn restore_unread<M: Module>(
    module: M,
    tensors: impl IntoIterator<Item = (String, Unread)>,
    options: &LoadOptions,
) -> Result<(M, LoadReport)> {
    let names = options.compile()?;
    if options.own_layout() != Some(WeightLayout::PyTorch) {
        let found = names.rename(tensors)?;
        return fill(module, Translated { found, others: BTreeMap::new(), wanted: BTreeMap::new() }, options, &names);
    }
    let tensors = names.rename(tensors.into_iter().filter(|(name, _)| name.rsplit('.').next() != Some(BATCH_COUNTER)))?;
    let tensors = if options.renumbers() { renumber(tensors) } else { tensors };
    let not_transposed = options.compile_not_transposed()?;
    let translated = translate(&module, tensors, |path| not_transposed.iter().any(|pattern| pattern.is_match(path)));
    fill(module, translated, options, &names)
}

#[cfg(test)]
mod tests;
