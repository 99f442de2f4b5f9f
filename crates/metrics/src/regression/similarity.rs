//! Cosine similarity.

use burn::tensor::Tensor;
use stormfire_values::{ConfigError, read::sum_dtype};

use super::errors::{pair, sum};
use crate::aggregation::Mean;

/// The mean cosine of the angles between predicted and right vectors, of shape `[items, size]`. NaN if a vector is
/// zero.
///
/// torchmetrics adds the cosines by default. That is this mean times the number of items.
///
/// # Errors
/// The shapes differ.
pub fn cosine_similarity(predictions: &Tensor<2>, targets: &Tensor<2>) -> Result<Mean, ConfigError> {
    pair("cosine_similarity", predictions, targets)?;
    let [items, _] = predictions.dims();
    let wide = |tensor: &Tensor<2>| {
        let tensor = tensor.clone().inner();
        let dtype = sum_dtype(&tensor.device());
        tensor.cast(dtype)
    };
    let (p, t) = (wide(predictions), wide(targets));
    let norm = |tensor: Tensor<2>| tensor.square().sum_dim(1).sqrt();
    let cosines = (p.clone() * t.clone()).sum_dim(1) / (norm(p) * norm(t));
    Ok(Mean::from_sum(sum(cosines.reshape([items])), items))
}
