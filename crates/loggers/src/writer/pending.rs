//! A requested position of a logger.

use std::sync::{Arc, mpsc};

use serde_json::Value;

use super::answer;
use super::facts::Facts;
use super::queue::Queue;
use crate::Result;

/// A [`Logger::position`](crate::Logger::position) that was requested from a [`Background`](crate::Background). Any
/// thread may wait for it, such as one that writes a checkpoint.
#[derive(Debug)]
#[must_use = "a position is of use only in a checkpoint"]
pub struct PendingPosition {
    pub(super) facts: Arc<Facts>,
    pub(super) queue: Arc<Queue>,
    pub(super) answered: mpsc::Receiver<Result<Value>>,
}

impl PendingPosition {
    /// Waits for the position. Everything recorded before it is then on the disk.
    ///
    /// # Errors
    /// The error of [`Logger::position`](crate::Logger::position), [`Error::Panicked`](crate::Error::Panicked) if it
    /// panics, [`Error::Stopped`](crate::Error::Stopped) if the writer has ended. Errors of earlier jobs stay for the
    /// next report of the [`Background`](crate::Background).
    pub fn wait(self) -> Result<Value> {
        answer(&self.facts, &self.queue, &self.answered)?
    }
}
