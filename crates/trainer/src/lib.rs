//! The training loop: [`Trainer`], its options, and what runs them.
//!
//! The rooms, from the ground up: [`config`], [`accelerator`], `profiler`, `signals`, `communicator`; `accumulator`,
//! `bundle`, `bar_values` → `log_store`; `engine` (`fire`) → `checkpoint`; `evaluate`, `predict`, `fit` → `session` →
//! [`Trainer`].

pub mod accelerator;
mod accumulator;
mod bar_values;
mod bundle;
mod checkpoint;
mod communicator;
pub mod config;
mod engine;
mod evaluate;
mod fit;
mod log_state;
mod log_store;
mod loop_state;
mod loss_watch;
mod predict;
mod profiler;
mod results_table;
mod session;
mod setup;
mod signals;
mod trainer;
mod training;

pub use accelerator::{Accelerator, AcceleratorError, check_default_device};
pub use checkpoint::CkptPath;
pub use config::{Limit, TrainerConfig};
pub use profiler::ProfilerKind;
pub use signals::Signal;
pub use trainer::{DeviceChoice, Fit, Stop, Trainer};
