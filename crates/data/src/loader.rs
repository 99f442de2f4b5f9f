mod drive;

use std::{fmt, sync::Arc};

use burn::{
    data::{
        dataloader::{DataLoader, batcher::Batcher},
        dataset::Dataset,
    },
    tensor::Device,
};

use crate::{
    BatchSampler, Batches, BoxError, Error, Length, Position, Result, Sampler, Shards, Stage,
    burn_loader::BurnSource,
    dataset::DatasetSource,
    iterator::IterSource,
    samplers::AnySampler,
    source::{Facts, Setting, Size, Source},
    stream::StreamSource,
};

pub use drive::DriveLoader;

/// A source of batches of type `B` for every epoch.
///
/// Cloning is cheap and returns the same loader. Setters report errors when iteration starts, not before:
/// [`Error::InvalidOption`] for an invalid value, [`Error::NoEffect`] if this kind of loader does not support the
/// option.
///
/// | made by | order | resuming in mid-epoch |
/// |---|---|---|
/// | [`new`](Self::new), [`collate`](Self::collate) | from (seed, epoch), for any number of workers | exact, loads
/// nothing twice |
/// | [`stream`](Self::stream) | from (seed, epoch), for any number of workers | exact; reads the shards before if they were
/// not counted |
/// | [`from_batches`](Self::from_batches) | as given | exact |
/// | [`from_fn`](Self::from_fn), [`from_iter`](Self::from_iter) | the iterator's | makes the skipped batches again |
/// | [`from_burn`](Self::from_burn) | burn's | makes the skipped batches again; not exact if burn shuffles or has two
/// or more workers |
///
/// ```
/// use burn::{data::dataset::InMemDataset, tensor::Device};
/// use stormfire_data::{Loader, Position};
///
/// let digits = InMemDataset::new((0..10).collect());
/// let loader = Loader::collate(digits, |items: Vec<u32>, _device| items).batch_size(4).workers(2);
/// let batches: Result<Vec<_>, _> = loader.batches(Position::start_of(0), &Device::flex())?.collect();
/// let batches: Vec<_> = batches?.into_iter().map(|batch| batch.value).collect();
/// assert_eq!(batches, [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9]]);
/// # Ok::<(), stormfire_data::Error>(())
/// ```
///
#[doc = include_str!("../docs/loader.md")]
pub struct Loader<B> {
    source: Arc<dyn Source<B>>,
    misuse: Option<&'static str>,
    /// Set by `setup` when the loader serves as a whole data module.
    pub(crate) stage: Option<Stage>,
}

impl<B> Clone for Loader<B> {
    fn clone(&self) -> Self {
        Self { source: self.source.clone(), ..*self }
    }
}

