use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use burn::tensor::Device;

use crate::{
    Batch, BoxError, Error, Length, Position, Result,
    random::Chance,
    source::{Facts, Feed, Setting, Size, Source, guarded},
};

type BoxIter<B> = Box<dyn Iterator<Item = Result<B, BoxError>> + Send>;

type Open<B> = Arc<dyn Fn(Position, &Draws) -> Result<BoxIter<B>> + Send + Sync>;

/// One iterator per epoch.
pub(crate) struct IterSource<B> {
    /// Makes the iterator for an epoch, already advanced to the position.
    open: Open<B>,
    measure: Arc<dyn Fn() -> Length + Send + Sync>,
    length: Arc<OnceLock<Length>>,
    items_per_batch: Option<usize>,
    is_single_pass: bool,
    /// Whether the batches were given as a list.
    is_list: bool,
    chance: Chance,
}

/// How the iterator draws random numbers.
struct Draws {
    chance: Chance,
    device: Device,
    epoch: usize,
}

impl Draws {
    fn of_batch<T>(&self, batch: usize, code: impl FnOnce() -> T) -> T {
        self.chance.of_batch(Position::new(self.epoch, batch), Some(&self.device), code)
    }
}

/// The iterator itself is made as a batch that no epoch has.
const BEFORE_THE_FIRST: usize = usize::MAX;

impl<B: Send + 'static> IterSource<B> {
    fn new(
        open: impl Fn(Position, &Draws) -> Result<BoxIter<B>> + Send + Sync + 'static,
        measure: impl Fn() -> Length + Send + Sync + 'static,
    ) -> Self {
        Self {
            open: Arc::new(open),
            measure: Arc::new(measure),
            length: Arc::default(),
            items_per_batch: None,
            is_single_pass: false,
            is_list: false,
            chance: Chance::new(None, 0),
        }
    }

    pub(crate) fn once<E: Into<BoxError>>(iter: impl Iterator<Item = Result<B, E>> + Send + 'static) -> Self {
        let length = exact(&iter);
        let iter: BoxIter<B> = Box::new(iter.map(|item| item.map_err(Into::into)));
        let iter = Mutex::new(Some(iter));
        let open = move |start: Position, draws: &Draws| {
            let taken = iter.lock().unwrap_or_else(PoisonError::into_inner).take();
            skip(taken.ok_or(Error::Consumed { epoch: start.epoch })?, start.batch, draws)
        };
        Self { is_single_pass: true, ..Self::new(open, move || length) }
    }

    pub(crate) fn per_epoch<E, T>(make: impl Fn(usize) -> T + Send + Sync + 'static) -> Self
    where
        E: Into<BoxError>,
        T: IntoIterator<Item = Result<B, E>>,
        T::IntoIter: Send + 'static,
    {
        let make = Arc::new(move |epoch| guarded("iterator", 0, || make(epoch).into_iter()));
        let measure = {
            let make = make.clone();
            // A panic in here occurs again when the pass starts, and is reported then.
            move || Chance::new(None, 0).of_batch(Position::default(), None, || make(0).map_or(Length::Unknown, |iter| exact(&iter)))
        };
        let open = move |start: Position, draws: &Draws| {
            let iter = draws.of_batch(BEFORE_THE_FIRST, || make(start.epoch))?;
            skip(Box::new(iter.map(|item| item.map_err(Into::into))), start.batch, draws)
        };
        Self::new(open, measure)
    }

    pub(crate) fn batches(batches: Vec<B>) -> Self
    where
        B: Clone,
    {
        let len = batches.len();
        // A lock instead of the bound `B: Sync`, which some batch types do not satisfy.
        let batches = Arc::new(Mutex::new(batches));
        let open = move |start: Position, _: &Draws| {
            let batches = batches.clone();
            let get = move |i: usize| batches.lock().unwrap_or_else(PoisonError::into_inner)[i].clone();
            let iter: BoxIter<B> = Box::new((start.batch..len).map(move |i| Ok(get(i))));
            Ok(iter)
        };
        Self { is_list: true, ..Self::new(open, move || Length::Batches(len)) }
    }
}

fn exact(iter: &impl Iterator) -> Length {
    match iter.size_hint() {
        (least, Some(most)) if least == most => Length::Batches(least),
        _ => Length::Unknown,
    }
}

fn skip<B>(mut iter: BoxIter<B>, batches: usize, draws: &Draws) -> Result<BoxIter<B>> {
    for batch in 0..batches {
        match draws.of_batch(batch, || guarded("iterator", batch, || iter.next()))? {
            Some(Ok(_)) => {}
            Some(Err(cause)) => return Err(Error::Source { batch, cause }),
            None => return Err(Error::SeekPastEnd { batch: batches, length: batch }),
        }
    }
    Ok(iter)
}

impl<B: Send + 'static> Source<B> for IterSource<B> {
    fn facts(&self) -> Facts {
        Facts { is_single_pass: self.is_single_pass, is_divisible: self.is_list, ..Facts::new("an iterator") }
    }

    fn check(&self) -> Result<()> {
        match self.items_per_batch {
            Some(0) => Err(Error::InvalidOption { option: "items_per_batch", value: 0 }),
            _ => Ok(()),
        }
    }

    fn open(&self, start: Position, device: &Device) -> Result<Box<dyn Feed<B>>> {
        let draws = Draws { chance: self.chance, device: device.clone(), epoch: start.epoch };
        let iter = (self.open)(start, &draws)?;
        Ok(Box::new(IterFeed { iter, batch: start.batch, items: self.items_per_batch, draws }))
    }

    fn size(&self) -> Size {
        Size { length: *self.length.get_or_init(|| (self.measure)()), items: None }
    }

    fn order(&self) -> String {
        String::new()
    }

    fn set(&self, setting: Setting) -> Option<Arc<dyn Source<B>>> {
        let (open, measure, length) = (self.open.clone(), self.measure.clone(), self.length.clone());
        let mut new = Self { open, measure, length, ..*self };
        match setting {
            Setting::ItemsPerBatch(n) => new.items_per_batch = Some(n),
            Setting::RunSeed(seed) => new.chance = Chance::new(Some(seed), 0),
            _ => return None,
        }
        Some(Arc::new(new))
    }
}

struct IterFeed<B> {
    iter: BoxIter<B>,
    batch: usize,
    items: Option<usize>,
    draws: Draws,
}

impl<B> Feed<B> for IterFeed<B> {
    fn next(&mut self) -> Option<Result<Batch<B>>> {
        let batch = self.batch;
        self.batch += 1;
        // A batch can be large to move, and would be moved by each return.
        let mut item = None;
        if let Err(panic) = self.draws.of_batch(batch, || guarded("iterator", batch, || item = self.iter.next())) {
            return Some(Err(panic));
        }
        match item {
            Some(Ok(value)) => Some(Ok(Batch { value, items: self.items })),
            Some(Err(cause)) => Some(Err(Error::Source { batch, cause })),
            None => None,
        }
    }

    fn more(&mut self) -> Option<bool> {
        match self.iter.size_hint() {
            (_, Some(0)) => Some(false),
            (1.., _) => Some(true),
            _ => None,
        }
    }
}
