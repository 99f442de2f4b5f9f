//! The interface of a training: the [`LightningModule`] with its [log](mod@log) and its [`Stepper`], the [`Event`]s of
//! a run, and the [`Callback`]s that receive them.

pub mod callback;
pub mod context;
pub mod draws;
pub mod error;
pub mod event;
mod evidence;
pub mod hook;
mod hook_table;
pub mod live_run;
pub mod load;
pub mod log;
pub mod log_error;
pub mod media;
pub mod module;
pub mod module_hooks;
pub mod moment;
pub mod outer_run;
pub mod parts;
pub mod place;
pub mod predict_module;
pub mod requests;
pub mod run;
mod running_stats;
pub mod scope;
pub mod state;
mod step_output;
pub mod stepper;
mod tape;
pub mod threads;

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