impl<B: Send + 'static> Loader<B> {
    /// Batches of a burn `Dataset` (or an `Arc<dyn Dataset<I>>`), made by a burn `Batcher`.
    ///
    /// Defaults as in `PyTorch`: batch size 1, no shuffling, no workers.
    pub fn new<I: 'static>(dataset: impl Dataset<I> + 'static, batcher: impl Batcher<I, B> + 'static) -> Self {
        Self::from_source(DatasetSource::new(Arc::new(dataset), Arc::new(batcher)))
    }

    /// Batches of a burn `Dataset`, made by a function of the items and the device.
    pub fn collate<I: 'static>(dataset: impl Dataset<I> + 'static, collate: impl Fn(Vec<I>, &Device) -> B + Send + Sync + 'static) -> Self {
        Self::new(dataset, Collate(collate))
    }

    /// Batches of the records of [`Shards`], made by a function of the items and the device.
    ///
    /// The records are read once in an epoch, in the order of the shards, and `workers` decode them. With
    /// `shuffle(true)`, the order of the shards and of the records within the
    /// [`shuffle_buffer`](Shards::shuffle_buffer) depends on the seed and the epoch. A pass that starts in the middle
    /// reads on in the right shard and record. If the shards were not [`counted`](Shards::counted), it also reads the
    /// shards before, without decoding them, and the length is unknown.
    ///
    /// ```no_run
    /// use burn::prelude::*;
    /// use stormfire_data::{Loader, Shards, shard_paths};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Row {
    ///     x: f32,
    ///     y: f32,
    /// }
    ///
    /// let shards = Shards::json_lines(shard_paths("data/rows-{000..127}.jsonl.gz")?);
    /// let loader = Loader::stream(shards, |rows: Vec<Row>, device| {
    ///     let column = |of: fn(&Row) -> f32| Tensor::<1>::from_floats(rows.iter().map(of).collect::<Vec<_>>().as_slice(), device);
    ///     (column(|row| row.x), column(|row| row.y))
    /// });
    /// let loader = loader.batch_size(256).shuffle(true).workers(2);
    /// # Ok::<(), stormfire_data::Error>(())
    /// ```
    pub fn stream<I: Send + 'static>(shards: Shards<I>, collate: impl Fn(Vec<I>, &Device) -> B + Send + Sync + 'static) -> Self {
        Self::from_source(StreamSource::new(shards, collate))
    }

    /// The batches of burn's own data loader, which keeps its own batch size, order and workers.
    ///
    /// It runs on a separate thread, on the device of the run (`DataLoader::to_device`).
    ///
    /// The limits of burn's loader remain:
    ///
    /// * With two or more workers, its order is not reproducible.
    /// * A shuffled loader cannot resume exactly.
    /// * [`random`](crate::random()) works in it only without workers. burn's random numbers are not repeatable.
    /// * It ends early if a worker panics, which is [`Error::Truncated`].
    pub fn from_burn(loader: Arc<dyn DataLoader<B>>) -> Self {
        Self::from_source(BurnSource::new(loader))
    }

    /// The batches of an iterator, for one epoch. A second epoch is [`Error::Consumed`].
    #[expect(clippy::should_implement_trait, reason = "collecting from a borrowing iterator is not possible here")]
    pub fn from_iter<T>(batches: T) -> Self
    where
        T: IntoIterator<Item = B>,
        T::IntoIter: Send + 'static,
    {
        Self::try_from_iter(batches.into_iter().map(Ok::<B, BoxError>))
    }

    /// Like [`from_iter`](Self::from_iter), for batches that may fail.
    pub fn try_from_iter<T, E>(batches: T) -> Self
    where
        T: IntoIterator<Item = Result<B, E>>,
        T::IntoIter: Send + 'static,
        E: Into<BoxError>,
    {
        Self::from_source(IterSource::once(batches.into_iter()))
    }

    /// A new iterator of batches for each epoch. It may be endless.
    ///
    /// The length comes from the iterator's `size_hint` if that is exact. To find out, the first call of
    /// [`len`](Self::len) calls `make(0)` once more.
    ///
    /// ```
    /// use stormfire_data::{Length, Loader};
    ///
    /// let sized = Loader::from_fn(|epoch| (0..4).map(move |i| 10 * epoch + i));
    /// assert_eq!(sized.len(), Length::Batches(4));
    /// let endless = Loader::from_fn(|_epoch| std::iter::repeat(1.0));
    /// assert_eq!(endless.len(), Length::Unknown);
    /// ```
    pub fn from_fn<T>(make: impl Fn(usize) -> T + Send + Sync + 'static) -> Self
    where
        T: IntoIterator<Item = B>,
        T::IntoIter: Send + 'static,
    {
        Self::try_from_fn(move |epoch| make(epoch).into_iter().map(Ok::<B, BoxError>))
    }

    /// Like [`from_fn`](Self::from_fn), for batches that may fail.
    pub fn try_from_fn<T, E>(make: impl Fn(usize) -> T + Send + Sync + 'static) -> Self
    where
        T: IntoIterator<Item = Result<B, E>>,
        T::IntoIter: Send + 'static,
        E: Into<BoxError>,
    {
        Self::from_source(IterSource::per_epoch(make))
    }

    /// The given batches, in every epoch. [`items_per_batch`](Self::items_per_batch) sets their weight in the mean of
    /// an epoch.
    pub fn from_batches(batches: Vec<B>) -> Self
    where
        B: Clone,
    {
        Self::from_source(IterSource::batches(batches))
    }

    /// Items per batch (default 1). 0 is [`Error::InvalidOption`].
    pub fn batch_size(self, items: usize) -> Self {
        self.set(Setting::BatchSize(items))
    }

    /// Whether each epoch has its own order, which depends on the seed and the epoch only (default false).
    pub fn shuffle(self, on: bool) -> Self {
        self.set(Setting::Shuffle(on))
    }

    /// The seed of the order (default: that of the Trainer, else 0). Outside of a run, also the seed of
    /// [`random`](crate::random()).
    pub fn seed(self, seed: u64) -> Self {
        self.set(Setting::Seed(seed))
    }

    /// The number of threads that make batches (default 0: batches are made on the iterating thread). The batches and
    /// their order do not depend on it.
    ///
    /// Neither do the numbers of [`random`](crate::random()). burn's random numbers (`Tensor::random`, `random_like`)
    /// in datasets and batchers are repeatable without workers only. burn has one generator for the whole process, so a
    /// worker that draws from it also changes the numbers that the module draws. A fit warns about this.
    pub fn workers(self, threads: usize) -> Self {
        self.set(Setting::Workers(threads))
    }

    /// Batches that each worker prefetches, in addition to the one it is making (default 2). 0 is
    /// [`Error::InvalidOption`].
    ///
    /// If the batcher makes tensors, they take `workers × (prefetch + 1)` batches of device memory.
    pub fn prefetch(self, batches: usize) -> Self {
        self.set(Setting::Prefetch(batches))
    }

    /// The sampler that decides which items an epoch uses, and in which order, instead of `shuffle`.
    /// [`Error::Conflict`] next to `shuffle(true)`.
    ///
    /// With `overfit_batches` of the Trainer, every epoch has the order of epoch 0.
    pub fn sampler(self, sampler: impl Sampler + 'static) -> Self {
        self.set(Setting::Sampler(AnySampler::Items(Arc::new(sampler))))
    }

    /// The sampler that decides which items are in which batch, instead of `shuffle`, `batch_size` and `drop_last`.
    /// [`Error::Conflict`] next to one of them.
    pub fn batch_sampler(self, sampler: impl BatchSampler + 'static) -> Self {
        self.set(Setting::Sampler(AnySampler::Batches(Arc::new(sampler))))
    }

    /// Whether to drop a last batch that is not full (default false).
    pub fn drop_last(self, on: bool) -> Self {
        self.set(Setting::DropLast(on))
    }

    /// Sets the number of items per batch, for iterators and burn's loader, which do not know it. 0 is
    /// [`Error::InvalidOption`].
    ///
    /// For iterators, it becomes [`Batch::items`](crate::Batch::items). For burn's loader, it makes the length known.
    pub fn items_per_batch(self, items: usize) -> Self {
        self.set(Setting::ItemsPerBatch(items))
    }

    /// Starts a pass at `start`, for tensors on `device`.
    ///
    /// A pass that starts at a saved [`Position`] equals the rest of the uninterrupted pass. The table at [`Loader`]
    /// says for which loaders this is exact and what it costs. A start at the very end is allowed and yields no batch.
    ///
    /// # Errors
    ///
    /// The errors of [`check`](Self::check), but not [`Error::Empty`]. Also [`Error::SeekPastEnd`],
    /// [`Error::Consumed`], and errors while batches are skipped.
    pub fn batches(&self, start: Position, device: &Device) -> Result<Batches<B>> {
        self.check_options()?;
        if let Length::Batches(length) = self.len()
            && start.batch > length
        {
            return Err(Error::SeekPastEnd { batch: start.batch, length });
        }
        Ok(Batches::new(self.source.open(start, device)?, start, self.facts().share))
    }

    /// Checks that the options are valid and that the loader is not known to be empty.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`], [`Error::NoEffect`], [`Error::Conflict`], [`Error::Sampler`], [`Error::DataFile`],
    /// [`Error::NothingToCombine`], [`Error::Empty`].
    pub fn check(&self) -> Result<()> {
        self.check_options()?;
        if self.len() == Length::Batches(0) {
            let reason = match self.dataset_len() {
                Some(0) => "its dataset has no items".to_owned(),
                Some(items) => format!("its dataset has {items} items, fewer than one full batch"),
                None => format!("it is made from {} without batches", self.facts().kind),
            };
            return Err(Error::Empty { reason });
        }
        Ok(())
    }

    /// Batches per epoch.
    pub fn len(&self) -> Length {
        self.size().length
    }

    /// Items in the dataset. `None` without a dataset.
    pub fn dataset_len(&self) -> Option<usize> {
        self.size().items
    }

    /// Whether this loader changes its order between epochs. An order that burn or an iterator decides does not count.
    pub fn is_shuffled(&self) -> bool {
        self.facts().is_shuffled
    }

    pub(crate) fn facts(&self) -> Facts {
        self.source.facts()
    }

    pub(crate) fn size(&self) -> Size {
        self.source.size()
    }

    pub(crate) fn from_source(source: impl Source<B> + 'static) -> Self {
        Self { source: Arc::new(source), misuse: None, stage: None }
    }

    pub(crate) fn check_options(&self) -> Result<()> {
        if let Some(option) = self.misuse {
            return Err(Error::NoEffect { option, kind: self.facts().kind });
        }
        self.source.check()
    }

    pub(crate) fn try_set(&self, setting: Setting) -> Option<Self> {
        let source = self.source.set(setting)?;
        Some(Self { source, ..*self })
    }

    pub(crate) fn adapt(&self, setting: Setting) -> Self {
        self.try_set(setting).unwrap_or_else(|| self.clone())
    }

    fn set(self, setting: Setting) -> Self {
        let name = setting.name();
        match self.try_set(setting) {
            Some(loader) => loader,
            None => Self { misuse: self.misuse.or(Some(name)), ..self },
        }
    }
}

impl<B: Send + 'static> From<Arc<dyn DataLoader<B>>> for Loader<B> {
    fn from(loader: Arc<dyn DataLoader<B>>) -> Self {
        Self::from_burn(loader)
    }
}

impl<B> fmt::Debug for Loader<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader")
            .field("made_from", &self.source.facts().kind)
            .field("shuffled", &self.source.facts().is_shuffled)
            .finish_non_exhaustive()
    }
}

struct Collate<F>(F);

impl<I, B, F: Fn(Vec<I>, &Device) -> B + Send + Sync> Batcher<I, B> for Collate<F> {
    fn batch(&self, items: Vec<I>, device: &Device) -> B {
        (self.0)(items, device)
    }
}
