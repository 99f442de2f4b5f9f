use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use burn::{
    data::dataset::{Dataset, InMemDataset},
    tensor::{Device, Tensor},
};

use super::{Numbers, assert_resumes, last_flags, must_return, numbers, pass, values};
use crate::{Length, Loader, Position, for_trainer::DriveLoader as _};

const WORKERS: [usize; 5] = [0, 1, 2, 3, 9];

#[test]
fn order_does_not_depend_on_workers() {
    for workers in WORKERS {
        let loader = numbers(10).batch_size(3).workers(workers);
        assert_eq!(values(&loader), [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7, 8], vec![9]], "{workers} workers");
        let shuffled = numbers(50).batch_size(4).shuffle(true).seed(7).workers(workers);
        let reference = numbers(50).batch_size(4).shuffle(true).seed(7);
        for epoch in 0..3 {
            assert_eq!(pass(&shuffled, epoch, 0).unwrap(), pass(&reference, epoch, 0).unwrap(), "{workers} workers");
        }
    }
}

#[test]
fn shuffle_depends_on_seed_and_epoch_alone() {
    let order = |seed: u64, epoch| pass(&numbers(40).batch_size(40).shuffle(true).seed(seed), epoch, 0).unwrap().concat();
    let first = order(1, 0);
    Device::flex().seed(99);
    assert_eq!(first, order(1, 0));
    assert_ne!(first, order(1, 1));
    assert_ne!(first, order(2, 0));
    assert_ne!(first, (0..40).collect::<Vec<_>>());
    assert_eq!(HashSet::<usize>::from_iter(first).len(), 40);
}

#[test]
fn default_seed_yields_to_the_users() {
    let order = |loader: &Loader<Vec<usize>>| values(loader).concat();
    let unset = numbers(40).shuffle(true);
    assert_eq!(order(&unset), order(&numbers(40).shuffle(true).seed(0)));
    assert_eq!(order(&unset.with_default_seed(5)), order(&numbers(40).shuffle(true).seed(5)));
    assert_eq!(order(&unset.clone().seed(3).with_default_seed(5)), order(&unset.seed(3)));
}

#[test]
fn without_shuffle_is_a_copy() {
    let loader = numbers(6).shuffle(true).batch_size(6);
    assert!(loader.is_shuffled());
    let fixed = loader.without_shuffle();
    assert!(!fixed.is_shuffled() && loader.is_shuffled());
    assert_eq!(values(&fixed), [vec![0, 1, 2, 3, 4, 5]]);
}

#[test]
fn every_tail_equals_the_uninterrupted_pass() {
    for workers in WORKERS {
        assert_resumes(&numbers(23).batch_size(4).shuffle(true).workers(workers));
        assert_resumes(&numbers(23).batch_size(4).drop_last(true).workers(workers));
    }
}

#[test]
fn skipped_batches_are_not_loaded() {
    for workers in [0, 2] {
        let dataset = Numbers::new(20);
        let calls = dataset.calls.clone();
        let loader = Loader::collate(dataset, |items, _| items).batch_size(4).workers(workers);
        assert_eq!(pass(&loader, 0, 3).unwrap().len(), 2);
        assert_eq!(calls.load(Ordering::Relaxed), 8);
    }
}

