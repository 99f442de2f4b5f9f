//! The values that loggers get, with their names and steps, and the values that callbacks see.

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
