//! Loaders of datasets that are read as a stream.

mod columns;
mod csv_rows;
mod json_lines;
mod open_shard;
mod parquet_rows;
mod pump;
mod reader;
mod record;
mod row_type;
mod shards;
mod split_files;
mod tar_samples;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Device;

#[cfg(feature = "images")]
pub(crate) use self::split_files::{SPLITS, names_of_split};
use self::{
    pump::Pump,
    reader::{Reader, Shuffled},
};
pub use self::{
    record::Sample,
    shards::{Shards, shard_paths},
    split_files::split_files,
};
use crate::{
    Batch, Error, Length, Position, Result,
    foreign_draws::Seen,
    making::Making,
    random::Chance,
    share::Share,
    source::{Facts, Feed, Setting, Size, Source, guarded},
    workers::{Pools, Stream},
};

type Collate<I, B> = Arc<dyn Fn(Vec<I>, &Device) -> B + Send + Sync>;

/// Shards, whose records are batched in the order in which they are read.
pub(crate) struct StreamSource<I, B> {
    shards: Shards<I>,
    collate: Collate<I, B>,
    options: Options,
    pools: Arc<Pools>,
    threads: Seen,
}

#[derive(Clone)]
struct Options {
    batch_size: usize,
    shuffle: bool,
    seed: Option<u64>,
    drop_last: bool,
    run_seed: Option<u64>,
    workers: usize,
    prefetch: usize,
    share: Share,
}

impl<I, B> StreamSource<I, B> {
    pub(crate) fn new(shards: Shards<I>, collate: impl Fn(Vec<I>, &Device) -> B + Send + Sync + 'static) -> Self {
        let options = Options {
            batch_size: 1,
            shuffle: false,
            seed: None,
            drop_last: false,
            run_seed: None,
            workers: 0,
            prefetch: 2,
            share: Share::WHOLE,
        };
        Self { shards, collate: Arc::new(collate), options, pools: Arc::default(), threads: Seen::default() }
    }

    fn batches(&self, records: usize) -> usize {
        // The length is requested before the options are checked.
        let batch_size = self.options.batch_size.max(1);
        if self.options.drop_last { records / batch_size } else { records.div_ceil(batch_size) }
    }
}

impl<I: Send + 'static, B: Send + 'static> Source<B> for StreamSource<I, B> {
    fn facts(&self) -> Facts {
        let Options { shuffle, share, .. } = self.options;
        Facts { is_shuffled: shuffle, is_divisible: self.shards.counts().is_some(), share, ..Facts::new("shards") }
    }

    fn check(&self) -> Result<()> {
        for (option, value) in [("batch_size", self.options.batch_size), ("prefetch", self.options.prefetch)] {
            if value == 0 {
                return Err(Error::InvalidOption { option, value });
            }
        }
        self.shards.check()
    }

    fn open(&self, start: Position, device: &Device) -> Result<Box<dyn Feed<B>>> {
        let Options { batch_size, shuffle, seed, drop_last, run_seed, workers, prefetch, share } = self.options;
        let seed = seed.unwrap_or(0);
        let shuffled = shuffle.then_some(Shuffled { seed, epoch: start.epoch, buffer: self.shards.buffer });
        let reader = match Reader::open(&self.shards.files, shuffled, start.batch.saturating_mul(batch_size))? {
            Ok(reader) => reader,
            // The last batch was not full.
            Err(records) if self.batches(records) == start.batch => return Ok(Box::new(Ended)),
            Err(records) => return Err(Error::SeekPastEnd { batch: start.batch, length: self.batches(records) }),
        };
        let batches = self.shards.files.records().map(|records| self.batches(records));
        let pump = Pump::new(reader, start.batch, batch_size, drop_last, share, batches);
        let chance = Chance::new(run_seed, seed);
        let first = start.batch + share.rank;
        let making = Making::new(chance, start.epoch, first, workers, &self.threads, device);
        let pass = Arc::new(Pass { shards: self.shards.clone(), collate: self.collate.clone(), pump: Mutex::new(pump), making });
        let left = batches.map(|batches| share.of(start.batch..batches).len());
        // A thread without a batch would only cost its start.
        let workers = workers.min(left.unwrap_or(workers));
        if workers == 0 {
            return Ok(Box::new(Inline { pass, next: first, world: share.world, left }));
        }
        let stream = Stream::start(&self.pools, workers, prefetch, move |worker, outlet| {
            for batch in (first + worker * share.world..).step_by(share.world * workers) {
                if outlet.is_stopped() {
                    break;
                }
                let made = pass.make(batch);
                let is_last = !matches!(made, Some(Ok(_)));
                if !outlet.send(made) || is_last {
                    break;
                }
            }
        })?;
        Ok(Box::new(Parallel { stream, next: first, world: share.world, left, threads: self.threads.clone() }))
    }