#[test]
fn position_counts_what_was_received() {
    let loader = numbers(8).batch_size(2).workers(2);
    let mut batches = loader.batches(Position::new(3, 1), &Device::flex()).unwrap();
    assert_eq!(batches.position(), Position::new(3, 1));
    assert_eq!(batches.next().unwrap().unwrap().value, [2, 3]);
    // The workers have certainly made more batches in the meantime.
    thread::sleep(Duration::from_millis(20));
    assert_eq!(batches.position(), Position::new(3, 2));
    let saved = serde_json::to_string(&batches.position()).unwrap();
    assert_eq!(saved, r#"{"epoch":3,"batch":2}"#);
    let rest = loader.batches(serde_json::from_str(&saved).unwrap(), &Device::flex()).unwrap();
    assert_eq!(rest.map(|item| item.unwrap().value).collect::<Vec<_>>(), [[4, 5], [6, 7]]);
    assert_eq!(batches.by_ref().count(), 2);
    assert_eq!(batches.position(), Position::new(3, 4));
    assert!(batches.next().is_none());
}

#[test]
fn the_last_batch_is_known() {
    for workers in [0, 2] {
        assert_eq!(last_flags(&numbers(5).batch_size(2).workers(workers)), [false, false, true]);
        assert_eq!(last_flags(&numbers(5).batch_size(2).drop_last(true).workers(workers)), [false, true]);
    }
    let mut tail = numbers(3).batches(Position::new(0, 2), &Device::flex()).unwrap();
    assert!(tail.next().is_some() && tail.is_last());
}

#[test]
fn lengths_and_items() {
    // (items, batch size, drop last) -> items of each batch
    let table: [(usize, usize, bool, &[usize]); 7] = [
        (10, 4, false, &[4, 4, 2]),
        (10, 4, true, &[4, 4]),
        (8, 4, true, &[4, 4]),
        (3, 4, false, &[3]),
        (3, 4, true, &[]),
        (0, 4, false, &[]),
        (2, 1, false, &[1, 1]),
    ];
    for (items, size, drop_last, expected) in table {
        let loader = numbers(items).batch_size(size).drop_last(drop_last).workers(2);
        assert_eq!(loader.len(), Length::Batches(expected.len()));
        assert_eq!(loader.dataset_len(), Some(items));
        let batches = loader.batches(Position::default(), &Device::flex()).unwrap();
        let counts: Vec<_> = batches.map(|item| item.unwrap().items.unwrap()).collect();
        assert_eq!(counts, expected);
        assert_eq!(loader.check().is_ok(), !expected.is_empty());
    }
    assert_eq!(numbers(7).len(), Length::Batches(7), "the default batch size is 1");
}

#[test]
fn the_device_reaches_the_batcher_in_workers() {
    let device = Device::flex();
    for workers in [0, 2] {
        let collate = |items: Vec<usize>, device: &Device| Tensor::<1>::from_floats([items.len() as f32, 1.0], device);
        let loader = Loader::collate(Numbers::new(5), collate).batch_size(2).workers(workers);
        let sums: Vec<f32> = values(&loader).into_iter().map(|batch| batch.sum().into_scalar::<f32>()).collect();
        assert_eq!(sums, [3.0, 3.0, 2.0]);
        let shared: Arc<dyn Dataset<usize>> = Arc::new(Numbers::new(2));
        let loader = Loader::collate(shared, collate).workers(workers);
        assert_eq!(loader.batches(Position::default(), &device).unwrap().count(), 2);
    }
}

#[test]
fn prefetch_is_bounded() {
    let dataset = Numbers::new(60);
    let calls = dataset.calls.clone();
    let loader = Loader::collate(dataset, |items, _| items).workers(3).prefetch(2);
    let mut received = 0;
    for item in loader.batches(Position::default(), &Device::flex()).unwrap() {
        item.unwrap();
        received += 1;
        thread::sleep(Duration::from_millis(if received < 5 { 30 } else { 0 }));
        assert!(calls.load(Ordering::Relaxed) <= received + 3 * (2 + 1), "after {received}");
    }
    assert_eq!(received, 60);
}

#[test]
fn threads_are_kept_between_epochs() {
    let loader = Loader::collate(Numbers::new(12), |_, _| thread::current().id()).workers(3);
    let mut threads = HashSet::new();
    for epoch in 0..4 {
        threads.extend(pass(&loader.clone(), epoch, 0).unwrap());
    }
    assert_eq!(threads.len(), 3);
    assert!(!threads.contains(&thread::current().id()));
}

#[test]
fn passes_at_the_same_time_do_not_wait_for_each_other() {
    must_return(|| {
        let loader = numbers(40).workers(2).prefetch(1);
        let device = Device::flex();
        let mut outer = loader.batches(Position::default(), &device).unwrap();
        for expected in 0..5 {
            assert_eq!(outer.next().unwrap().unwrap().value, [expected]);
            assert_eq!(values(&loader).len(), 40);
        }
        assert_eq!(outer.count(), 35);
    });
}

#[test]
fn dropping_a_pass_early_stops_its_workers() {
    for received in [0, 1, 5] {
        let dataset: Arc<Numbers> = Arc::new(Numbers::new(10_000));
        let (held, calls) = (dataset.clone(), dataset.calls.clone());
        must_return(move || {
            let loader = Loader::collate(held, |items, _| items).workers(3).batch_size(2);
            let mut batches = loader.batches(Position::default(), &Device::flex()).unwrap();
            assert_eq!(batches.by_ref().take(received).count(), received);
            // Wait until each worker waits for room: two batches are ready and one is finished.
            while calls.load(Ordering::Relaxed) < 2 * (received + 3 * 3) {
                thread::yield_now();
            }
            drop(batches);
        });
        // Workers that still run would hold it.
        assert_eq!(Arc::strong_count(&dataset), 1);
        assert!(dataset.calls.load(Ordering::Relaxed) < 200);
    }
}

#[test]
fn dropping_a_pass_waits_for_the_batch_in_the_making() {
    let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (begun.clone(), ended.clone());
    let loader = Loader::collate(Numbers::new(100), move |items, _: &Device| {
        counts.0.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(20));
        counts.1.fetch_add(1, Ordering::SeqCst);
        items
    });
    // Keep the loader alive, because dropping it would join its threads anyway.
    let loader = loader.workers(2);
    let batches = loader.batches(Position::default(), &Device::flex()).unwrap();
    while begun.load(Ordering::SeqCst) == 0 {
        thread::yield_now();
    }
    drop(batches);
    assert_eq!(begun.load(Ordering::SeqCst), ended.load(Ordering::SeqCst));
}

#[test]
fn a_pass_outlives_its_loader() {
    let batches = numbers(9).workers(2).batches(Position::default(), &Device::flex()).unwrap();
    assert_eq!(batches.map(|item| item.unwrap().value[0]).collect::<Vec<_>>(), (0..9).collect::<Vec<_>>());
}

#[test]
fn a_pass_knows_the_indices_of_its_items() {
    for (workers, shuffle, world) in [(0, false, 1), (2, true, 1), (0, true, 3), (2, false, 2)] {
        for rank in 0..world {
            let loader = Loader::collate(InMemDataset::new((0..23_usize).collect()), |items: Vec<usize>, _: &Device| items);
            let loader = loader.batch_size(4).shuffle(shuffle).seed(7).workers(workers).map(|items| items);
            let mut batches = loader.for_rank(rank, world).unwrap().batches(Position::new(1, 1), &Device::flex()).unwrap();
            assert_eq!(batches.indices(), None);
            while let Some(batch) = batches.next() {
                assert_eq!(batches.indices().unwrap(), batch.unwrap().value, "rank {rank} of {world}");
            }
        }
    }
    let mut list = Loader::from_batches(vec![1, 2]).batches(Position::default(), &Device::flex()).unwrap();
    assert!(list.next().is_some() && list.indices().is_none());
}
