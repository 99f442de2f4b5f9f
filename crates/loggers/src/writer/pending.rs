//! A logger's place in its run, asked for and still to come.

use std::sync::{Arc, mpsc};

use serde_json::Value;

use super::answer;
use super::facts::Facts;
use super::queue::Queue;
use crate::Result;

/// A [`Logger::position`](crate::Logger::position) that a [`Background`](crate::Background) was asked for. Any thread may wait
/// for it, such as one that writes a checkpoint.
#[derive(Debug)]
#[must_use = "a position is of use only in a checkpoint"]
pub struct PendingPosition {
    pub(super) facts: Arc<Facts>,
    pub(super) queue: Arc<Queue>,
    pub(super) answered: mpsc::Receiver<Result<Value>>,
}

impl PendingPosition {
    /// Waits until the logger has got there. What it recorded before is then on the disk.
    ///
    /// # Errors
    /// What [`Logger::position`](crate::Logger::position) returns, [`Error::Panicked`](crate::Error::Panicked) if it panics,
    /// [`Error::Stopped`](crate::Error::Stopped) if the writer has ended.
    /// Errors of earlier jobs are left for the next report of the [`Background`](crate::Background).
    pub fn wait(self) -> Result<Value> {
        answer(&self.facts, &self.queue, &self.answered)?
    }
}
