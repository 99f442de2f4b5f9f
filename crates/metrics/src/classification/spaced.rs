//! Thresholds that are evenly spaced from 0 to 1.

use burn::tensor::{Int, Tensor};

/// The threshold of an index. As a device computes it, in `f32`.
pub(crate) fn threshold(index: usize, count: usize) -> f64 {
    f64::from(index as f32 / (count - 1) as f32)
}

/// How many of `count` thresholds are not above each score.
pub(crate) fn thresholds_below<const D: usize>(scores: Tensor<D>, count: usize) -> Tensor<D, Int> {
    let last = (count - 1) as f64;
    let index = (scores.clone() * last).clamp(0.0, last).floor();
    // The product is rounded, so that it may be off by one.
    let is_below = scores.clone().lower(index.clone() / last).int();
    let is_above = scores.greater_equal((index.clone() + 1.0) / last).int();
    let index = index.int();
    let dtype = super::cells::int_dtype(&index);
    (index - is_below.cast(dtype) + is_above.cast(dtype) + 1).clamp(0, count as i64)
}
