//! The interface of optimizers for a training loop: steps, schedules, and their state in a checkpoint.
//!
//! For the Trainer, its Stepper, and loops without a Trainer. The crate `stormfire` does not export it.

pub use crate::optimizer::{DriveOptimizer, DriveOptimizers, OptimizerStates, OptimizersSnapshot, Ramp, SaveOptimizers};
