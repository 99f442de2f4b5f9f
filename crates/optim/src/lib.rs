//! Optimizers and learning-rate schedules, gradients and their arithmetic, and the parameters that they are for.
//!
//! [`float_params`] → [`trained`] → [`shared_ids`]; [`gradients`] → [`window`]; [`one_cycle`], [`plateau`] → [`schedule`] →
//! [`optimizer`]. They work without a Trainer.

pub mod error;
pub mod float_params;
pub mod gradients;
pub mod one_cycle;
pub mod optimizer;
pub mod plateau;
pub mod schedule;
pub mod shared_ids;
pub mod trained;
pub mod window;

pub use error::{Error, Result};
pub use gradients::ClipAlgorithm;
pub use one_cycle::OneCycle;
pub use optimizer::{Optimizer, OptimizerStates, Optimizers, OptimizersSnapshot};
pub use plateau::ReduceLrOnPlateau;
pub use schedule::Schedule;
pub use shared_ids::independent_copy;
