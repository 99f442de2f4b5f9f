use std::sync::Arc;

use burn::tensor::Device;

use crate::{
    Batch, Batches, BoxError, Error, Length, Loader, Position, Result,
    loader::DriveLoader as _,
    shuffle::derive,
    source::{Facts, Feed, Setting, Size, Source},
};

/// Combines several loaders into one. Each constructor is one of Lightning's modes and returns a [`Loader`].
///
/// A loader of unknown length counts as endless. If the total length depends on it, the total length is unknown. Set
/// options on the loaders before you combine them.
///
/// | constructor | batch | batches per epoch | the shorter loaders |
/// |---|---|---|---|
/// | [`min_size`](Self::min_size) | `Vec<B>` | the shortest | end the epoch |
/// | [`max_size_cycle`](Self::max_size_cycle) | `Vec<B>` | the longest | restart |
/// | [`max_size`](Self::max_size) | `Vec<Option<B>>` | the longest | yield `None` |
/// | [`sequential`](Self::sequential) | `B` | the sum | one after the other |
///
/// To combine loaders of different batch types, use [`Loader::zip`] and [`Loader::zip_cycle`].
///
/// ```
/// use burn::tensor::Device;
/// use stormfire_data::{CombinedLoader, Length, Loader, Position};
///
/// let loader = CombinedLoader::max_size_cycle([Loader::from_batches(vec![1, 2, 3]), Loader::from_batches(vec![10, 20])]);
/// assert_eq!(loader.len(), Length::Batches(3));
/// let mut batches = loader.batches(Position::default(), &Device::flex())?;
/// assert_eq!(batches.next().transpose()?.map(|batch| batch.value), Some(vec![1, 10]));
/// # Ok::<(), stormfire_data::Error>(())
/// ```
#[derive(Debug)]
pub struct CombinedLoader;

impl CombinedLoader {
    /// One batch of each loader, until the shortest ends.
    pub fn min_size<B: Send + 'static>(loaders: impl IntoIterator<Item = Loader<B>>) -> Loader<Vec<B>> {
        lockstep(loaders, Mode::MinSize).map(|row| row.into_iter().flatten().collect())
    }

    /// One batch of each loader, until each has ended once. Shorter loaders restart with a new order.
    ///
    /// A loader that makes `n` passes in an epoch numbers them `n * epoch, n * epoch + 1, …`, so that each pass has its
    /// own order. While a length is unknown, `n` is 1.
    pub fn max_size_cycle<B: Send + 'static>(loaders: impl IntoIterator<Item = Loader<B>>) -> Loader<Vec<B>> {
        lockstep(loaders, Mode::MaxSizeCycle).map(|row| row.into_iter().flatten().collect())
    }

    /// One batch of each loader that has not ended yet, until all have ended.
    pub fn max_size<B: Send + 'static>(loaders: impl IntoIterator<Item = Loader<B>>) -> Loader<Vec<Option<B>>> {
        lockstep(loaders, Mode::MaxSize)
    }

    /// All batches of the first loader, then all of the second, and so on.
    pub fn sequential<B: Send + 'static>(loaders: impl IntoIterator<Item = Loader<B>>) -> Loader<B> {
        Loader::from_source(Sequential(loaders.into_iter().collect()))
    }
}

impl<B: Send + 'static> Loader<B> {
    /// Pairs of batches, until the shorter loader ends: [`CombinedLoader::min_size`] for two types.
    pub fn zip<C: Send + 'static>(self, other: Loader<C>) -> Loader<(B, C)> {
        self.pairs(other, Mode::MinSize)
    }

    /// Pairs of batches, until both loaders have ended once: [`CombinedLoader::max_size_cycle`] for two types.
    pub fn zip_cycle<C: Send + 'static>(self, other: Loader<C>) -> Loader<(B, C)> {
        self.pairs(other, Mode::MaxSizeCycle)
    }

    fn pairs<C: Send + 'static>(self, other: Loader<C>, mode: Mode) -> Loader<(B, C)> {
        let loaders = [self.map(Either::Left), other.map(Either::Right)];
        lockstep(loaders, mode).try_map(|row| {
            let mut row = row.into_iter();
            match (row.next().flatten(), row.next().flatten()) {
                (Some(Either::Left(left)), Some(Either::Right(right))) => Ok((left, right)),
                _ => Err(BoxError::from("one of the two loaders gave no batch")),
            }
        })
    }
}

