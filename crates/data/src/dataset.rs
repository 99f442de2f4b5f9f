use std::{iter::StepBy, ops::Range, sync::Arc};

use burn::{
    data::{dataloader::batcher::Batcher, dataset::Dataset},
    tensor::Device,
};

use crate::{
    Batch, Error, Length, Position, Result,
    foreign_draws::{Announced, Look, Seen},
    random::Chance,
    share::Share,
    shuffle::permutation,
    source::{Feed, Setting, Source, guarded},
    workers::{Pools, Stream},
};

/// A dataset, split into batches that are made on demand.
pub(crate) struct DatasetSource<I, B> {
    dataset: Arc<dyn Dataset<I>>,
    batcher: Arc<dyn Batcher<I, B>>,
    options: Options,
    pools: Arc<Pools>,
    threads: Seen,
}

#[derive(Clone, Copy)]
struct Options {
    batch_size: usize,
    shuffle: bool,
    seed: Option<u64>,
    run_seed: Option<u64>,
    workers: usize,
    prefetch: usize,
    drop_last: bool,
    share: Share,
}

impl<I, B> DatasetSource<I, B> {
    pub(crate) fn new(dataset: Arc<dyn Dataset<I>>, batcher: Arc<dyn Batcher<I, B>>) -> Self {
        let options = Options {
            batch_size: 1,
            shuffle: false,
            seed: None,
            run_seed: None,
            workers: 0,
            prefetch: 2,
            drop_last: false,
            share: Share::WHOLE,
        };
        Self { dataset, batcher, options, pools: Arc::default(), threads: Seen::default() }
    }
}

impl<I: 'static, B: Send + 'static> Source<B> for DatasetSource<I, B> {
    fn kind(&self) -> &'static str {
        "a dataset"
    }

    fn check(&self) -> Result<()> {
        for (option, value) in [("batch_size", self.options.batch_size), ("prefetch", self.options.prefetch)] {
            if value == 0 {
                return Err(Error::InvalidOption { option, value });
            }
        }
        Ok(())
    }

    fn open(&self, start: Position, device: &Device) -> Result<Box<dyn Feed<B>>> {
        let Options { batch_size, shuffle, seed, run_seed, workers, prefetch, drop_last, share } = self.options;
        let items = guarded("dataset", start.batch, || self.dataset.len())?;
        let chance = Chance::new(run_seed, seed.unwrap_or(0));
        let batches = share.of(start.batch..batches(items, batch_size, drop_last));
        let pass = Arc::new(Pass {
            dataset: self.dataset.clone(),
            batcher: self.batcher.clone(),
            device: device.clone(),
            order: shuffle.then(|| permutation(items, seed.unwrap_or(0), start.epoch)),
            items,
            batch_size,
            chance,
            epoch: start.epoch,
            is_ahead: workers > 0,
            first: start.batch + share.rank,
            look: if workers > 0 { chance.announce(&self.threads, device) } else { Announced::default() },
        });
        // A thread without a batch would only cost its start.
        let workers = workers.min(batches.len());
        if workers == 0 {
            return Ok(Box::new(Inline { pass, batches }));
        }
        let all = batches.clone();
        let stream = Stream::start(&self.pools, workers, prefetch, move |worker, outlet| {
            for batch in all.clone().skip(worker).step_by(workers) {
                if outlet.is_stopped() {
                    break;
                }
                let made = pass.make(batch);
                let failed = made.is_err();
                if !outlet.send(made) || failed {
                    break;
                }
            }
        })?;
        Ok(Box::new(Parallel { stream, batches, threads: self.threads.clone() }))
    }

    fn length(&self) -> Length {
        Length::Batches(batches(self.dataset.len(), self.options.batch_size, self.options.drop_last))
    }

    fn dataset_len(&self) -> Option<usize> {
        Some(self.dataset.len())
    }

    fn is_shuffled(&self) -> bool {
        self.options.shuffle
    }

    fn is_divisible(&self) -> bool {
        true
    }

    fn order(&self) -> String {
        let Options { batch_size, shuffle, seed, drop_last, .. } = self.options;
        let seed = seed.filter(|_| shuffle).map_or_else(|| "none".to_owned(), |seed| seed.to_string());
        format!("batch_size {batch_size}, shuffle {shuffle}, seed {seed}, drop_last {drop_last}")
    }

    fn share(&self) -> Share {
        self.options.share
    }

    fn set(&self, setting: Setting) -> Option<Arc<dyn Source<B>>> {
        let (mut options, mut threads) = (self.options, self.threads.clone());
        match setting {
            Setting::BatchSize(n) => options.batch_size = n,
            Setting::Shuffle(on) => options.shuffle = on,
            Setting::NoShuffle => options.shuffle = false,
            Setting::Seed(seed) => options.seed = Some(seed),
            Setting::DefaultSeed(seed) => options.seed = options.seed.or(Some(seed)),
            Setting::RunSeed(seed) => (options.run_seed, threads) = (Some(seed), Seen::default()),
            Setting::Workers(n) => options.workers = n,
            Setting::Prefetch(n) => options.prefetch = n,
            Setting::DropLast(on) => options.drop_last = on,
            Setting::Share(share) => options.share = share,
            Setting::ItemsPerBatch(_) => return None,
        }
        let (dataset, batcher, pools) = (self.dataset.clone(), self.batcher.clone(), self.pools.clone());
        Some(Arc::new(Self { dataset, batcher, options, pools, threads }))
    }
}

