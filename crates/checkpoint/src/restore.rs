//! Loads named tensors into a module.

use burn::{module::Module, tensor::TensorData};

pub use crate::load_options::{LoadOptions, WeightLayout};
pub use crate::load_report::{Cast, LoadReport, Misfit};
#[cfg(not(feature = "pytorch"))]
use crate::weights_error::WeightsError;
use crate::{fill::fill, weights_error::Result};

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
/// * [`WeightsError::Misfit`] with all missing, unexpected and mismatched tensors, unless `strict(false)`.
/// * [`WeightsError::NothingSelected`], [`WeightsError::Pattern`] and [`WeightsError::RenamedTwice`] for the options.
/// * [`WeightsError::Layout`] for PyTorch's layout without the feature `pytorch`.
pub fn restore<M: Module>(
    module: M,
    tensors: impl IntoIterator<Item = (String, TensorData)>,
    options: &LoadOptions,
) -> Result<(M, LoadReport)> {
    if options.own_layout() == Some(WeightLayout::PyTorch) {
        return translated(module, tensors, options);
    }
    let names = options.compile()?;
    let tensors = names.rename(tensors)?;
    fill(module, tensors, Vec::new(), options, &names)
}

#[cfg(feature = "pytorch")]
fn translated<M: Module>(
    module: M,
    tensors: impl IntoIterator<Item = (String, TensorData)>,
    options: &LoadOptions,
) -> Result<(M, LoadReport)> {
    crate::pytorch::import_tensors(module, tensors, &crate::ImportOptions::new().load(options.clone()))
}

#[cfg(not(feature = "pytorch"))]
fn translated<M>(_: M, _: impl IntoIterator<Item = (String, TensorData)>, _: &LoadOptions) -> Result<(M, LoadReport)> {
    Err(WeightsError::Layout {
        reason: "the weights have PyTorch's layout, and this program cannot convert it".into(),
        hint: "build it with the cargo feature `pytorch`".into(),
    })
}

#[cfg(test)]
mod tests;
