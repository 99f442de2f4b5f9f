//! Regression: how far predictions are from targets.
//!
//! Predictions and targets have the same shape. The functions take them by reference, and read nothing. Sums are made
//! in `f64` where the device has it, otherwise in `f32` for one batch and in `f64` over batches.

mod correlation;
mod errors;
mod explained;
mod moments;
mod similarity;
mod spearman;

pub use correlation::{Pearson, pearson};
pub(crate) use errors::sum;
pub use errors::{Root, log_cosh, mae, mape, mse, rmse, smape, wmape};
pub use explained::{ExplainedVariance, R2, explained_variance, r2};
pub use moments::Moments;
pub use similarity::cosine_similarity;
pub use spearman::{Spearman, spearman};
