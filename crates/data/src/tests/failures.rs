use burn::{
    data::dataset::{Dataset, DatasetError},
    tensor::Device,
};

use super::{must_return, numbers, pass, values};
use crate::{Error, Loader, Position, Result};

/// `0..12`, with a broken item 7.
struct Broken {
    panics: bool,
}

impl Dataset<usize> for Broken {
    fn get(&self, index: usize) -> Result<usize, DatasetError> {
        assert!(index != 7 || !self.panics, "item {index} is mad");
        if index == 7 { Err(DatasetError::new(std::io::Error::other("item 7 is torn"))) } else { Ok(index) }
    }

    fn len(&self) -> usize {
        12
    }
}

/// The batches before the failure, and the failure.
fn until_error<B: Send + 'static>(loader: &Loader<B>) -> (usize, Error) {
    let mut batches = loader.batches(Position::default(), &Device::flex()).unwrap();
    let mut good = 0;
    loop {
        match batches.next().expect("an error before the end") {
            Ok(_) => good += 1,
            Err(error) => {
                assert!(batches.next().is_none(), "a pass ends at its first error");
                assert!(!batches.is_last());
                assert_eq!(batches.position().batch, good);
                return (good, error);
            }
        }
    }
}

#[test]
fn errors_and_panics_arrive_in_their_place() {
    for workers in [0, 1, 2, 3, 7] {
        must_return(move || {
            let (good, error) = until_error(&Loader::collate(Broken { panics: false }, |items, _| items).batch_size(2).workers(workers));
            assert_eq!(good, 3);
            assert_eq!(error.to_string(), "the dataset failed at item 7 of batch 3: item 7 is torn");

            let (good, error) = until_error(&Loader::collate(Broken { panics: true }, |items, _| items).batch_size(2).workers(workers));
            assert_eq!(good, 3);
            assert_eq!(error.to_string(), "the dataset panicked at batch 3: item 7 is mad");

            let batcher = |items: Vec<usize>, _: &Device| {
                assert!(!items.contains(&4), "no {} today", "fours");
                items
            };
            let loader = Loader::collate(super::Numbers::new(12), batcher).batch_size(2).workers(workers);
            let (good, error) = until_error(&loader);
            assert_eq!(good, 2);
            assert_eq!(error.to_string(), "the batcher panicked at batch 2: no fours today");
            assert!(error.hint().unwrap().contains("RUST_BACKTRACE"));
            // The next pass works like the first.
            assert_eq!(until_error(&loader).0, 2);
            assert_eq!(pass(&loader, 0, 3).unwrap().len(), 3);
        });
    }
}

#[test]
fn a_panic_without_text_is_reported() {
    let loader = Loader::collate(super::Numbers::new(2), |_, _| std::panic::panic_any(3)).workers(1);
    let error = pass::<()>(&loader, 0, 0).unwrap_err();
    assert_eq!(error.to_string(), "the batcher panicked at batch 0: a panic whose payload is no text");
}

#[test]
fn senseless_options() {
    for (loader, text) in [
        (numbers(3).batch_size(0), "`batch_size` cannot be 0"),
        (numbers(3).workers(2).prefetch(0), "`prefetch` cannot be 0"),
        (Loader::from_batches(vec![vec![1]]).items_per_batch(0), "`items_per_batch` cannot be 0"),
    ] {
        let error = pass(&loader, 0, 0).unwrap_err();
        assert_eq!(error.to_string(), text);
        assert!(error.hint().unwrap().ends_with("must be at least 1"));
        assert_eq!(loader.check().unwrap_err().to_string(), text);
    }
}

#[test]
fn options_without_effect() {
    let iterator = || Loader::from_fn(|_| [vec![1]]);
    let combined = crate::CombinedLoader::sequential([numbers(2)]);
    let table = [
        (iterator().batch_size(2), "`batch_size` has no effect on a loader made from an iterator", "`Loader::new`"),
        (iterator().shuffle(true).batch_size(2), "`shuffle` has no effect on a loader made from an iterator", "`Loader::new`"),
        (iterator().map(|batch| batch).workers(2), "`workers` has no effect on a loader made from an iterator", "`Loader::new`"),
        (numbers(2).items_per_batch(2), "`items_per_batch` has no effect on a loader made from a dataset", "remove it"),
        (combined.seed(2), "`seed` has no effect on a loader made from other loaders", "call `seed` on the loaders"),
    ];
    for (loader, text, hint) in table {
        let error = pass(&loader, 0, 0).unwrap_err();
        assert_eq!(error.to_string(), text);
        assert!(error.hint().unwrap().contains(hint), "{:?}", error.hint());
    }
    // A request of the Trainer is not an error of the user.
    assert_eq!(values(&iterator().with_default_seed(3).without_shuffle()), [[1]]);
}

#[test]
fn empty_loaders() {
    for (loader, text) in [
        (numbers(0), "the loader is empty: its dataset has no items"),
        (numbers(3).batch_size(4).drop_last(true), "the loader is empty: its dataset has 3 items, fewer than one full batch"),
        (Loader::from_batches(vec![]), "the loader is empty: it is made from an iterator without batches"),
    ] {
        assert!(pass(&loader, 0, 0).unwrap().is_empty());
        let error = loader.check().unwrap_err();
        assert_eq!(error.to_string(), text);
        assert!(error.hint().is_some());
    }
}

#[test]
fn seeking_past_the_end() {
    let error = numbers(3).batches(Position::new(0, 4), &Device::flex()).unwrap_err();
    assert!(matches!(error, Error::SeekPastEnd { batch: 4, length: 3 }));
    assert!(error.hint().unwrap().contains("same dataset"));
}
