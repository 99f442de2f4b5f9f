//! The interface of a training: the [`LightningModule`] with its [log](mod@log) and its [`Stepper`], the [`Event`]s of
//! a run, and the [`Callback`]s that receive them.

pub mod callback;
mod context;
mod draws;
mod error;
pub mod event;
mod evidence;
pub mod for_trainer;
pub mod hook;
mod hook_table;
mod live_run;
pub mod load;
pub mod log;
pub mod log_error;
pub mod media;
mod metric_source;
pub mod module;
mod module_hooks;
pub mod moment;
mod outer_run;
mod parts;
pub mod place;
pub mod predict_module;
mod record;
pub mod requests;
pub mod run;
mod running_stats;
mod scope;
pub mod state;
mod step_output;
mod stepper;
mod tape;
mod threads;

pub use callback::{Callback, Order};
pub use context::Context;
pub use error::{Error, Result};
pub use event::Event;
pub use hook::Hook;
pub use log::{log, log_dict};
pub use module::LightningModule;
pub use moment::{Moment, RunningStage, Stage};
pub use predict_module::PredictModule;
pub use step_output::StepOutput;
pub use stepper::Stepper;
pub use stormfire_checkpoint::{LoadOptions, LoadReport, WeightLayout};
