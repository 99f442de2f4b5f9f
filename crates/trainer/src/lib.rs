//! The training loop: [`Trainer`], its options, and what runs them.
//!
//! The rooms, from the ground up: [`accelerator`], `profiler`, `signals` → `slurm`, `non_finite` → [`config`];
//! `communicator`; `accumulator`, `bundle`, `bar_values` → `log_store`; `engine` (`fire`) → `finite_watch`, `checkpoint`;
//! `evaluate`, `predict`, `fit` → `session` → [`Trainer`].

pub mod accelerator;
mod accumulator;
mod bar_values;
mod bundle;
mod checkpoint;
mod communicator;
pub mod config;
mod engine;
mod evaluate;
mod finite_watch;
mod fit;
mod log_state;
mod log_store;
mod loop_state;
mod non_finite;
mod predict;
mod profiler;
mod results_table;
mod session;
mod setup;
mod signals;
mod slurm;
mod trainer;
mod training;

pub use accelerator::{Accelerator, AcceleratorError, check_default_device};
pub use checkpoint::CkptPath;
pub use config::{Limit, TrainerConfig};
pub use non_finite::NonFinite;
pub use profiler::ProfilerKind;
pub use signals::Signal;
pub use slurm::RequeueSignal;
pub use trainer::{DeviceChoice, Fit, Stop, Trainer};
