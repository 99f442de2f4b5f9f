//! Values that monitors log about a fit, and proof that they do not slow it down.

mod device_stats;
mod generated;
mod gradient_norms;
mod histograms;
mod images;
mod memory;
mod reads;
mod throughput;
mod updates;

use burn::{
    nn::{Initializer, LinearConfig},
    optim::SgdConfig,
    prelude::*,
};
use stormfire::{
    loggers::{Call, MemoryLogger},
    prelude::*,
};

use crate::support::{Batch, Line, line_data, recording};

/// A line through the origin, trained with a learning rate of 0.5.
#[derive(Module, Debug)]
struct Descent {
    line: Line,
}

impl Descent {
    fn new() -> Self {
        Self { line: Line { layer: LinearConfig::new(1, 1).with_initializer(Initializer::Zeros).init(&Device::flex()) } }
    }
}

impl LightningModule for Descent {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        self.line.training_step(batch, batch_idx)
    }

    fn validation_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        self.line.validation_step(batch, batch_idx)
    }

    fn test_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        self.line.test_step(batch, batch_idx)
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), 0.5).into())
    }
}

/// A Trainer with one callback that logs every step to memory.
fn with(callback: impl Callback<Descent>, logger: &MemoryLogger) -> Trainer<Descent> {
    recording(logger).log_every_n_steps(1).seed(1).callback(callback)
}

/// The step and value of each call that logged a name.
fn logged(logger: &MemoryLogger, name: &str) -> Vec<(u64, f64)> {
    let of_name = logger.rows().into_iter().filter(|(logged, ..)| logged == name);
    of_name.map(|(_, value, step)| (step.unwrap(), value)).collect()
}

#[track_caller]
fn check_close(actual: &[(u64, f64)], expected: &[(u64, f64)]) {
    let close = |((a, x), (b, y)): (&(u64, f64), &(u64, f64))| a == b && (x - y).abs() < 1e-5;
    assert!(actual.len() == expected.len() && actual.iter().zip(expected).all(close), "{actual:?} instead of {expected:?}");
}
