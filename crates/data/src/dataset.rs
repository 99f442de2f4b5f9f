use std::{iter::StepBy, ops::Range, sync::Arc};

use burn::{
    data::{dataloader::batcher::Batcher, dataset::Dataset},
    tensor::Device,
};

use crate::{
    Batch, Error, Length, Position, Result,
    foreign_draws::Seen,
    making::Making,
    order::{Order, Plan},
    random::Chance,
    share::Share,
    source::{Facts, Feed, Setting, Size, Source, guarded},
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

#[derive(Clone)]
struct Options {
    order: Order,
    run_seed: Option<u64>,
    workers: usize,
    prefetch: usize,
    share: Share,
}

impl<I, B> DatasetSource<I, B> {
    pub(crate) fn new(dataset: Arc<dyn Dataset<I>>, batcher: Arc<dyn Batcher<I, B>>) -> Self {
        let options = Options { order: Order::default(), run_seed: None, workers: 0, prefetch: 2, share: Share::WHOLE };
        Self { dataset, batcher, options, pools: Arc::default(), threads: Seen::default() }
    }
}

impl<I: 'static, B: Send + 'static> Source<B> for DatasetSource<I, B> {
    fn facts(&self) -> Facts {
        let Options { order, share, .. } = &self.options;
        Facts { is_shuffled: order.is_shuffled(), is_divisible: true, share: *share, ..Facts::new("a dataset") }
    }

    fn check(&self) -> Result<()> {
        if self.options.prefetch == 0 {
            return Err(Error::InvalidOption { option: "prefetch", value: 0 });
        }
        self.options.order.check(|| guarded("dataset", 0, || self.dataset.len()))
    }

    fn open(&self, start: Position, device: &Device) -> Result<Box<dyn Feed<B>>> {
        let Options { order, run_seed, workers, prefetch, share } = &self.options;
        let items = guarded("dataset", start.batch, || self.dataset.len())?;
        let chance = Chance::new(*run_seed, order.seed());
        let plan = order.plan(items, start.epoch)?;
        let batches = share.of(start.batch..plan.batches());
        let making = Making::new(chance, start.epoch, start.batch + share.rank, *workers, &self.threads, device);
        let pass = Arc::new(Pass { dataset: self.dataset.clone(), batcher: self.batcher.clone(), plan, making });
        // A thread without a batch would only cost its start.
        let workers = (*workers).min(batches.len());
        if workers == 0 {
            return Ok(Box::new(Inline { pass, batches }));
        }
        let all = batches.clone();
        let stream = Stream::start(&self.pools, workers, *prefetch, move |worker, outlet| {
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

    fn size(&self) -> Size {
        let items = self.dataset.len();
        Size { length: Length::Batches(self.options.order.batches(items)), items: Some(items) }
    }

    fn order(&self) -> String {
        self.options.order.describe()
    }

    fn set(&self, setting: Setting) -> Option<Arc<dyn Source<B>>> {
        let (mut options, mut threads) = (self.options.clone(), self.threads.clone());
        match setting {
            Setting::RunSeed(seed) => (options.run_seed, threads) = (Some(seed), Seen::default()),
            Setting::Workers(n) => options.workers = n,
            Setting::Prefetch(n) => options.prefetch = n,
            Setting::Share(share) => options.share = share,
            other if options.order.set(other.clone()) => {}
            _ => return None,
        }
        let (dataset, batcher, pools) = (self.dataset.clone(), self.batcher.clone(), self.pools.clone());
        Some(Arc::new(Self { dataset, batcher, options, pools, threads }))
    }
}

/// Everything that determines batch `n` of one epoch.
struct Pass<I, B> {
    dataset: Arc<dyn Dataset<I>>,
    batcher: Arc<dyn Batcher<I, B>>,
    plan: Plan,
    making: Making,
}

impl<I, B> Pass<I, B> {
    fn make(&self, batch: usize) -> Result<Batch<B>> {
        self.making.make(batch, || self.load(batch))
    }

    fn load(&self, batch: usize) -> Result<Batch<B>> {
        let indices = self.plan.of(batch);
        let items =
            guarded("dataset", batch, || self.dataset.get_many(indices.clone()).map_err(|cause| self.blame(&indices, batch, cause)))??;
        let count = items.len();
        let value = guarded("batcher", batch, || self.batcher.batch(items, &self.making.device))?;
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
