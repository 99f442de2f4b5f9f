//! Models, and measurements of them, for the suite of the accelerators and for `cargo xtask bench`.

pub mod memory;
pub mod models;
pub mod saving;
pub mod torch;
pub mod training;

/// The result of a check or a measurement.
pub type Outcome<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;
