//! Behaviour across crates, in one binary.

mod support;
mod recorder;
mod events;
mod control;
mod optimization;
mod modes;
mod child;
mod files;
mod wrong_data;
mod wrong_input;
mod failures;
mod rig;
mod signals;
mod repeatability;