/// `batch_size` may be the invalid 0 here, because the length is requested before the options are checked.
fn batches(items: usize, batch_size: usize, drop_last: bool) -> usize {
    let batch_size = batch_size.max(1);
    if drop_last { items / batch_size } else { items.div_ceil(batch_size) }
}

/// Everything that determines batch `n` of one epoch.
struct Pass<I, B> {
    dataset: Arc<dyn Dataset<I>>,
    batcher: Arc<dyn Batcher<I, B>>,
    device: Device,
    order: Option<Vec<usize>>,
    items: usize,
    batch_size: usize,
    chance: Chance,
    epoch: usize,
    is_ahead: bool,
    first: usize,
    look: Announced,
}

impl<I, B> Pass<I, B> {
    fn make(&self, batch: usize) -> Result<Batch<B>> {
        let iterating = (!self.is_ahead).then_some(&self.device);
        let look = if batch == self.first { self.look.begin() } else { None };
        let made = self.chance.of_batch(Position::new(self.epoch, batch), iterating, || self.load(batch));
        look.into_iter().for_each(Look::end);
        made
    }

    fn load(&self, batch: usize) -> Result<Batch<B>> {
        let first = batch.saturating_mul(self.batch_size).min(self.items);
        let range = first..first.saturating_add(self.batch_size).min(self.items);
        let indices: Vec<usize> = match &self.order {
            Some(order) => order[range].to_vec(),
            None => range.collect(),
        };
        let items =
            guarded("dataset", batch, || self.dataset.get_many(indices.clone()).map_err(|cause| self.blame(&indices, batch, cause)))??;
        let count = items.len();
        let value = guarded("batcher", batch, || self.batcher.batch(items, &self.device))?;
        Ok(Batch { value, items: Some(count) })
    }

    // `get_many` does not report which item failed.
    fn blame(&self, indices: &[usize], batch: usize, cause: burn::data::dataset::DatasetError) -> Error {
        for &index in indices {
            if let Err(cause) = self.dataset.get(index) {
                return Error::Dataset { item: Some(index), batch, cause };
            }
        }
        Error::Dataset { item: None, batch, cause }
    }
}

struct Inline<I, B> {
    pass: Arc<Pass<I, B>>,
    batches: StepBy<Range<usize>>,
}

impl<I, B> Feed<B> for Inline<I, B> {
    fn next(&mut self) -> Option<Result<Batch<B>>> {
        self.batches.next().map(|batch| self.pass.make(batch))
    }

    fn more(&mut self) -> Option<bool> {
        Some(self.batches.len() > 0)
    }
}

struct Parallel<B> {
    stream: Stream<Result<Batch<B>>>,
    batches: StepBy<Range<usize>>,
    threads: Seen,
}

impl<B: Send> Feed<B> for Parallel<B> {
    fn next(&mut self) -> Option<Result<Batch<B>>> {
        let batch = self.batches.next()?;
        let made = self.stream.recv().unwrap_or(Err(Error::WorkerLost { batch }));
        self.threads.tell();
        Some(made)
    }

    fn more(&mut self) -> Option<bool> {
        Some(self.batches.len() > 0)
    }
}
