//! Loaders of one of several ranks.

use std::sync::Arc;

use burn::tensor::Device;

use crate::{
    Batch, Batches, Error, Loader, Position, Result,
    loader::DriveLoader as _,
    share::Share,
    source::{Facts, Feed, Setting, Size, Source},
};

impl<B: Send + 'static> Loader<B> {
    /// Returns this loader for one of `world` ranks: it yields every `world`-th batch after the start of a pass, from
    /// the `rank`-th on. Each batch is on exactly one rank, and is the one that a single rank would get. The length and
    /// [`Position`]s are still those of all ranks together.
    ///
    /// # Errors
    ///
    /// [`Error::NotDivisible`] for a loader whose batches may differ from rank to rank (an iterator, burn's own
    /// loader).
    pub fn for_rank(&self, rank: usize, world: usize) -> Result<Self> {
        if world <= 1 {
            return Ok(self.clone());
        }
        let facts = self.facts();
        if !facts.is_divisible {
            return Err(Error::NotDivisible { kind: facts.kind });
        }
        let share = Share { rank, world };
        let mut shared = self.try_set(Setting::Share(share)).unwrap_or_else(|| Self::from_source(Shared { inner: self.clone(), share }));
        shared.stage = self.stage;
        Ok(shared)
    }
}

/// The share of a loader that cannot make single batches: the other ones are made, too, and dropped.
struct Shared<B> {
    inner: Loader<B>,
    share: Share,
}

impl<B: Send + 'static> Source<B> for Shared<B> {
    fn facts(&self) -> Facts {
        Facts { share: self.share, ..self.inner.facts() }
    }

    fn check(&self) -> Result<()> {
        self.inner.check_options()
    }

    fn open(&self, start: Position, device: &Device) -> Result<Box<dyn Feed<B>>> {
        Ok(Box::new(SharedFeed { inner: self.inner.batches(start, device)?, skip: self.share.rank, world: self.share.world }))
    }

    fn size(&self) -> Size {
        self.inner.size()
    }

    fn order(&self) -> String {
        self.inner.order()
    }

    fn set(&self, setting: Setting) -> Option<Arc<dyn Source<B>>> {
        if let Setting::Share(share) = setting {
            return Some(Arc::new(Self { inner: self.inner.clone(), share }));
        }
        Some(Arc::new(Self { inner: self.inner.try_set(setting)?, share: self.share }))
    }
}

struct SharedFeed<B> {
    inner: Batches<B>,
    /// The number of batches of other ranks before the next one.
    skip: usize,
    world: usize,
}

impl<B: Send + 'static> SharedFeed<B> {
    fn skip(&mut self) -> Option<Result<()>> {
        while self.skip > 0 {
            if let Err(error) = self.inner.next()? {
                return Some(Err(error));
            }
            self.skip -= 1;
        }
        Some(Ok(()))
    }
}

impl<B: Send + 'static> Feed<B> for SharedFeed<B> {
    fn next(&mut self) -> Option<Result<Batch<B>>> {
        match self.skip()? {
            Ok(()) => {
                self.skip = self.world - 1;
                self.inner.next()
            }
            Err(error) => Some(Err(error)),
        }
    }

    fn more(&mut self) -> Option<bool> {
        // An error while skipping is the next item.
        (self.skip == 0).then(|| !self.inner.at_end())
    }

    fn indices(&self, batch: usize) -> Option<Vec<usize>> {
        self.inner.indices_of(batch)
    }
}
