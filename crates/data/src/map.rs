use std::sync::Arc;

use burn::{data::dataset::Dataset, tensor::Device};

use crate::{
    Batch, Batches, BoxError, Error, Loader, Position, Result, Shards,
    loader::DriveLoader as _,
    random::Chance,
    shuffle::derive,
    source::{Facts, Feed, Setting, Size, Source, guarded},
};

type Function<A, B> = Arc<dyn Fn(A) -> Result<B, BoxError> + Send + Sync>;

impl<B: Send + 'static> Loader<B> {
    /// Like [`collate`](Self::collate), with a function that may fail. Its error becomes [`Error::Source`] and ends the
    /// pass.
    pub fn try_collate<I: 'static>(
        dataset: impl Dataset<I> + 'static,
        collate: impl Fn(Vec<I>, &Device) -> Result<B, BoxError> + Send + Sync + 'static,
    ) -> Self {
        Loader::collate(dataset, collate).try_map(|batch| batch)
    }

    /// Like [`stream`](Self::stream), with a function that may fail. Its error becomes [`Error::Source`] and ends the
    /// pass.
    pub fn try_stream<I: Send + 'static>(
        shards: Shards<I>,
        collate: impl Fn(Vec<I>, &Device) -> Result<B, BoxError> + Send + Sync + 'static,
    ) -> Self {
        Loader::stream(shards, collate).try_map(|batch| batch)
    }

    /// Applies a function to each batch. It runs on the iterating thread.
    pub fn map<C: Send + 'static>(self, map: impl Fn(B) -> C + Send + Sync + 'static) -> Loader<C> {
        self.try_map(move |batch| Ok(map(batch)))
    }

    /// Like [`map`](Self::map), with a function that may fail. Its error becomes [`Error::Source`] and ends the pass.
    pub fn try_map<C: Send + 'static>(self, map: impl Fn(B) -> Result<C, BoxError> + Send + Sync + 'static) -> Loader<C> {
        Loader::from_source(MapSource::new(self, map))
    }
}

/// A loader whose batches go through a function.
pub(crate) struct MapSource<A, B> {
    inner: Loader<A>,
    map: Function<A, B>,
    chance: Chance,
}

impl<A: Send + 'static, B> MapSource<A, B> {
    pub(crate) fn new(inner: Loader<A>, map: impl Fn(A) -> Result<B, BoxError> + Send + Sync + 'static) -> Self {
        // Chained functions draw different numbers.
        let chance = Chance::new(None, inner.facts().depth + 1);
        Self { inner, map: Arc::new(map), chance }
    }
}

impl<A: Send + 'static, B: Send + 'static> Source<B> for MapSource<A, B> {
    fn facts(&self) -> Facts {
        let inner = self.inner.facts();
        Facts { depth: inner.depth + 1, ..inner }
    }

    fn check(&self) -> Result<()> {
        self.inner.check_options()
    }

    fn open(&self, start: Position, device: &Device) -> Result<Box<dyn Feed<B>>> {
        let (inner, map) = (self.inner.batches(start, device)?, self.map.clone());
        Ok(Box::new(MapFeed { inner, map, chance: self.chance, device: device.clone() }))
    }

    fn size(&self) -> Size {
        self.inner.size()
    }

    fn order(&self) -> String {
        self.inner.order()
    }

    fn set(&self, setting: Setting) -> Option<Arc<dyn Source<B>>> {
        let (inner, chance) = match setting {
            Setting::RunSeed(seed) => (self.inner.with_run_seed(derive(seed, 1)), Chance::new(Some(seed), 0)),
            _ => (self.inner.try_set(setting)?, self.chance),
        };
        Some(Arc::new(Self { inner, map: self.map.clone(), chance }))
    }
}

struct MapFeed<A, B> {
    inner: Batches<A>,
    map: Function<A, B>,
    chance: Chance,
    device: Device,
}

impl<A: Send + 'static, B> Feed<B> for MapFeed<A, B> {
    fn next(&mut self) -> Option<Result<Batch<B>>> {
        let position = self.inner.position();
        let batch = position.batch;
        Some(self.inner.next()?.and_then(|Batch { value, items }| {
            let value =
                self.chance.of_batch(position, Some(&self.device), || guarded("function given to `map`", batch, || (self.map)(value)))?;
            Ok(Batch { value: value.map_err(|cause| Error::Source { batch, cause })?, items })
        }))
    }

    fn more(&mut self) -> Option<bool> {
        Some(!self.inner.at_end())
    }

    fn indices(&self, batch: usize) -> Option<Vec<usize>> {
        self.inner.indices_of(batch)
    }
}
