//! Classification: from predictions and targets of one batch to metrics.
//!
//! [`Binary`], [`Multiclass`] and [`Multilabel`] say what the scores of a batch mean. Each makes all metrics of its
//! kind.

mod accuracy;
mod area;
mod average;
mod calibration;
mod cells;
mod class_counts;
mod confusion;
mod counts;
mod curve;
mod exact_match;
mod ranking;
mod score;
mod spaced;
mod task;

pub use accuracy::{accuracy, top_k_accuracy};
pub use area::{Area, AreaPerClass};
pub use average::Average;
pub use calibration::{Calibration, CalibrationError, CalibrationNorm};
pub use class_counts::ClassCounts;
pub use confusion::{Agreement, Confusion, KappaWeights, Normalize};
pub use counts::{Counts, StatScores};
pub use curve::Curve;
pub use exact_match::exact_match;
pub use ranking::{Binned, Exact, Point, Ranked, Ranking};
pub use score::{PerClass, Score, ScoreKind};
pub use task::{Binary, Multiclass, Multilabel, Task};
pub(crate) use {
    cells::{count, int_dtype, plain_targets},
    task::plain,
};
