//! A fit that continues from a checkpoint: the law that nobody can tell, and what may change in between.

mod average;
mod changes;
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
