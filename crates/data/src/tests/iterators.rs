use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use burn::tensor::Device;

use super::{assert_resumes, last_flags, pass, values};
use crate::{Error, Length, Loader, Position};

#[test]
fn an_iterator_is_consumed_once() {
    let loader = Loader::from_iter(vec![1, 2, 3]);
    assert_eq!(loader.len(), Length::Batches(3));
    assert_eq!(loader.dataset_len(), None);
    assert_eq!(pass(&loader.clone(), 0, 1).unwrap(), [2, 3]);
    let error = pass(&loader, 1, 0).unwrap_err();
    assert_eq!(error.to_string(), "the iterator of this loader was already consumed, so there is nothing left for epoch 1");
    assert!(error.hint().unwrap().contains("`Loader::from_fn`"));
}

#[test]
fn a_function_makes_an_iterator_per_epoch() {
    let loader = Loader::from_fn(|epoch| (0..5).map(move |i| 10 * epoch + i));
    assert_eq!(loader.len(), Length::Batches(5));
    assert_eq!(pass(&loader, 2, 0).unwrap(), [20, 21, 22, 23, 24]);
    assert_resumes(&loader);
    assert_resumes(&Loader::from_fn(|epoch| (0..9).map(move |i| i + epoch).filter(|i| i % 2 == 0)));
    assert_resumes(&Loader::from_batches(vec![4, 3, 2]));
}

#[test]
fn length_is_known_only_if_it_is_exact() {
    assert_eq!(Loader::from_fn(|_| (0..5).filter(|i| i % 2 == 0)).len(), Length::Unknown);
    assert_eq!(Loader::from_iter(0..).len(), Length::Unknown);
    assert_eq!(Loader::from_batches(vec![0; 4]).len(), Length::Batches(4));
    assert_eq!(Loader::from_batches(vec![0; 4]).map(|i| i + 1).len(), Length::Batches(4));
    let mad: Loader<u8> = Loader::from_fn(|_| -> Vec<u8> { panic!("no iterator") });
    assert_eq!(mad.len(), Length::Unknown);
    assert_eq!(pass(&mad, 0, 0).unwrap_err().to_string(), "the iterator panicked at batch 0: no iterator");
}

#[test]
fn the_last_batch_is_known_without_a_length() {
    assert_eq!(last_flags(&Loader::from_fn(|_| (0..6).filter(|i| i % 2 == 0))), [false, false, true]);
    assert_eq!(last_flags(&Loader::from_fn(|_| 0..2)), [false, true]);
    assert_eq!(last_flags(&Loader::from_iter(vec![1].into_iter().filter(|_| true))), [true]);
    assert!(last_flags(&Loader::from_iter(vec![1].into_iter().filter(|_| false))).is_empty());
}

#[test]
fn position_ignores_the_batch_loaded_ahead() {
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let loader = Loader::from_fn(move |_| {
        let count = count.clone();
        // The filter hides the length.
        (0..4).filter(|_| true).inspect(move |_| _ = count.fetch_add(1, Ordering::Relaxed))
    });
    let mut batches = loader.batches(Position::default(), &Device::flex()).unwrap();
    assert_eq!(made.load(Ordering::Relaxed), 0);
    batches.next().unwrap().unwrap();
    assert_eq!((batches.position().batch, made.load(Ordering::Relaxed)), (1, 2));
}

#[test]
fn endless_iterators_are_not_loaded_ahead() {
    let loader = Loader::from_fn(|epoch| epoch..);
    let mut batches = loader.batches(Position::new(5, 100), &Device::flex()).unwrap();
    assert_eq!(batches.next().unwrap().unwrap().value, 105);
    assert!(!batches.is_last());
}

#[test]
fn errors_of_iterators() {
    let broken = |_| [Ok(1), Ok(2), Err(io::Error::other("the wire is cut")), Ok(4)];
    let loader = Loader::try_from_fn(broken);
    let mut batches = loader.batches(Position::default(), &Device::flex()).unwrap();
    assert_eq!(batches.by_ref().take(2).map(|item| item.unwrap().value).collect::<Vec<_>>(), [1, 2]);
    assert!(!batches.is_last());
    assert_eq!(batches.next().unwrap().unwrap_err().to_string(), "loading batch 2 failed: the wire is cut");
    assert!(batches.next().is_none());
    let error = pass(&loader, 0, 3).unwrap_err();
    assert_eq!(error.to_string(), "loading batch 2 failed: the wire is cut");

    // To know that the second batch is not the last, the third is made.
    let loader = Loader::try_from_iter((0..5).filter(|_| true).map(|i| {
        assert!(i < 2, "batch {i} is mad");
        Ok::<_, io::Error>(i)
    }));
    let mut batches = loader.batches(Position::default(), &Device::flex()).unwrap();
    assert_eq!(batches.by_ref().take(2).flatten().count(), 2);
    assert_eq!(batches.next().unwrap().unwrap_err().to_string(), "the iterator panicked at batch 2: batch 2 is mad");
    assert!(batches.next().is_none());
}

#[test]
fn items_per_batch_is_handed_on() {
    let items = |loader: &Loader<u8>| loader.batches(Position::default(), &Device::flex()).unwrap().next().unwrap().unwrap().items;
    let loader = Loader::from_batches(vec![1]);
    assert_eq!(items(&loader), None);
    assert_eq!(items(&loader.items_per_batch(32).map(|batch| batch)), Some(32));
}

#[test]
fn map_sees_every_batch_and_may_fail() {
    assert_eq!(values(&Loader::from_batches(vec![1, 2]).map(|i| i.to_string())), ["1", "2"]);
    let loader = Loader::from_batches(vec!["1", "x"]).try_map(|text| text.parse::<u8>().map_err(Into::into));
    assert_eq!(pass(&loader, 0, 0).unwrap_err().to_string(), "loading batch 1 failed: invalid digit found in string");
    let loader = Loader::from_batches(vec![1, 0]).map(|i| 1 / i);
    let error = pass(&loader, 0, 0).unwrap_err();
    assert_eq!(error.to_string(), "the function given to `map` panicked at batch 1: attempt to divide by zero");
    assert!(matches!(error, Error::Panic { batch: 1, .. }));
}