enum Either<B, C> {
    Left(B),
    Right(C),
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    MinSize,
    MaxSizeCycle,
    MaxSize,
}

fn lockstep<B: Send + 'static>(loaders: impl IntoIterator<Item = Loader<B>>, mode: Mode) -> Loader<Vec<Option<B>>> {
    Loader::from_source(Lockstep { loaders: loaders.into_iter().collect(), mode })
}

fn facts<B: Send + 'static>(loaders: &[Loader<B>]) -> Facts {
    Facts {
        is_shuffled: loaders.iter().any(Loader::is_shuffled),
        is_single_pass: loaders.iter().any(Loader::is_single_pass),
        is_divisible: loaders.iter().all(|loader| loader.facts().is_divisible),
        ..Facts::new("other loaders")
    }
}

fn check<B: Send + 'static>(loaders: &[Loader<B>]) -> Result<()> {
    if loaders.is_empty() {
        return Err(Error::NothingToCombine);
    }
    loaders.iter().enumerate().try_for_each(|(index, loader)| loader.check_options().map_err(at(index)))
}

fn set<B: Send + 'static>(loaders: &[Loader<B>], setting: &Setting) -> Option<Vec<Loader<B>>> {
    let adapt = |(index, loader): (usize, &Loader<B>)| match setting {
        // With one seed for all, loaders of the same length would have the same order.
        Setting::DefaultSeed(seed) => Some(loader.with_default_seed(derive(*seed, index))),
        Setting::RunSeed(seed) => Some(loader.with_run_seed(derive(*seed, index))),
        Setting::NoShuffle => Some(loader.without_shuffle()),
        _ => None,
    };
    loaders.iter().enumerate().map(adapt).collect()
}

fn at(loader: usize) -> impl Fn(Error) -> Error {
    move |error| Error::Combined { loader, error: Box::new(error) }
}

struct Lockstep<B> {
    loaders: Vec<Loader<B>>,
    mode: Mode,
}

impl<B: Send + 'static> Lockstep<B> {
    fn length(&self) -> Length {
        let mut lengths = self.loaders.iter().map(Loader::len);
        match self.mode {
            Mode::MinSize => lengths.filter_map(Length::known).min().into(),
            Mode::MaxSize | Mode::MaxSizeCycle => lengths.try_fold(0, |longest, length| length.known().map(|n| longest.max(n))).into(),
        }
    }
}

