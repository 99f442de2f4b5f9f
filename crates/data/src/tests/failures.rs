use burn::{
    data::dataset::{Dataset, DatasetError},
    tensor::Device,
};

use insta::assert_snapshot;

use super::{must_return, numbers, pass, text, values};
use crate::{Error, Loader, Position, for_trainer::DriveLoader as _};

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
fn errors_and_panics_are_reported_at_their_batch() {
    let seen = [0, 1, 2, 3, 7].map(|workers| {
        must_return(move || {
            let (good, fails) = until_error(&Loader::collate(Broken { panics: false }, |items, _| items).batch_size(2).workers(workers));
            assert_eq!(good, 3);
            let (good, panics) = until_error(&Loader::collate(Broken { panics: true }, |items, _| items).batch_size(2).workers(workers));
            assert_eq!(good, 3);
            let batcher = |items: Vec<usize>, _: &Device| {
                assert!(!items.contains(&4), "no {} today", "fours");
                items
            };
            let loader = Loader::collate(super::Numbers::new(12), batcher).batch_size(2).workers(workers);
            let (good, batcher_panics) = until_error(&loader);
            assert_eq!(good, 2);
            // The next pass works like the first.
            assert_eq!(until_error(&loader).0, 2);
            assert_eq!(pass(&loader, 0, 3).unwrap().len(), 3);
            [fails, panics, batcher_panics].map(|error| text(&error)).join("\n")
        })
    });
    assert_snapshot!(seen[0], @"
    the dataset failed at item 7 of batch 3: item 7 is torn
    the dataset panicked at batch 3: item 7 is mad
      hint: `workers(0)` keeps loading on the training thread
    the batcher panicked at batch 2: no fours today
      hint: `workers(0)` keeps loading on the training thread
    ");
    assert!(seen.iter().all(|errors| *errors == seen[0]), "{seen:?}");
}

#[test]
fn a_panic_without_a_message_is_reported() {
    let loader = Loader::collate(super::Numbers::new(2), |_, _| std::panic::panic_any(3)).workers(1);
    assert_snapshot!(text(&pass::<()>(&loader, 0, 0).unwrap_err()), @"
    the batcher panicked at batch 0: a panic without a message
      hint: `workers(0)` keeps loading on the training thread
    ");
}

#[test]
fn an_option_of_zero_is_refused() {
    let loaders = [numbers(3).batch_size(0), numbers(3).workers(2).prefetch(0), Loader::from_batches(vec![vec![1]]).items_per_batch(0)];
    let refused = loaders.map(|loader| {
        let error = text(&pass(&loader, 0, 0).unwrap_err());
        assert_eq!(text(&loader.check().unwrap_err()), error);
        error
    });
    assert_snapshot!(refused.join("\n"), @"
    `batch_size` cannot be 0
      hint: `batch_size` must be at least 1
    `prefetch` cannot be 0
      hint: `prefetch` must be at least 1
    `items_per_batch` cannot be 0
      hint: `items_per_batch` must be at least 1
    ");
}

#[test]
fn an_option_without_effect_is_refused() {
    let iterator = || Loader::from_fn(|_| [vec![1]]);
    let combined = crate::CombinedLoader::sequential([numbers(2)]);
    let loaders = [
        iterator().batch_size(2),
        iterator().shuffle(true).batch_size(2),
        iterator().map(|batch| batch).workers(2),
        numbers(2).items_per_batch(2),
        combined.seed(2).map(|_| Vec::new()),
    ];
    assert_snapshot!(loaders.map(|loader| text(&pass(&loader, 0, 0).unwrap_err())).join("\n"), @"
    `batch_size` has no effect on a loader made from an iterator
      hint: `batch_size` works on `Loader::new` with a dataset and a batcher; here the iterator decides
    `shuffle` has no effect on a loader made from an iterator
      hint: `shuffle` works on `Loader::new` with a dataset and a batcher; here the iterator decides
    `workers` has no effect on a loader made from an iterator
      hint: `workers` works on `Loader::new` with a dataset and a batcher; here the iterator decides
    `items_per_batch` has no effect on a loader made from a dataset
      hint: remove it: the number of items is known here
    `seed` has no effect on a loader made from other loaders
      hint: call `seed` on the loaders it was made from
    ");
    // A request of the Trainer is not an error of the user.
    assert_eq!(values(&iterator().with_default_seed(3).without_shuffle()), [[1]]);
}

#[test]
fn an_empty_loader_is_refused_by_the_check_only() {
    let loaders = [numbers(0), numbers(3).batch_size(4).drop_last(true), Loader::from_batches(vec![])];
    let refused = loaders.map(|loader| {
        assert!(pass(&loader, 0, 0).unwrap().is_empty());
        text(&loader.check().unwrap_err())
    });
    assert_snapshot!(refused.join("\n"), @"
    the loader is empty: its dataset has no items
      hint: check where the data is read from; with `drop_last` a dataset smaller than one batch has none
    the loader is empty: its dataset has 3 items, fewer than one full batch
      hint: check where the data is read from; with `drop_last` a dataset smaller than one batch has none
    the loader is empty: it is made from an iterator without batches
      hint: check where the data is read from; with `drop_last` a dataset smaller than one batch has none
    ");
}

#[test]
fn seeking_past_the_end_is_refused() {
    let error = numbers(3).batches(Position::new(0, 4), &Device::flex()).unwrap_err();
    assert!(matches!(error, Error::SeekPastEnd { batch: 4, length: 3 }));
    assert_snapshot!(text(&error), @"
    cannot start at batch 4: the pass has only 3 batches
      hint: the data has changed since the position was saved: resume with the same dataset and batch size
    ");
}

#[test]
fn a_function_that_makes_batches_may_fail() {
    let three = |items: Vec<usize>, _: &Device| if items.contains(&6) { Err("six".into()) } else { Ok(items) };
    for workers in 0..3 {
        let loader = Loader::try_collate(super::Numbers::new(10), three).batch_size(2).workers(workers);
        let mut batches = loader.batches(Position::new(0, 1), &Device::flex()).unwrap();
        let first = batches.next().unwrap().unwrap();
        assert_eq!((first.value, first.items), (vec![2, 3], Some(2)));
        batches.next().unwrap().unwrap();
        assert_eq!(batches.next().unwrap().unwrap_err().to_string(), "loading batch 3 failed: six");
        assert!(batches.next().is_none());
    }
}
