use std::{fmt, sync::Arc};

use burn::{
    data::{
        dataloader::{DataLoader, batcher::Batcher},
        dataset::Dataset,
    },
    tensor::Device,
};

use crate::{
    Batches, BoxError, Error, Length, Position, Result, Stage,
    burn_loader::BurnSource,
    dataset::DatasetSource,
    iterator::IterSource,
    source::{Setting, Source},
};

/// A source of batches of type `B` for every epoch, wherever they come from.
///
/// Cloning is cheap and gives the same loader. The setters fail when iteration starts, not before: a senseless value is
/// [`Error::InvalidOption`], and a setter that means nothing for this kind of loader is [`Error::NoEffect`].
///
/// | made by | order | going on in mid-epoch |
/// |---|---|---|
/// | [`new`](Self::new), [`collate`](Self::collate) | by (seed, epoch), for any number of workers | exact, loads nothing twice |
/// | [`from_batches`](Self::from_batches) | as given | exact |
/// | [`from_fn`](Self::from_fn), [`from_iter`](Self::from_iter) | the iterator's | makes the skipped batches again |
/// | [`from_burn`](Self::from_burn) | burn's | makes the skipped batches again; not exact if burn shuffles or has two or more workers |
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
    /// Defaults, as in `PyTorch`: batch size 1, no shuffling, no workers.
    pub fn new<I: 'static>(dataset: impl Dataset<I> + 'static, batcher: impl Batcher<I, B> + 'static) -> Self {
        Self::from_source(DatasetSource::new(Arc::new(dataset), Arc::new(batcher)))
    }

    /// Batches of a burn `Dataset`, made by a function of the items and the device.
    pub fn collate<I: 'static>(dataset: impl Dataset<I> + 'static, collate: impl Fn(Vec<I>, &Device) -> B + Send + Sync + 'static) -> Self {
        Self::new(dataset, Collate(collate))
    }

    /// The batches of burn's own data loader, which keeps its own batch size, order and workers.
    ///
    /// It runs on one thread of its own, on the device of the run (`DataLoader::to_device`); [`random`](crate::random()) works in it unless it has
    /// workers, and random numbers of burn are not repeatable. What burn's loader cannot do stays undone:
    /// with two or more workers its order is not reproducible, and a shuffled one cannot be resumed exactly. If it ends early, as it does
    /// when a worker panics, that is [`Error::Truncated`].
    pub fn from_burn(loader: Arc<dyn DataLoader<B>>) -> Self {
        Self::from_source(BurnSource::new(loader))
    }

    /// The batches of an iterator, for one epoch: a second one is [`Error::Consumed`].
    #[expect(clippy::should_implement_trait, reason = "collecting from a borrowing iterator is not possible here")]
    pub fn from_iter<T>(batches: T) -> Self
    where
        T: IntoIterator<Item = B>,
        T::IntoIter: Send + 'static,
    {
        Self::try_from_iter(batches.into_iter().map(Ok::<B, BoxError>))
    }

    /// As [`from_iter`](Self::from_iter), for batches that may fail.
    pub fn try_from_iter<T, E>(batches: T) -> Self
    where
        T: IntoIterator<Item = Result<B, E>>,
        T::IntoIter: Send + 'static,
        E: Into<BoxError>,
    {
        Self::from_source(IterSource::once(batches.into_iter()))
    }

    /// A fresh iterator of batches for each epoch, which may be endless.
    ///
    /// The length is taken from the iterator's `size_hint` if that is exact; to find out, `make(0)` is called once more when
    /// [`len`](Self::len) is first asked.
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

    /// As [`from_fn`](Self::from_fn), for batches that may fail.
    pub fn try_from_fn<T, E>(make: impl Fn(usize) -> T + Send + Sync + 'static) -> Self
    where
        T: IntoIterator<Item = Result<B, E>>,
        T::IntoIter: Send + 'static,
        E: Into<BoxError>,
    {
        Self::from_source(IterSource::per_epoch(make))
    }

    /// The given batches, in every epoch. [`items_per_batch`](Self::items_per_batch) tells what they weigh in a mean over it.
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

    /// Whether each epoch has an order of its own, a function of the seed and the epoch alone (default false).
    pub fn shuffle(self, on: bool) -> Self {
        self.set(Setting::Shuffle(on))
    }

    /// The seed of the order (default: that of the Trainer, else 0), and of what [`random`](crate::random()) draws outside of a run.
    pub fn seed(self, seed: u64) -> Self {
        self.set(Setting::Seed(seed))
    }

    /// Threads that make batches (default 0: they are made on the thread that iterates). The batches and their order do not depend on it.
    ///
    /// Neither does what is drawn from [`random`](crate::random()). Random numbers of burn (`Tensor::random`, `random_like`) in datasets and
    /// batchers are repeatable without workers only: burn has one generator for the whole process, and a worker that draws from it also
    /// changes what the module draws meanwhile. A fit warns of it.
    pub fn workers(self, threads: usize) -> Self {
        self.set(Setting::Workers(threads))
    }

    /// Batches that each worker holds ready, beside the one it is making (default 2). 0 is [`Error::InvalidOption`].
    ///
    /// If the batcher makes tensors, they take `workers × (prefetch + 1)` batches of device memory.
    pub fn prefetch(self, batches: usize) -> Self {
        self.set(Setting::Prefetch(batches))
    }

    /// Whether a last batch that is not full is left out (default false).
    pub fn drop_last(self, on: bool) -> Self {
        self.set(Setting::DropLast(on))
    }

    /// Tells how many items a batch has, for loaders of iterators and burn's loader, which cannot know. 0 is [`Error::InvalidOption`].
    ///
    /// It becomes [`Batch::items`](crate::Batch::items) for iterators, and makes the length of burn's loader known.
    pub fn items_per_batch(self, items: usize) -> Self {
        self.set(Setting::ItemsPerBatch(items))
    }

    /// This loader with `seed` wherever the user has set none. Loaders that are combined get different seeds from it.
    pub fn with_default_seed(&self, seed: u64) -> Self {
        self.adapt(Setting::DefaultSeed(seed))
    }

    /// This loader in a run of this seed: what its batches draw, from [`random`](crate::random()) or without workers from burn, follows from it.
    /// Loaders that are combined get different seeds from it.
    pub fn with_run_seed(&self, seed: u64) -> Self {
        self.adapt(Setting::RunSeed(seed))
    }

    /// This loader in a fixed order; a loader whose order is not its own stays as it is.
    pub fn without_shuffle(&self) -> Self {
        self.adapt(Setting::NoShuffle)
    }

    /// Starts a pass at `start`, for tensors on `device`.
    ///
    /// The rest of a pass that starts at a saved [`Position`] equals the rest of the unbroken one; the table at [`Loader`] says
    /// for which loaders that is exact and what it costs. Starting at the very end is allowed and gives no batch.
    ///
    /// # Errors
    ///
    /// What [`check`](Self::check) finds except an empty loader, [`Error::SeekPastEnd`], [`Error::Consumed`], and whatever fails while
    /// batches are skipped.
    pub fn batches(&self, start: Position, device: &Device) -> Result<Batches<B>> {
        self.check_options()?;
        if let Length::Batches(length) = self.source.length()
            && start.batch > length
        {
            return Err(Error::SeekPastEnd { batch: start.batch, length });
        }
        Ok(Batches::new(self.source.open(start, device)?, start))
    }

    /// Whether the loader can be used at all: its options make sense and it is not known to be empty.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`], [`Error::NoEffect`], [`Error::NothingToCombine`], [`Error::Empty`].
    pub fn check(&self) -> Result<()> {
        self.check_options()?;
        if self.source.length() == Length::Batches(0) {
            let reason = match self.source.dataset_len() {
                Some(0) => "its dataset has no items".to_owned(),
                Some(items) => format!("its dataset has {items} items, fewer than one full batch"),
                None => format!("it is made from {} without batches", self.source.kind()),
            };
            return Err(Error::Empty { reason });
        }
        Ok(())
    }

    /// Batches per epoch.
    pub fn len(&self) -> Length {
        self.source.length()
    }

    /// Items in the dataset, if there is one.
    pub fn dataset_len(&self) -> Option<usize> {
        self.source.dataset_len()
    }

    /// Whether the order changes between epochs, as far as this crate decides about it.
    pub fn is_shuffled(&self) -> bool {
        self.source.is_shuffled()
    }

    /// Whether its batches are made on other threads than the one that iterates.
    pub fn makes_ahead(&self) -> bool {
        self.source.makes_ahead()
    }

    /// Whether it gives its batches once only, as one made from an iterator does.
    pub fn is_single_pass(&self) -> bool {
        self.source.is_single_pass()
    }

    pub(crate) fn from_source(source: impl Source<B> + 'static) -> Self {
        Self { source: Arc::new(source), misuse: None, stage: None }
    }

    pub(crate) fn check_options(&self) -> Result<()> {
        if let Some(option) = self.misuse {
            return Err(Error::NoEffect { option, kind: self.source.kind() });
        }
        self.source.check()
    }

    pub(crate) fn depth(&self) -> u64 {
        self.source.depth()
    }

    pub(crate) fn kind(&self) -> &'static str {
        self.source.kind()
    }

    pub(crate) fn try_set(&self, setting: Setting) -> Option<Self> {
        let source = self.source.set(setting)?;
        Some(Self { source, ..*self })
    }

    pub(crate) fn adapt(&self, setting: Setting) -> Self {
        self.try_set(setting).unwrap_or_else(|| self.clone())
    }

    fn set(self, setting: Setting) -> Self {
        match self.try_set(setting) {
            Some(loader) => loader,
            None => Self { misuse: self.misuse.or(Some(setting.name())), ..self },
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
            .field("made_from", &self.source.kind())
            .field("shuffled", &self.source.is_shuffled())
            .finish_non_exhaustive()
    }
}

struct Collate<F>(F);

impl<I, B, F: Fn(Vec<I>, &Device) -> B + Send + Sync> Batcher<I, B> for Collate<F> {
    fn batch(&self, items: Vec<I>, device: &Device) -> B {
        (self.0)(items, device)
    }
}
