//! The data of a plan.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use burn::{data::dataset::InMemDataset, prelude::*, tensor::Distribution};
use stormfire::{
    data::{
        ClassBalancedSampler, CombinedLoader, LengthSampler, Position, Result as DataResult, Shards, StratifiedSampler, SubsetSampler,
        WeightedSampler, augment, random,
    },
    prelude::*,
};

use super::plan::{DataKind, DataPlan, Sampled};
use crate::support::Batch;

fn batch(points: &[f32], device: &Device) -> Batch {
    let x = Tensor::<1>::from_floats(points, device).unsqueeze_dim::<2>(1);
    (x.clone(), (x * 3.0).sin())
}

/// Adds noise and mixes items on the thread that creates the batch. Noise of burn is only repeatable on the thread that
/// iterates.
fn noisy((x, y): Batch, with_burns: bool) -> Batch {
    let mut random = random();
    let x = augment::gaussian_noise(x, 0.01, &mut random);
    let (x, y) = if random.chance(0.5) { augment::mixup(x, y, 0.4, &mut random).unwrap() } else { (x, y) };
    if with_burns { (x.clone() + x.random_like(Distribution::Normal(0.0, 0.01)), y) } else { (x, y) }
}

fn dataset(items: usize, from: f32, plan: &DataPlan, is_iterated_in_a_fit: bool) -> Loader<Batch> {
    unbatched(items, from, plan, is_iterated_in_a_fit).batch_size(plan.batch_size)
}

fn unbatched(items: usize, from: f32, plan: &DataPlan, is_iterated_in_a_fit: bool) -> Loader<Batch> {
    let points: Vec<f32> = (0..items).map(|i| from + i as f32 / 10.0).collect();
    let (draws, with_burns) = (plan.draws, plan.workers == 0 && is_iterated_in_a_fit);
    let collate = move |points: Vec<f32>, device: &Device| {
        let made = batch(&points, device);
        if draws { noisy(made, with_burns) } else { made }
    };
    Loader::collate(InMemDataset::new(points), collate).workers(plan.workers)
}

fn joined(batches: Vec<Batch>) -> Batch {
    let (x, y) = batches.into_iter().unzip();
    (Tensor::cat(x, 0), Tensor::cat(y, 0))
}

/// The same iterator, without a length.
fn unsized_iter<T>(mut iter: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
    std::iter::from_fn(move || iter.next())
}

impl DataPlan {
    /// Three files with all points, the second one without any. The plan has the same files in each fit. An odd number
    /// of points is in CSV files, an even one in JSON lines.
    fn shards(&self) -> Shards<f32> {
        let (is_table, ending, header) = if self.items % 2 == 1 { (true, "csv", "point\n") } else { (false, "jsonl", "") };
        let folder = crate::child::folder().unwrap();
        let parts = [0..self.items / 3, 0..0, self.items / 3..self.items];
        let mut parts = parts.into_iter().enumerate();
        let paths: [PathBuf; 3] = std::array::from_fn(|_| {
            let (number, part) = parts.next().unwrap();
            let path = folder.join(format!("{}-{number}.{ending}", self.items));
            if !path.exists() {
                let points: Vec<String> = part.map(|i| (i as f32 / 10.0 - 1.0).to_string()).collect();
                std::fs::write(&path, format!("{header}{}", points.join("\n"))).unwrap();
            }
            path
        });
        if is_table { Shards::csv(paths) } else { Shards::json_lines(paths) }
    }