impl<B: Send + 'static> Source<Vec<Option<B>>> for Lockstep<B> {
    fn facts(&self) -> Facts {
        facts(&self.loaders)
    }

    fn check(&self) -> Result<()> {
        check(&self.loaders)?;
        let empty = |loader: &Loader<B>| loader.len() == Length::Batches(0);
        match self.loaders.iter().position(empty) {
            Some(index) if self.mode == Mode::MaxSizeCycle => self.loaders[index].check().map_err(at(index)),
            _ => Ok(()),
        }
    }

    fn open(&self, start: Position, device: &Device) -> Result<Box<dyn Feed<Vec<Option<B>>>>> {
        // The lengths determine how many passes a cycled loader makes in one epoch.
        let longest = self.length().known();
        let open = |(index, loader): (usize, &Loader<B>)| {
            let child = match self.mode {
                Mode::MaxSizeCycle => {
                    let passes = loader.len().known().zip(longest).map_or(1, |(len, longest)| longest.div_ceil(len.max(1)).max(1));
                    Child::cycled(loader, start, passes, device)
                }
                Mode::MinSize | Mode::MaxSize => Child::once(loader, start, device),
            };
            child.map_err(at(index))
        };
        let children: Vec<Child<B>> = self.loaders.iter().enumerate().map(open).collect::<Result<_>>()?;
        let passed = children.iter().map(|child| child.passed);
        let length = match self.mode {
            Mode::MinSize => passed.flatten().min(),
            Mode::MaxSize | Mode::MaxSizeCycle => passed.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max()),
        };
        if let Some(length) = length {
            return Err(Error::SeekPastEnd { batch: start.batch, length });
        }
        Ok(Box::new(LockstepFeed { children, mode: self.mode, device: device.clone() }))
    }

    fn size(&self) -> Size {
        Size { length: self.length(), items: None }
    }

    fn order(&self) -> String {
        self.loaders.iter().map(Loader::order).collect::<Vec<_>>().join("; ")
    }

    fn set(&self, setting: Setting) -> Option<Arc<dyn Source<Vec<Option<B>>>>> {
        Some(Arc::new(Self { loaders: set(&self.loaders, &setting)?, mode: self.mode }))
    }
}

struct Child<B> {
    loader: Loader<B>,
    batches: Option<Batches<B>>,
    /// The number of the current pass, used as the epoch.
    pass: usize,
    ended_once: bool,
    /// Its length, if the start is past its end.
    passed: Option<usize>,
}

impl<B: Send + 'static> Child<B> {
    fn once(loader: &Loader<B>, start: Position, device: &Device) -> Result<Self> {
        let (batches, passed) = match loader.batches(start, device) {
            Ok(batches) => (Some(batches), None),
            Err(Error::SeekPastEnd { length, .. }) => (None, Some(length)),
            Err(error) => return Err(error),
        };
        Ok(Self { loader: loader.clone(), ended_once: batches.is_none(), batches, pass: start.epoch, passed })
    }

    /// `count` is the number of passes in an epoch.
    fn cycled(loader: &Loader<B>, start: Position, count: usize, device: &Device) -> Result<Self> {
        let first = start.epoch * count;
        let open = |cycle, batch| loader.batches(Position::new(first + cycle, batch), device);
        let (cycle, mut batches, passed) = match open(0, start.batch) {
            Err(Error::SeekPastEnd { length: length @ 1.., .. }) => {
                let cycle = start.batch / length;
                (cycle, open(cycle, start.batch % length)?, Some(length))
            }
            opened => (0, opened?, None),
        };
        let ended_once = cycle > 0 || (start.batch > 0 && batches.at_end());
        Ok(Self { loader: loader.clone(), batches: Some(batches), pass: first + cycle, ended_once, passed })
    }

    fn at_end(&mut self) -> bool {
        self.batches.as_mut().is_none_or(Batches::at_end)
    }

    fn next(&mut self, cycle: bool, device: &Device) -> Option<Result<Batch<B>>> {
        if cycle && self.at_end() {
            self.pass += 1;
            self.batches = None;
            match self.loader.batches(Position::start_of(self.pass), device) {
                Ok(batches) => self.batches = Some(batches),
                Err(error) => return Some(Err(error)),
            }
            if self.at_end() {
                let reason = "it has no batch to repeat".to_owned();
                return Some(Err(Error::Empty { reason }));
            }
        }
        let item = self.batches.as_mut()?.next();
        self.ended_once |= self.at_end();
        item
    }
}

struct LockstepFeed<B> {
    children: Vec<Child<B>>,
    mode: Mode,
    device: Device,
}

impl<B> LockstepFeed<B>
where
    B: Send + 'static,
{
    fn at_end(&mut self) -> bool {
        match self.mode {
            Mode::MinSize => self.children.iter_mut().any(Child::at_end),
            Mode::MaxSize => self.children.iter_mut().all(Child::at_end),
            Mode::MaxSizeCycle => self.children.iter().all(|child| child.ended_once),
        }
    }
}

