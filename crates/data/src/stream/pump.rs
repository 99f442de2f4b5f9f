//! The records of each batch, for threads that make batches at the same time.

use std::collections::BTreeMap;

use super::{reader::Reader, record::Record};
use crate::{Result, share::Share};

/// Cuts the records into batches, in order. A thread gets the records of the batch that it requests. Those of the
/// batches before it are kept until their threads request them.
pub(super) struct Pump {
    reader: Reader,
    batch_size: usize,
    drop_last: bool,
    /// The number of the next batch to be cut.
    next: usize,
    /// The number of the next batch of this share.
    next_own: usize,
    share: Share,
    /// The number of batches of the epoch, if it is known.
    batches: Option<usize>,
    kept: BTreeMap<usize, Result<Vec<Record>>>,
    is_at_end: bool,
}

impl Pump {
    /// `reader` is at the first record of batch `start`.
    pub(super) fn new(reader: Reader, start: usize, batch_size: usize, drop_last: bool, share: Share, batches: Option<usize>) -> Self {
        let next_own = start + share.rank;
        Self { reader, batch_size, drop_last, next: start, next_own, share, batches, kept: BTreeMap::new(), is_at_end: false }
    }

    /// The records of a batch of this share. `None` past the end, and after an error in an earlier batch.
    pub(super) fn take(&mut self, batch: usize) -> Option<Result<Vec<Record>>> {
        while !self.is_at_end && self.next <= batch {
            let cut = self.cut();
            let number = self.next;
            self.next += 1;
            match cut {
                Ok(records) if records.is_empty() => self.is_at_end = true,
                Ok(records) if number == self.next_own => {
                    self.next_own += self.share.world;
                    self.kept.insert(number, Ok(records));
                }
                // The batch belongs to another rank.
                Ok(_) => {}
                Err(error) => {
                    self.is_at_end = true;
                    self.kept.insert(self.next_own, Err(error));
                }
            }
        }
        self.kept.remove(&batch)
    }

    /// Empty at the end.
    fn cut(&mut self) -> Result<Vec<Record>> {
        let mut records = Vec::with_capacity(self.batch_size.min(1024));
        while records.len() < self.batch_size
            && let Some(record) = self.reader.next()?
        {
            records.push(record);
        }
        if self.batches == Some(self.next + 1) {
            // Shards that have grown since they were counted must not lose records.
            while self.reader.next()?.is_some() {}
        }
        if self.drop_last && records.len() < self.batch_size {
            records.clear();
        }
        Ok(records)
    }
}
