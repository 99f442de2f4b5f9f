//! Shows runs of Stormfire, and of other trainers with the same files.
//!
//! [`Runs`](runs::Runs) reads the files of runs, also while they are written. [`watch`] shows them in a terminal,
//! [`report`] in a browser. This crate does not use burn.

mod compare;
mod metric_names;
pub mod report;
pub mod runs;
#[cfg(test)]
mod samples;
pub mod watch;
