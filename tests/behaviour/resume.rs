//! Resuming a fit from a checkpoint: the result equals that of an uninterrupted fit, and some options may change in
//! between.

mod changes;
mod data;
mod failed_batches;
mod further;
mod interrupts;
mod law;
mod more_steps;
mod net;
mod observer;
mod places;
mod plan;
mod set_ups;
mod trackers;
