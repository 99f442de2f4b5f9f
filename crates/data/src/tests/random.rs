use burn::{
    data::{
        dataloader::{DataLoaderBuilder, batcher::Batcher},
        dataset::{
            Dataset, DatasetError, InMemDataset,
            transform::{Mapper, MapperDataset},
        },
    },
    tensor::{Device, Distribution, Tensor},
};
use rand_core::Rng;

use super::{assert_resumes, pass, values};
use crate::{CombinedLoader, Loader, Random, Result, for_trainer::DriveLoader as _, random};

type Drawn = (Vec<usize>, u64);

fn drawing(len: usize) -> Loader<Drawn> {
    Loader::collate(super::Numbers::new(len), |items: Vec<usize>, _| (items, random().next_u64()))
}

/// Numbers in order. Each item draws when it is loaded.
struct Noisy;

impl Dataset<u64> for Noisy {
    fn get(&self, _index: usize) -> Result<u64, DatasetError> {
        Ok(random().next_u64())
    }

    fn len(&self) -> usize {
        11
    }
}

struct Shift;

impl Mapper<u64, u64> for Shift {
    fn map(&self, item: &u64) -> u64 {
        item ^ random().next_u64()
    }
}

/// Every kind of loader that can draw, with this number of workers.
fn every_kind(workers: usize) -> Vec<Loader<Vec<u64>>> {
    let drawing = |len: usize| drawing(len).batch_size(3).shuffle(true).workers(workers).map(|(_, drawn)| vec![drawn]);
    let joined = |rows: Vec<Vec<u64>>| rows.concat();
    vec![
        drawing(10),
        drawing(10).map(|batch| vec![batch[0], random().next_u64()]).map(|mut batch| {
            batch.push(random().next_u64());
            batch
        }),
        Loader::collate(MapperDataset::new(Noisy, Shift), |items, _| items).batch_size(2).workers(workers),
        CombinedLoader::min_size([drawing(10), drawing(5)]).map(joined),
        CombinedLoader::max_size_cycle([drawing(10), drawing(5)]).map(joined),
        CombinedLoader::sequential([drawing(4), drawing(5)]),
        drawing(10).zip_cycle(drawing(4)).map(|(a, b)| [a, b].concat()),
        Loader::from_fn(|epoch| {
            let first = random().next_u64();
            (0..5).map(move |i| vec![first, i + epoch as u64, random().next_u64()])
        }),
        Loader::from_fn(|_| (0..9_u64).filter(|i| i % 2 == 0).map(|_| vec![random().next_u64()])),
    ]
}

#[test]
fn numbers_follow_from_seed_epoch_and_batch_alone() {
    let reference: Vec<_> = every_kind(0).into_iter().map(|loader| loader.with_run_seed(7)).collect();
    for workers in 0..=3 {
        for (kind, (loader, reference)) in every_kind(workers).into_iter().zip(&reference).enumerate() {
            let loader = loader.with_run_seed(7);
            for epoch in 0..2 {
                assert_eq!(pass(&loader, epoch, 0).unwrap(), pass(reference, epoch, 0).unwrap(), "kind {kind}, {workers} workers");
            }
            assert_resumes(&loader);
            assert_ne!(pass(&loader, 0, 0).unwrap(), pass(&loader, 1, 0).unwrap(), "kind {kind}");
            assert_ne!(values(&loader), values(&loader.with_run_seed(8)), "kind {kind}");
        }
    }
}

#[test]
fn no_two_places_draw_the_same() {
    for (kind, loader) in every_kind(1).into_iter().enumerate() {
        let mut all: Vec<u64> = values(&loader.with_run_seed(7)).concat();
        all.retain(|&drawn| drawn > u64::from(u32::MAX));
        // A number that an iterator draws once per epoch is in each of its batches.
        let repeated = if kind == 7 { 4 } else { 0 };
        let drawn = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len() + repeated, drawn, "kind {kind}");
    }
}

#[test]
fn without_a_run_they_follow_from_the_loaders_seed() {
    let own = |seed: u64| values(&drawing(10).seed(seed).workers(2));
    assert_eq!(own(3), own(3));
    assert_ne!(own(3), own(4));
}

struct DrawingBatcher;

impl Batcher<usize, u64> for DrawingBatcher {
    fn batch(&self, _items: Vec<usize>, _device: &Device) -> u64 {
        random().next_u64()
    }
}

#[test]
fn a_loader_of_burn_without_workers_draws_by_its_batches() {
    let loader = || {
        let loader = DataLoaderBuilder::new(DrawingBatcher).batch_size(3).build(InMemDataset::new((0..10).collect::<Vec<usize>>()));
        Loader::from_burn(loader).with_run_seed(7)
    };
    let first = pass(&loader(), 0, 0).unwrap();
    assert_eq!(first, pass(&loader(), 0, 0).unwrap());
    assert_eq!(first[2..], pass(&loader(), 0, 2).unwrap());
    assert_ne!(first, pass(&loader(), 1, 0).unwrap());
}

#[test]
fn a_generator_is_what_it_says() {
    let mut random = Random::new(1);
    assert_eq!(random.fork().next_u64(), Random::new(1).fork().next_u64());
    assert!((0..100).all(|_| random.chance(1.0) && !random.chance(0.0) && random.below(3) < 3));
    assert_eq!(random.below(0), 0);
    let mean = (0..10_000).map(|_| random.unit()).sum::<f64>() / 10_000.0;
    assert!((mean - 0.5).abs() < 0.02, "{mean}");
    let mut items: Vec<usize> = (0..50).collect();
    random.shuffle(&mut items);
    assert_ne!(items, (0..50).collect::<Vec<_>>());
    items.sort_unstable();
    assert_eq!(items, (0..50).collect::<Vec<_>>());
    let (mut bytes, mut again) = ([0; 13], [0; 13]);
    Random::new(5).fill_bytes(&mut bytes);
    Random::new(5).fill_bytes(&mut again);
    assert!(bytes == again && bytes[8..] != [0; 5]);
    let noise: Tensor<2> = random.tensor([100, 100], Distribution::Normal(2.0, 0.5), &Device::flex());
    let mean: f32 = noise.mean().into_scalar();
    assert!((mean - 2.0).abs() < 0.05, "{mean}");
}
