//! Metrics: values that merge over batches, loaders and ranks ([`Metric`]). What can be logged at all is in [`loggable`].
//!
//! They work without a Trainer: a metric is computed on the device, and [`read`](stormfire_values::read::read) brings the
//! result to the host.

pub mod loggable;
pub mod metric;

pub use loggable::{Loggable, Logged};
pub use metric::{Metric, accuracy, top_k_accuracy};