    fn size(&self) -> Size {
        let items = self.shards.files.records();
        Size { length: items.map_or(Length::Unknown, |items| Length::Batches(self.batches(items))), items }
    }

    fn order(&self) -> String {
        let Options { batch_size, shuffle, seed, drop_last, .. } = self.options;
        let seed = seed.filter(|_| shuffle).map_or_else(|| "none".to_owned(), |seed| seed.to_string());
        let (buffer, files) = (self.shards.buffer, self.shards.files.paths.len());
        let counts = self.shards.counts().map_or_else(|| "not counted".to_owned(), |counts| format!("{counts:?}"));
        format!(
            "batch_size {batch_size}, shuffle {shuffle}, seed {seed}, drop_last {drop_last}, shuffle_buffer {buffer}, \
             {files} shards with records {counts}"
        )
    }

    fn set(&self, setting: Setting) -> Option<Arc<dyn Source<B>>> {
        let (mut options, mut threads) = (self.options.clone(), self.threads.clone());
        match setting {
            Setting::BatchSize(n) => options.batch_size = n,
            Setting::Shuffle(on) => options.shuffle = on,
            Setting::NoShuffle => options.shuffle = false,
            Setting::Seed(seed) => options.seed = Some(seed),
            Setting::DefaultSeed(seed) => options.seed = options.seed.or(Some(seed)),
            Setting::DropLast(on) => options.drop_last = on,
            Setting::RunSeed(seed) => (options.run_seed, threads) = (Some(seed), Seen::default()),
            Setting::Workers(n) => options.workers = n,
            Setting::Prefetch(n) => options.prefetch = n,
            Setting::Share(share) => options.share = share,
            Setting::ItemsPerBatch(_) | Setting::Sampler(_) => return None,
        }
        let (shards, collate, pools) = (self.shards.clone(), self.collate.clone(), self.pools.clone());
        Some(Arc::new(Self { shards, collate, options, pools, threads }))
    }
}

struct Pass<I, B> {
    shards: Shards<I>,
    collate: Collate<I, B>,
    pump: Mutex<Pump>,
    making: Making,
}

impl<I, B> Pass<I, B> {
    /// Reading takes turns, decoding does not.
    fn make(&self, batch: usize) -> Option<Result<Batch<B>>> {
        let taken = self.pump.lock().unwrap_or_else(PoisonError::into_inner).take(batch)?;
        Some(taken.and_then(|records| {
            self.making.make(batch, || {
                let items: Vec<I> = records.into_iter().map(|record| self.shards.decode(record)).collect::<Result<_>>()?;
                let count = items.len();
                let value = guarded("batcher", batch, || (self.collate)(items, &self.making.device))?;
                Ok(Batch { value, items: Some(count) })
            })
        }))
    }
}

/// Nothing is left.
struct Ended;

impl<B> Feed<B> for Ended {
    fn next(&mut self) -> Option<Result<Batch<B>>> {
        None
    }

    fn more(&mut self) -> Option<bool> {
        Some(false)
    }
}

struct Inline<I, B> {
    pass: Arc<Pass<I, B>>,
    next: usize,
    world: usize,
    /// The batches that are left, if that is known.
    left: Option<usize>,
}

impl<I: Send, B: Send> Feed<B> for Inline<I, B> {
    fn next(&mut self) -> Option<Result<Batch<B>>> {
        let made = self.pass.make(self.next);
        self.next += self.world;
        counted(made, &mut self.left)
    }

    fn more(&mut self) -> Option<bool> {
        self.left.map(|left| left > 0)
    }
}

struct Parallel<B> {
    stream: Stream<Option<Result<Batch<B>>>>,
    next: usize,
    world: usize,
    left: Option<usize>,
    threads: Seen,
}

impl<B: Send> Feed<B> for Parallel<B> {
    fn next(&mut self) -> Option<Result<Batch<B>>> {
        let batch = self.next;
        self.next += self.world;
        let made = self.stream.recv().unwrap_or(Some(Err(Error::WorkerLost { batch })));
        self.threads.tell();
        counted(made, &mut self.left)
    }

    fn more(&mut self) -> Option<bool> {
        self.left.map(|left| left > 0)
    }
}

/// Where the number of batches is known, it is the promised one: a shard with another number of records is an error.
fn counted<B>(made: Option<Result<Batch<B>>>, left: &mut Option<usize>) -> Option<Result<Batch<B>>> {
    *left = left.map(|left| left.saturating_sub(1));
    made
}
