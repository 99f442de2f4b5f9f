//! Classification: from predictions and targets of one batch to metrics.
//!
//! [`Binary`], [`Multiclass`] and [`Multilabel`] say what the scores of a batch mean. Each makes all metrics of its kind.

mod accuracy;
mod average;
mod cells;
mod confusion;
mod counts;
mod exact_match;
mod score;
mod task;

pub use accuracy::{accuracy, top_k_accuracy};
pub use average::Average;
pub use confusion::{Agreement, Confusion, KappaWeights, Normalize};
pub use counts::{ClassCounts, Counts, StatScores};
pub use exact_match::exact_match;
pub use score::{PerClass, Score, ScoreKind};
pub use task::{Binary, Multiclass, Multilabel, Task};
