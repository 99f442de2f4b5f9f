//! What reaches the loggers, with which name and step, and what callbacks see of it.

mod at_hand;
pub(crate) mod away;
mod digits;
mod epochs;
mod hooks;
mod loaders;
mod mistakes;
mod probe;
mod reads;
mod results;
mod same_event;
mod steps;
mod views;
