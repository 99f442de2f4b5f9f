//! Metrics: values that merge over batches, loaders and ranks ([`Metric`]). [`loggable`] defines the values that can be
//! logged.
//!
//! They work without a Trainer. A metric is computed on the device, and [`read`](stormfire_values::read::read) copies
//! the result to the host.

pub mod loggable;
pub mod metric;

pub use loggable::{Loggable, Logged};
pub use metric::{Metric, accuracy, top_k_accuracy};
