//! What reaches the loggers, under which name and step, and what callbacks see of it.

mod at_hand;
mod away;
mod epochs;
mod hooks;
mod loaders;
mod mistakes;
mod probe;
mod reads;
mod steps;
mod views;
