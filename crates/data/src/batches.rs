use std::fmt;

use crate::{Batch, Position, Result, share::Share, source::Feed};

/// One pass over a loader, returned by [`Loader::batches`](crate::Loader::batches): an iterator that knows its
/// position.
///
/// It ends after the first error. Dropping it early stops the workers and waits until each has finished its current
/// batch.
pub struct Batches<B> {
    feed: Box<dyn Feed<B>>,
    ahead: Option<Result<Batch<B>>>,
    position: Position,
    /// Distance between two batches of this pass.
    stride: usize,
    last: bool,
    done: bool,
}

impl<B> Batches<B> {
    pub(crate) fn new(feed: Box<dyn Feed<B>>, start: Position, share: Share) -> Self {
        let position = Position { batch: start.batch + share.rank, ..start };
        Self { feed, ahead: None, position, stride: share.world, last: false, done: false }
    }

    /// The position after the batches received so far. Batches that workers have prefetched do not count.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Whether the most recently returned batch is the last one of the pass. False before the first batch.
    ///
    /// If the length is unknown, the pass loads one batch ahead to find out.
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// Whether no batch follows. May load one batch ahead.
    pub(crate) fn at_end(&mut self) -> bool {
        if self.ahead.is_some() {
            return false;
        }
        if self.done {
            return true;
        }
        if let Some(more) = self.feed.more() {
            return !more;
        }
        self.ahead = self.pull();
        self.ahead.is_none()
    }

    // An iterator may yield again after `None`. After an error, it must not be used again.
    fn pull(&mut self) -> Option<Result<Batch<B>>> {
        if self.done {
            return None;
        }
        let item = self.feed.next();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

impl<B> Iterator for Batches<B> {
    type Item = Result<Batch<B>>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = if self.ahead.is_some() { self.ahead.take()? } else { self.pull()? };
        if item.is_ok() {
            self.position.batch += self.stride;
            self.last = self.at_end();
        }
        Some(item)
    }
}

impl<B> fmt::Debug for Batches<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches").field("position", &self.position).field("last", &self.last).finish_non_exhaustive()
    }
}
