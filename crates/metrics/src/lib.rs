//! Metrics: values that merge over batches, loaders and ranks.
//!
//! * [`Merge`] is the state of a metric: parts with a rule each. Derive it.
//! * [`Metric`] is a state with a result: one number, [`Named`] numbers, or a [`Picture`].
//! * [`loggable`] defines the values that can be logged.
//!
//! | folder | metrics |
//! |---|---|
//! | [`aggregation`] | mean, sum, minimum, maximum, all values, the newest values |
//! | [`classification`] | accuracy, precision, recall, F-beta, confusion matrix and so on: binary, multiclass, multilabel |
//! | [`regression`] | errors, explained variance, correlations |
//! | [`detection`] | mean average precision of boxes |
//! | [`image`] | PSNR, SSIM, mean IoU and Dice of regions |
//! | [`retrieval`] | MRR, MAP, nDCG, hit rate, recall and precision of the first k |
//! | [`text`] | perplexity, BLEU, ROUGE, error rates of words and characters |
//!
//! They work without a Trainer. A metric is made on the device from a batch, and reads nothing. [`Metric::read`] copies
//! its state to the host, and computes the result there.

#![allow(clippy::cast_possible_wrap, reason = "numbers of items and classes are far below 2^63")]

pub mod aggregation;
pub mod bytes;
pub mod classification;
pub mod computed;
pub mod detection;
pub mod image;
pub mod loggable;
pub mod merge;
pub mod metric;
pub mod picture;
pub mod regression;
pub mod retrieval;
pub mod rows;
pub mod text;

pub use classification::{accuracy, top_k_accuracy};
pub use computed::{Computed, Named, Outline};
pub use loggable::{Loggable, Logged};
pub use merge::{Merge, MergeError};
pub use metric::Metric;
pub use picture::Picture;
pub use rows::Rows;
pub use stormfire_derive::Merge;
pub use stormfire_values::read::Part;
