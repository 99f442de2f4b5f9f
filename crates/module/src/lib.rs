//! What a user of Stormfire implements and sees: the [`LightningModule`] and its log, values and metrics,
//! optimizers and schedules, the events of a run and the [`Callback`]s that listen to them.
//!
//! The rooms, from the ground up: [`moment`], [`error`], [`text`], [`every`], [`time_limit`], [`read`], [`media`], [`metric`] → [`loggable`], `hook_table` → [`hook`] → [`mod@log`] → [`outer_run`]; [`clock`] and [`live_run`] stand alone;
//! [`gradients`] → [`window`]; [`schedule`] → [`optimizer`] → [`stepper`]; [`run`] → [`context`] → [`event`], [`load`] → [`module`] → [`predict_module`], [`callback`].

pub mod callback;
pub mod clock;
pub mod context;
pub mod error;
pub mod event;
pub mod every;
mod evidence;
pub mod float_params;
pub mod gradients;
pub mod hook;
mod hook_table;
pub mod live_run;
pub mod load;
pub mod log;
pub mod log_error;
pub mod loggable;
pub mod media;
pub mod metric;
pub mod module;
pub mod module_hooks;
pub mod moment;
pub mod one_cycle;
pub mod optimizer;
pub mod outer_run;
pub mod place;
pub mod plateau;
pub mod predict_module;
pub mod read;
pub mod requests;
pub mod run;
pub mod schedule;
pub mod scope;
pub mod shared_ids;
pub mod state;
pub mod stepper;
pub mod text;
pub mod time_limit;
pub mod trained;
pub mod window;

pub use callback::{Callback, Order};
pub use context::Context;
pub use error::{Error, Result};
pub use event::Event;
pub use every::Every;
pub use hook::Hook;
pub use log::{log, log_dict};
pub use loggable::{Loggable, Logged};
pub use metric::{Metric, accuracy, top_k_accuracy};
pub use module::LightningModule;
pub use moment::{Moment, RunningStage, Stage};
pub use optimizer::{Optimizer, Optimizers, OptimizersSnapshot};
pub use predict_module::PredictModule;
pub use read::Scalar;
pub use schedule::Schedule;
pub use shared_ids::independent_copy;
pub use stepper::{StepOutput, Stepper};
pub use stormfire_checkpoint::{LoadOptions, LoadReport, WeightLayout};
pub use time_limit::TimeLimit;
