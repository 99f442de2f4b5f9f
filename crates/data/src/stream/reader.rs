//! The records of an epoch in their order, from any of them on.

use std::{sync::Arc, vec::IntoIter};

use super::{open_shard::OpenShard, record::Record, shards::ShardFiles};
use crate::{
    Random, Result,
    shuffle::{derive, permutation},
};

/// The settings that determine the order of the records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shuffled {
    pub(super) seed: u64,
    pub(super) epoch: usize,
    /// The records of a stretch.
    pub(super) buffer: usize,
}

/// Reads records in the order of the epoch.
///
/// The records of all shards, in the order of the shards, are cut into stretches of the length of the buffer. The first
/// one may be shorter: where the cuts are is drawn for each epoch. Each stretch is put into an order that depends on
/// the seed, the epoch and the number of the stretch. So the buffer of any position is known, and needs no records
/// before its stretch.
pub(super) struct Reader {
    shards: Shardwise,
    shuffled: Option<Shuffled>,
    /// The length of the first stretch.
    first: usize,
    /// The number of the next stretch.
    stretch: usize,
    buffer: IntoIter<Record>,
}

impl Reader {
    /// At record `start` of the epoch. `None` if the epoch has fewer records, with their number.
    pub(super) fn open(files: &Arc<ShardFiles>, shuffled: Option<Shuffled>, start: usize) -> Result<Result<Self, usize>> {
        let shards = files.paths.len();
        let order = shuffled.map_or_else(|| (0..shards).collect(), |of| permutation(shards, derive(of.seed, of.epoch), 0));
        let first = shuffled.map_or(1, |of| 1 + draws(of, usize::MAX).below(of.buffer));
        let mut reader = Self { shards: Shardwise::new(files, order), shuffled, first, stretch: 0, buffer: Vec::new().into_iter() };
        let Some(Shuffled { buffer, .. }) = shuffled else {
            return Ok(reader.shards.skip(start)?.map(|()| reader));
        };
        let mut left = start;
        if start >= first {
            let whole = (start - first) / buffer;
            reader.stretch = 1 + whole;
            let before = first + whole * buffer;
            if let Err(records) = reader.shards.skip(before)? {
                return Ok(Err(records));
            }
            left = start - before;
        }
        while left > 0 {
            if reader.next()?.is_none() {
                return Ok(Err(start - left));
            }
            left -= 1;
        }
        Ok(Ok(reader))
    }

    pub(super) fn next(&mut self) -> Result<Option<Record>> {
        let Some(of) = self.shuffled else { return self.shards.next() };
        if let Some(record) = self.buffer.next() {
            return Ok(Some(record));
        }
        let length = if self.stretch == 0 { self.first } else { of.buffer };
        let mut records = Vec::new();
        while records.len() < length
            && let Some(record) = self.shards.next()?
        {
            records.push(record);
        }
        draws(of, self.stretch).shuffle(&mut records);
        self.stretch += 1;
        self.buffer = records.into_iter();
        Ok(self.buffer.next())
    }
}

/// The generator of a stretch.
fn draws(of: Shuffled, stretch: usize) -> Random {
    Random::new(derive(derive(of.seed, of.epoch), stretch))
}

/// Reads one shard after the other.
struct Shardwise {
    files: Arc<ShardFiles>,
    /// The shards that were not opened yet.
    rest: IntoIter<usize>,
    open: Option<(usize, OpenShard)>,
}

impl Shardwise {
    fn new(files: &Arc<ShardFiles>, order: Vec<usize>) -> Self {
        Self { files: files.clone(), rest: order.into_iter(), open: None }
    }

    fn next(&mut self) -> Result<Option<Record>> {
        loop {
            if let Some((shard, open)) = &mut self.open {
                match open.next()? {
                    Some(record) if self.files.count(*shard).is_none_or(|count| record.number < count) => return Ok(Some(record)),
                    // The last record, or one more than expected.
                    _ => self.files.learn(*shard, open.number)?,
                }
            }
            let Some(shard) = self.rest.next() else {
                self.open = None;
                return Ok(None);
            };
            self.open = Some((shard, self.files.open(shard)?));
        }
    }

    /// Skips records. Shards whose number of records is known are not opened. `Err` with the number of all records if
    /// there are fewer.
    fn skip(&mut self, records: usize) -> Result<Result<(), usize>> {
        let mut left = records;
        while left > 0 && self.open.is_none() {
            let Some(&shard) = self.rest.as_slice().first() else { return Ok(Err(records - left)) };
            match self.files.count(shard) {
                Some(count) if count <= left => {
                    left -= count;
                    self.rest.next();
                }
                _ => {
                    let mut open = self.files.open(shard)?;
                    while left > 0 && open.next()?.is_some() {
                        left -= 1;
                    }
                    self.rest.next();
                    if left > 0 {
                        self.files.learn(shard, open.number)?;
                    } else {
                        self.open = Some((shard, open));
                    }
                }
            }
        }
        Ok(Ok(()))
    }
}
