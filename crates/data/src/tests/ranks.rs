//! Ranks that share the batches of a loader.

use burn::{data::dataset::InMemDataset, tensor::Device};

use crate::{CombinedLoader, Error, Loader, Position, for_trainer::DriveLoader as _, random};

/// Batches with the random number of each, which must be that of a single rank.
fn of_dataset(items: u32, workers: usize) -> Loader<(Vec<u32>, u64)> {
    let collate = |items: Vec<u32>, _: &Device| (items, (random().unit() * 1e15) as u64);
    Loader::collate(InMemDataset::new((0..items).collect()), collate).batch_size(3).shuffle(true).seed(7).workers(workers)
}

fn pass<B: Send + 'static>(loader: &Loader<B>, start: Position) -> Vec<(usize, B)> {
    let mut batches = loader.batches(start, &Device::flex()).unwrap();
    let mut all = Vec::new();
    loop {
        let at = batches.position().batch;
        let Some(batch) = batches.next() else { return all };
        all.push((at, batch.unwrap().value));
    }
}

fn check<B: Send + PartialEq + std::fmt::Debug + 'static>(what: &str, loader: &Loader<B>) {
    for world in 1..=4 {
        for start in [Position::new(0, 0), Position::new(1, 1), Position::new(1, 4)] {
            let whole = pass(loader, start);
            let mut shared: Vec<_> = (0..world).flat_map(|rank| pass(&loader.for_rank(rank, world).unwrap(), start)).collect();
            shared.sort_by_key(|(at, _)| *at);
            assert_eq!(shared, whole, "{what}: {world} ranks from {start:?}");
            for rank in 0..world {
                let own = loader.for_rank(rank, world).unwrap();
                assert_eq!(own.len(), loader.len(), "{what}");
                let at: Vec<usize> = pass(&own, start).into_iter().map(|(at, _)| at).collect();
                let expected: Vec<usize> = (start.batch + rank..loader.len().known().unwrap()).step_by(world).collect();
                assert_eq!(at, expected, "{what}: rank {rank} of {world} from {start:?}");
            }
        }
    }
}

#[test]
fn each_batch_is_on_one_rank() {
    for workers in 0..=3 {
        check("a dataset", &of_dataset(25, workers));
        check("a short dataset", &of_dataset(13, workers).drop_last(true));
        check("a map", &of_dataset(25, workers).map(|(items, draw)| (items, draw, (random().unit() * 1e15) as u64)));
        check("a pair", &of_dataset(25, workers).zip_cycle(of_dataset(16, 0)).map(|(a, b)| (a, b, (random().unit() * 1e15) as u64)));
        check("a sequence", &CombinedLoader::sequential([of_dataset(10, workers), of_dataset(16, 0)]).with_run_seed(3));
        check("a mapped pair", &of_dataset(25, workers).zip(of_dataset(40, 0).map(|(items, _)| items)).with_run_seed(3));
    }
    check("a list", &Loader::from_batches((0..9).collect()).map(|batch: i32| (batch, (random().unit() * 1e15) as u64)).with_run_seed(5));
}

#[test]
fn settings_apply_to_a_share() {
    let fixed = of_dataset(25, 0).zip(of_dataset(25, 0)).for_rank(1, 2).unwrap().without_shuffle();
    assert_eq!(pass(&fixed, Position::default())[0].1.0.0, [3, 4, 5]);
    assert!(!fixed.is_shuffled());
}

#[test]
fn loaders_that_may_differ_are_refused() {
    let counted = || Loader::from_fn(|_| 0..4);
    for loader in [counted(), Loader::from_iter(0..4), counted().map(|n| n + 1), CombinedLoader::sequential([counted()])] {
        assert!(matches!(loader.for_rank(0, 2), Err(Error::NotDivisible { .. })), "{loader:?}");
        assert!(loader.for_rank(0, 1).is_ok());
    }
}
