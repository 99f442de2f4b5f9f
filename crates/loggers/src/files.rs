//! Loggers that write to this machine.

#[cfg(feature = "csv")]
mod csv;
#[cfg(test)]
#[cfg(all(feature = "csv", feature = "tensorboard"))]
mod kill_tests;
mod memory;
#[cfg(test)]
#[cfg(all(feature = "csv", feature = "tensorboard"))]
mod resume_tests;
#[cfg(feature = "tensorboard")]
pub mod tensorboard;

#[cfg(feature = "csv")]
pub use csv::CsvLogger;
pub use memory::{Call, MemoryLogger};
#[cfg(feature = "tensorboard")]
pub use tensorboard::TensorBoardLogger;