    /// Endless batches, different in each epoch.
    fn stream(size: usize, epoch: usize) -> impl Iterator<Item = Batch> + Send + 'static {
        (0..).map(move |index| {
            let points: Vec<f32> = (0..size).map(|i| ((97 * epoch + 31 * (index * size + i)) % 40) as f32 / 20.0 - 1.0).collect();
            batch(&points, &Device::flex())
        })
    }

    fn sampled(&self, by: Sampled) -> Loader<Batch> {
        let (items, labels) = (self.items, (0..self.items).map(|item| item % 3));
        let loader = dataset(items, -1.0, self, true);
        match by {
            Sampled::Weighted => loader.sampler(WeightedSampler::new((0..items).map(|item| item as f64)).samples(items + 1)),
            Sampled::WithoutReplacement => {
                let weights = (1..=items).map(|item| item as f64);
                loader.sampler(WeightedSampler::new(weights).samples(items / 2 + 1).replacement(false))
            }
            Sampled::Balanced => loader.sampler(ClassBalancedSampler::new(labels)),
            Sampled::Stratified => loader.sampler(StratifiedSampler::new(labels)),
            Sampled::Subset => loader.sampler(SubsetSampler::new(1..items)),
            Sampled::ByLength => {
                let lengths = LengthSampler::new((0..items).map(|item| 1 + item % 5)).max_tokens(5 * self.batch_size);
                unbatched(items, -1.0, self, true).batch_sampler(lengths.multiple_of(1))
            }
        }
    }

    pub(crate) fn train(&self) -> Loader<Batch> {
        let made = self.made();
        if self.draws { made.map(|batch| noisy(batch, true)).map(|batch| noisy(batch, true)) } else { made }
    }

    fn made(&self) -> Loader<Batch> {
        let whole = || dataset(self.items, -1.0, self, true).shuffle(self.shuffle);
        let half = || dataset(self.items.div_ceil(2), 1.0, self, true).shuffle(self.shuffle);
        match self.kind {
            DataKind::Dataset => whole(),
            DataKind::Batches => {
                let points: Vec<f32> = (0..self.items).map(|i| i as f32 / 10.0).collect();
                Loader::from_batches(points.chunks(self.batch_size).map(|points| batch(points, &Device::flex())).collect())
            }
            DataKind::MinSize => CombinedLoader::min_size([whole(), half()]).map(joined),
            DataKind::MaxSizeCycle => CombinedLoader::max_size_cycle([whole(), half()]).map(joined),
            DataKind::Sequential => CombinedLoader::sequential([half(), whole()]),
            DataKind::Stream => {
                let (size, batches) = (self.batch_size, self.items.div_ceil(self.batch_size));
                Loader::from_fn(move |epoch| unsized_iter(Self::stream(size, epoch).take(batches)))
            }
            DataKind::EndlessStream => {
                let size = self.batch_size;
                Loader::from_fn(move |epoch| Self::stream(size, epoch))
            }
            DataKind::Shards { counted } => {
                let shards = self.shards().shuffle_buffer(5);
                let shards = if counted { shards.counted().unwrap() } else { shards };
                let (draws, with_burns) = (self.draws, self.workers == 0);
                let loader = Loader::stream(shards, move |points: Vec<f32>, device| {
                    let made = batch(&points, device);
                    if draws { noisy(made, with_burns) } else { made }
                });
                loader.batch_size(self.batch_size).workers(self.workers).shuffle(self.shuffle)
            }
            DataKind::Sampled(by) => self.sampled(by),
            DataKind::OnePass => Loader::from_iter(Self::stream(self.batch_size, 0)),
        }
    }

    pub(crate) fn val(&self) -> Loaders<Batch> {
        let val = |index: usize| dataset(7 - 2 * index, 2.0 + index as f32, self, !self.val_is_unsized);
        let unsized_val = |index: usize| {
            let batches = val(index).batches(Position::default(), &Device::flex());
            let batches: Vec<Batch> = batches.unwrap().map(|batch| batch.unwrap().value).collect();
            Loader::from_fn(move |_epoch| unsized_iter(batches.clone().into_iter()))
        };
        (0..self.val_loaders).map(|index| if self.val_is_unsized { unsized_val(index) } else { val(index) }).collect()
    }
}

/// The data of a plan, and the number of batches that the fit has received.
pub(crate) struct Data<'a> {
    pub(crate) plan: &'a DataPlan,
    pub(crate) given: Arc<AtomicU64>,
}

impl DataModule for Data<'_> {
    type Batch = Batch;

    fn train_dataloader(&mut self) -> DataResult<Loader<Batch>> {
        Ok(self.plan.train())
    }

    fn val_dataloader(&mut self) -> DataResult<Loaders<Batch>> {
        Ok(self.plan.val())
    }

    fn state(&self) -> DataResult<Saved> {
        Ok(Value::from(self.given.load(Ordering::Relaxed)).into())
    }

    fn load_state(&mut self, state: Saved) -> DataResult<()> {
        self.given.store(state.json().as_u64().unwrap(), Ordering::Relaxed);
        Ok(())
    }
}
