//! Behaviour across crates, in one binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot continue fails; clippy's own exception does not reach helper functions"
)]

mod averaging;
mod checkpoint_callbacks;
mod child;
mod class_metrics;
mod command_line;
mod compile_errors;
mod console;
mod control;
mod crash;
mod cut_epochs;
mod data_tensors;
mod devices;
mod error_text;
mod evaluation_draws;
mod events;
mod failed_starts;
mod failures;
mod files;
mod fine_tuning;
mod folders;
mod foreign_draws;
mod full_disk;
mod gradient_checkpointing;
mod half_precision;
mod idle_hooks;
mod kept_state;
mod learning_rates;
mod limits;
mod logging;
mod million_predictions;
mod misspelled_monitors;
mod modes;
mod monitors;
mod nan_policy;
mod optimization;
mod precision;
mod prediction;
mod pretrained;
mod prints;
mod programs;
mod pruning;
mod ranks;
mod recorder;
mod remote_folders;
mod removed_folders;
mod renewed_statistics;
mod repeatability;
mod requeue;
mod resume;
mod rig;
mod schedules;
mod seen_runs;
mod several_runs;
mod shared_names;
mod shared_parameters;
mod shared_skips;
mod signals;
mod skipped_windows;
mod spikes;
mod steps;
mod stuck_logger;
mod support;
mod tables;
mod tensorboard_oracle;
mod text_options;
mod time;
mod told;
mod tuning;
mod weights_in_force;
mod weights_in_set_ups;
mod windows;
mod wrong_data;
mod wrong_input;
