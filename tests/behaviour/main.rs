//! Behaviour across crates, in one binary.

mod child;
mod control;
mod events;
mod failures;
mod files;
mod logging;
mod modes;
mod optimization;
mod recorder;
mod repeatability;
mod rig;
mod signals;
mod support;
mod tensorboard_oracle;
mod wrong_data;
mod wrong_input;
