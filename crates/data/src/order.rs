//! Which items of a dataset are in which batch.

use std::ops::Range;

use crate::{
    Error, Result,
    samplers::AnySampler,
    shuffle::permutation,
    source::{Setting, guarded},
};

/// The options that decide it, with the seed and the epoch.
#[derive(Clone, Default)]
pub(crate) struct Order {
    batch_size: Option<usize>,
    shuffle: bool,
    seed: Option<u64>,
    drop_last: bool,
    sampler: Option<AnySampler>,
    /// Every epoch has the order of the first.
    is_fixed: bool,
}

impl Order {
    pub(crate) fn seed(&self) -> u64 {
        self.seed.unwrap_or(0)
    }

    pub(crate) fn is_shuffled(&self) -> bool {
        self.shuffle || (self.sampler.is_some() && !self.is_fixed)
    }

    /// Returns whether the setting is one of the order.
    pub(crate) fn set(&mut self, setting: Setting) -> bool {
        match setting {
            Setting::BatchSize(n) => self.batch_size = Some(n),
            Setting::Shuffle(on) => self.shuffle = on,
            Setting::NoShuffle => (self.shuffle, self.is_fixed) = (false, true),
            Setting::Seed(seed) => self.seed = Some(seed),
            Setting::DefaultSeed(seed) => self.seed = self.seed.or(Some(seed)),
            Setting::DropLast(on) => self.drop_last = on,
            Setting::Sampler(sampler) => self.sampler = Some(sampler),
            _ => return false,
        }
        true
    }

    pub(crate) fn check(&self, items: impl FnOnce() -> Result<usize>) -> Result<()> {
        if self.batch_size == Some(0) {
            return Err(Error::InvalidOption { option: "batch_size", value: 0 });
        }
        let Some(sampler) = &self.sampler else { return Ok(()) };
        let is_of_batches = matches!(sampler, AnySampler::Batches(_));
        let conflicts = [
            ("shuffle", self.shuffle),
            ("batch_size", is_of_batches && self.batch_size.is_some()),
            ("drop_last", is_of_batches && self.drop_last),
        ];
        if let Some((option, _)) = conflicts.into_iter().find(|(_, is_set)| *is_set) {
            return Err(Error::Conflict { option, with: sampler.name() });
        }
        let items = items()?;
        guarded("sampler", 0, || sampler.check(items))??;
        let is_empty = matches!(sampler, AnySampler::Items(sampler) if sampler.items() == 0);
        if is_empty && items > 0 { Err(Error::sampler("an epoch has no items")) } else { Ok(()) }
    }

    /// The number of batches of an epoch. `batch_size` may be the invalid 0 here, because the length is requested
    /// before the options are checked.
    pub(crate) fn batches(&self, items: usize) -> usize {
        let of = |items: usize| {
            let batch_size = self.batch_size.unwrap_or(1).max(1);
            if self.drop_last { items / batch_size } else { items.div_ceil(batch_size) }
        };
        match &self.sampler {
            None => of(items),
            Some(AnySampler::Items(sampler)) => of(sampler.items()),
            Some(AnySampler::Batches(sampler)) => sampler.batches(),
        }
    }

    /// The batches of an epoch of a dataset with `items` items.
    pub(crate) fn plan(&self, items: usize, epoch: usize) -> Result<Plan> {
        let epoch = if self.is_fixed { 0 } else { epoch };
        let (seed, batch_size, batches) = (self.seed(), self.batch_size.unwrap_or(1), self.batches(items));
        let indices = match &self.sampler {
            None if self.shuffle => Indices::Listed { order: permutation(items, seed, epoch), batch_size },
            None => Indices::Ascending { items, batch_size },
            Some(AnySampler::Items(sampler)) => {
                let order = guarded("sampler", 0, || sampler.order(seed, epoch))?;
                same_number("items", sampler.items(), order.len())?;
                within(&order, items)?;
                Indices::Listed { order, batch_size }
            }
            Some(AnySampler::Batches(sampler)) => {
                let order = guarded("sampler", 0, || sampler.order(seed, epoch))?;
                same_number("batches", batches, order.len())?;
                order.iter().try_for_each(|batch| within(batch, items))?;
                if let Some(batch) = order.iter().position(Vec::is_empty) {
                    return Err(Error::sampler(format!("batch {batch} has no items")));
                }
                Indices::Batches(order)
            }
        };
        Ok(Plan { indices, batches })
    }

    /// As a string, for a comparison.
    pub(crate) fn describe(&self) -> String {
        let Self { batch_size, shuffle, seed, drop_last, sampler, .. } = self;
        let seed = seed.filter(|_| *shuffle || sampler.is_some()).map_or_else(|| "none".to_owned(), |seed| seed.to_string());
        let order = format!("batch_size {}, shuffle {shuffle}, seed {seed}, drop_last {drop_last}", batch_size.unwrap_or(1));
        let first: Vec<usize> = match sampler {
            None => return order,
            Some(AnySampler::Items(sampler)) => guarded("sampler", 0, || sampler.order(self.seed(), 0)).unwrap_or_default(),
            Some(AnySampler::Batches(sampler)) => {
                let batches = guarded("sampler", 0, || sampler.order(self.seed(), 0)).unwrap_or_default();
                batches.into_iter().flat_map(|batch| [vec![batch.len()], batch].concat()).collect()
            }
        };
        // FNV-1a: the weights or labels of a sampler are not shown, but two ranks that differ are noticed.
        let hash = first.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &item| (hash ^ item as u64).wrapping_mul(0x0100_0000_01b3));
        format!("{order}, sampler {hash:016x}")
    }
}

fn same_number(of: &str, promised: usize, got: usize) -> Result<()> {
    if promised == got {
        return Ok(());
    }
    Err(Error::sampler(format!("it promised {promised} {of} in every epoch, but this epoch has {got}")))
}

fn within(order: &[usize], items: usize) -> Result<()> {
    match order.iter().find(|&&index| index >= items) {
        Some(index) => Err(Error::sampler(format!("it returned index {index}, but the dataset has {items} items"))),
        None => Ok(()),
    }
}

/// The batches of one epoch.
pub(crate) struct Plan {
    indices: Indices,
    batches: usize,
}

enum Indices {
    Ascending { items: usize, batch_size: usize },
    Listed { order: Vec<usize>, batch_size: usize },
    Batches(Vec<Vec<usize>>),
}

impl Plan {
    pub(crate) fn batches(&self) -> usize {
        self.batches
    }

    /// The indices of the items of a batch.
    pub(crate) fn of(&self, batch: usize) -> Vec<usize> {
        match &self.indices {
            Indices::Ascending { items, batch_size } => range(batch, *batch_size, *items).collect(),
            Indices::Listed { order, batch_size } => order[range(batch, *batch_size, order.len())].to_vec(),
            Indices::Batches(batches) => batches.get(batch).cloned().unwrap_or_default(),
        }
    }
}

fn range(batch: usize, batch_size: usize, items: usize) -> Range<usize> {
    let first = batch.saturating_mul(batch_size).min(items);
    first..first.saturating_add(batch_size).min(items)
}