impl<B: Send + 'static> Feed<Vec<Option<B>>> for LockstepFeed<B> {
    fn next(&mut self) -> Option<Result<Batch<Vec<Option<B>>>>> {
        if self.at_end() {
            return None;
        }
        let mut value = Vec::with_capacity(self.children.len());
        let mut items = Some(0);
        for (index, child) in self.children.iter_mut().enumerate() {
            value.push(match child.next(self.mode == Mode::MaxSizeCycle, &self.device) {
                Some(Ok(batch)) => {
                    items = items.zip(batch.items).map(|(sum, n)| sum + n);
                    Some(batch.value)
                }
                Some(Err(error)) => return Some(Err(at(index)(error))),
                None => None,
            });
        }
        Some(Ok(Batch { value, items }))
    }

    fn more(&mut self) -> Option<bool> {
        Some(!self.at_end())
    }
}

struct Sequential<B>(Vec<Loader<B>>);

impl<B: Send + 'static> Source<B> for Sequential<B> {
    fn facts(&self) -> Facts {
        facts(&self.0)
    }

    fn check(&self) -> Result<()> {
        check(&self.0)
    }

    fn open(&self, start: Position, device: &Device) -> Result<Box<dyn Feed<B>>> {
        let mut skip = start.batch;
        for (index, loader) in self.0.iter().enumerate() {
            match loader.batches(Position::new(start.epoch, skip), device) {
                Ok(batches) => {
                    let (loaders, device) = (self.0.clone(), device.clone());
                    return Ok(Box::new(SequentialFeed { loaders, index, batches, epoch: start.epoch, device }));
                }
                Err(Error::SeekPastEnd { length, .. }) => skip -= length,
                Err(error) => return Err(at(index)(error)),
            }
        }
        Err(Error::SeekPastEnd { batch: start.batch, length: start.batch - skip })
    }

    fn size(&self) -> Size {
        let length = self.0.iter().try_fold(0, |sum, loader| loader.len().known().map(|n| sum + n)).into();
        Size { length, items: self.0.iter().map(Loader::dataset_len).sum() }
    }

    fn order(&self) -> String {
        self.0.iter().map(Loader::order).collect::<Vec<_>>().join("; ")
    }

    fn set(&self, setting: Setting) -> Option<Arc<dyn Source<B>>> {
        Some(Arc::new(Self(set(&self.0, &setting)?)))
    }
}

struct SequentialFeed<B> {
    loaders: Vec<Loader<B>>,
    index: usize,
    batches: Batches<B>,
    epoch: usize,
    device: Device,
}

impl<B: Send + 'static> SequentialFeed<B> {
    /// Opens the loader of the next batch. Returns false at the end of the last loader.
    fn advance(&mut self) -> Result<bool> {
        while self.batches.at_end() {
            let Some(loader) = self.loaders.get(self.index + 1) else { return Ok(false) };
            self.index += 1;
            self.batches = loader.batches(Position::start_of(self.epoch), &self.device).map_err(at(self.index))?;
        }
        Ok(true)
    }
}

impl<B: Send + 'static> Feed<B> for SequentialFeed<B> {
    fn next(&mut self) -> Option<Result<Batch<B>>> {
        match self.advance() {
            Ok(true) => self.batches.next().map(|item| item.map_err(at(self.index))),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }

    fn more(&mut self) -> Option<bool> {
        if !self.batches.at_end() {
            return Some(true);
        }
        // Loaders that have not started are opened only if nothing else shows it.
        let rest = self.loaders.get(self.index + 1..).unwrap_or_default();
        rest.iter().try_fold(0, |sum, loader| loader.len().known().map(|n| sum + n)).map(|batches| batches > 0)
    }
}
