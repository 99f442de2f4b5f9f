//! What a run does with the log of a running logger.

use serde_json::Value;

use super::queue::Job;
use super::{Background, PendingPosition, answer, question};
use crate::{Logger, Result};

/// Marks positions in the log of a [`Background`], and continues the log of an earlier run.
pub trait DriveBackground {
    /// Marks the current position. [`marked`](Self::marked) returns it, even if further jobs are submitted in between.
    /// The logger computes the position only if another job follows. A new mark replaces the old one.
    fn mark(&self);

    /// Removes the mark.
    fn unmark(&self);

    /// Takes the position of the [mark](Self::mark). Without a mark it is the current position.
    fn marked(&self) -> PendingPosition;

    /// Schedules [`Logger::resume`] directly before the next job. Until then the log stays unchanged.
    fn resume(&self, position: Value);

    /// Runs a scheduled [`resume`](Self::resume) and waits until it is done.
    ///
    /// # Errors
    /// As [`PendingPosition::wait`], with the error of [`Logger::resume`].
    fn resumed(&self) -> Result<()>;

    /// Calls [`Logger::another`].
    ///
    /// # Errors
    /// [`Error::Panicked`](crate::Error::Panicked), [`Error::Stopped`](crate::Error::Stopped).
    fn another(&self) -> Result<Option<Box<dyn Logger>>>;
}

impl DriveBackground for Background {
    fn mark(&self) {
        self.queue.before_next(Some(question(&self.facts, Logger::position)));
    }

    fn unmark(&self) {
        self.queue.before_next(None);
    }

    fn marked(&self) -> PendingPosition {
        match self.queue.take_mark() {
            Some(answered) => self.pending(answered),
            None => self.position(),
        }
    }

    fn resume(&self, position: Value) {
        self.queue.before_next(Some(question(&self.facts, move |logger| logger.resume(position).map(|()| Value::Null))));
    }

    fn resumed(&self) -> Result<()> {
        self.queue.push_urgent(Job::Run(Box::new(|_| Ok(()))));
        self.queue.take_mark().map_or(Ok(()), |answered| answer(&self.facts, &self.queue, &answered)?.map(drop))
    }

    fn another(&self) -> Result<Option<Box<dyn Logger>>> {
        self.ask_aside(|logger| Ok(logger.another()))
    }
}
