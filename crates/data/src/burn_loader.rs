use std::sync::{Arc, Mutex, PoisonError};

use burn::{data::dataloader::DataLoader, tensor::Device};

use crate::{
    Batch, Error, Position, Result,
    foreign_draws::{Look, Seen},
    random::Chance,
    source::{Facts, Feed, Setting, Size, Source, guarded},
    workers::{Outlet, Pools, Stream},
};

/// Idle copies of the loader, each with its device.
///
/// They are reused because `to_device` forks the random numbers of a shuffled loader and restarts its threads. Each
/// pass has its own copy. burn's workers serve one pass after the other, so two concurrent passes could deadlock.
type Idle<B> = Mutex<Vec<(Device, Arc<dyn DataLoader<B>>)>>;

pub(crate) struct BurnSource<B> {
    loader: Arc<dyn DataLoader<B>>,
    idle: Arc<Idle<B>>,
    pools: Arc<Pools>,
    items_per_batch: Option<usize>,
    chance: Chance,
    threads: Seen,
}

impl<B> BurnSource<B> {
    pub(crate) fn new(loader: Arc<dyn DataLoader<B>>) -> Self {
        let (idle, pools, chance) = (Arc::default(), Arc::default(), Chance::new(None, 0));
        Self { loader, idle, pools, items_per_batch: None, chance, threads: Seen::default() }
    }

    fn take(&self, device: &Device) -> Arc<dyn DataLoader<B>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        match idle.iter().position(|(at, _)| at == device) {
            Some(index) => idle.swap_remove(index).1,
            None => self.loader.to_device(device),
        }
    }
}

impl<B: Send + 'static> Source<B> for BurnSource<B> {
    fn facts(&self) -> Facts {
        Facts::new("burn's data loader")
    }

    fn check(&self) -> Result<()> {
        match self.items_per_batch {
            Some(0) => Err(Error::InvalidOption { option: "items_per_batch", value: 0 }),
            _ => Ok(()),
        }
    }

    fn open(&self, start: Position, device: &Device) -> Result<Box<dyn Feed<B>>> {
        if start.batch > 0 {
            tracing::warn!(
                batch = start.batch,
                "burn's data loader cannot seek: batches are skipped one by one, in the order it has this time"
            );
        }
        let loader = guarded("data loader", start.batch, || self.take(device))?;
        let mine = loader.clone();
        let (chance, look) = (self.chance, self.chance.announce(&self.threads, device));
        let pump = move |_, outlet: &Outlet<_>| pump(loader.as_ref(), start, chance, look.begin(), outlet);
        let mut stream = Stream::start(&self.pools, 1, 1, pump)?;
        // The first message confirms that the start was reached.
        match stream.recv() {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error),
            None => return Err(Error::WorkerLost { batch: start.batch }),
        }
        let (lent, idle) = (Some((device.clone(), mine)), self.idle.clone());
        Ok(Box::new(BurnFeed { stream: Some(stream), lent, idle, threads: self.threads.clone() }))
    }

    fn size(&self) -> Size {
        let items = self.loader.num_items();
        Size { length: self.items_per_batch.filter(|&n| n > 0).map(|n| items.div_ceil(n)).into(), items: Some(items) }
    }

    fn order(&self) -> String {
        String::new()
    }

    fn set(&self, setting: Setting) -> Option<Arc<dyn Source<B>>> {
        let (loader, idle, pools, threads) = (self.loader.clone(), self.idle.clone(), self.pools.clone(), self.threads.clone());
        let mut new = Self { loader, idle, pools, threads, ..*self };
        match setting {
            Setting::ItemsPerBatch(n) => new.items_per_batch = Some(n),
            Setting::RunSeed(seed) => (new.chance, new.threads) = (Chance::new(Some(seed), 0), Seen::default()),
            _ => return None,
        }
        Some(Arc::new(new))
    }
}

type Message<B> = Result<Option<Batch<B>>>;

/// Runs burn's iterator, which borrows its loader and therefore cannot leave this frame. The check covers what happens
/// until its first batch is there.
fn pump<B>(loader: &dyn DataLoader<B>, at: Position, chance: Chance, mut look: Option<Look>, outlet: &Outlet<Message<B>>) {
    let start = at.batch;
    let mut batch = 0;
    let result = guarded("data loader", start, || {
        let mut iter = loader.iter();
        let mut largest = 0;
        if start == 0 && !outlet.send(Ok(None)) {
            return Ok(());
        }
        loop {
            let before = iter.progress().items_processed;
            let Some(item) = chance.of_batch(Position::new(at.epoch, batch), None, || iter.next()) else { break };
            look.take().into_iter().for_each(Look::end);
            let value = item.map_err(|cause| Error::Dataset { item: None, batch, cause })?;
            let items = iter.progress().items_processed.saturating_sub(before);
            largest = largest.max(items);
            batch += 1;
            let message = match batch {
                skipped if skipped < start => continue,
                ready if ready == start => None,
                _ => Some(Batch { value, items: (items > 0).then_some(items) }),
            };
            if !outlet.send(Ok(message)) {
                return Ok(());
            }
        }
        let progress = iter.progress();
        let missing = progress.items_total.saturating_sub(progress.items_processed);
        // A loader that drops the last batch may miss less than one batch on purpose.
        if missing > 0 && missing >= largest {
            return Err(Error::Truncated { processed: progress.items_processed, total: progress.items_total });
        }
        if batch < start {
            return Err(Error::SeekPastEnd { batch: start, length: batch });
        }
        Ok(())
    });
    let error = match result {
        Ok(Ok(())) => return,
        Err(Error::Panic { place, message, .. }) => Error::Panic { place, batch, message },
        Ok(Err(error)) | Err(error) => error,
    };
    outlet.send(Err(error));
}

struct BurnFeed<B> {
    stream: Option<Stream<Message<B>>>,
    lent: Option<(Device, Arc<dyn DataLoader<B>>)>,
    idle: Arc<Idle<B>>,
    threads: Seen,
}

impl<B: Send> Feed<B> for BurnFeed<B> {
    fn next(&mut self) -> Option<Result<Batch<B>>> {
        let item = self.stream.as_mut()?.recv()?.transpose();
        self.threads.tell();
        if matches!(item, Some(Err(_))) {
            // A panic has killed one of burn's workers, and with it this copy.
            self.lent = None;
        }
        item
    }

    fn more(&mut self) -> Option<bool> {
        None
    }
}

impl<B> Drop for BurnFeed<B> {
    fn drop(&mut self) {
        // Dropped first: until then, the copy is in use.
        self.stream = None;
        if let Some(lent) = self.lent.take() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(lent);
        }
    }
}
