//! The training loop: [`Trainer`], its options, and what runs them.
//! `ARCHITECTURE.md` lists the modules from the lowest layer up.

pub mod accelerator;
mod accumulator;
mod adopt;
mod bar_values;
mod books;
mod bundle;
mod checkpoint;
mod checkpoint_names;
mod checkpoint_writer;
pub mod config;
mod config_schema;
mod data_facts;
mod devices;
mod engine;
mod evaluate;
mod finite_watch;
mod finite_weights;
mod fit;
mod fit_state;
mod flags;
mod frame;
mod gradient_checkpointing;
mod guard;
mod in_force;
mod limit;
mod log_state;
mod log_store;
mod logger_choice;
mod logger_step;
mod move_module;
mod new_rates;
mod non_finite;
mod option_table;
mod precision;
mod predict;
mod profiler;
mod rank_state;
mod requeue_signal;
mod results_table;
mod run_id;
mod saved_log;
mod seed;
mod session;
mod setup;
mod signals;
mod slurm;
mod stop;
mod total;
mod trainer;
mod trainer_yaml;
mod training;
mod whereabouts;

pub use accelerator::{Accelerator, AcceleratorError, check_default_device};
pub use checkpoint::CkptPath;
pub use config::TrainerConfig;
pub use devices::Devices;
pub use limit::Limit;
pub use non_finite::NonFinite;
pub use precision::Precision;
pub use profiler::ProfilerKind;
pub use requeue_signal::RequeueSignal;
pub use seed::seed_everything;
pub use signals::{Signal, forget_interrupt};
pub use stop::{Fit, Stop};
pub use trainer::{DeviceChoice, Trainer};

/// The parts of a Trainer that a tuner needs. The crate `stormfire` does not export it.
pub mod for_tuner {
    pub use crate::{
        checkpoint::has_checkpoint,
        guard::panic_message,
        new_rates::RateSweep,
        results_table::{STYLE, format_value},
        signals::{SignalWatch, check_not_interrupted},
        trainer::ProbeTrainer,
    };
}
