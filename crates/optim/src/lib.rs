//! Optimizers, learning-rate schedules, gradients, and the parameters that they belong to. They work without a Trainer.
//!
//! | modules | content |
//! |---|---|
//! | [`float_params`], [`trained`], [`shared_ids`], [`patterns`] | the parameters of a module: all, trained and frozen, shared, by path |
//! | [`gradients`], [`window`] | operations on gradients, and windows of accumulated gradients |
//! | [`one_cycle`], [`plateau`], [`schedule`] | learning-rate schedules |
//! | [`OptimizerConfig`], [`ScheduleConfig`] | optimizers and schedules as plain data |
//! | [`for_trainer`] | steps of optimizers and their schedules, and their state in a checkpoint |

pub mod bucket;
pub mod error;
pub mod float_params;
pub mod for_trainer;
mod fused;
pub mod gradients;
pub mod one_cycle;
mod optimizer;
mod optimizer_config;
pub mod patterns;
pub mod plateau;
pub mod schedule;
mod schedule_config;
pub mod shared_ids;
pub mod trained;
pub mod window;

pub use error::{Error, Result};
pub use gradients::ClipAlgorithm;
pub use one_cycle::OneCycle;
pub use optimizer::{AddDecay, Group, IntoOptimizer, Optimizer, Optimizers, RateOf};
pub use optimizer_config::OptimizerConfig;
pub use patterns::Patterns;
pub use plateau::ReduceLrOnPlateau;
pub use schedule::Schedule;
pub use schedule_config::ScheduleConfig;
pub use shared_ids::independent_copy;
pub use trained::{freeze, unfreeze};
