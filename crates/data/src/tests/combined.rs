use insta::assert_snapshot;

use super::{assert_resumes, last_flags, numbers, pass, text, values};
use crate::{CombinedLoader, Length, Loader, for_trainer::DriveLoader as _};

fn three_and_two() -> [Loader<u8>; 2] {
    [Loader::from_batches(vec![1, 2, 3]), Loader::from_batches(vec![10, 20])]
}

/// The same batches, with an unknown number.
fn unsized_three_and_two() -> [Loader<u8>; 2] {
    [Loader::from_fn(|_| (1..=3).filter(|_| true)), Loader::from_fn(|_| [10, 20].into_iter().filter(|_| true))]
}

#[test]
fn modes_as_in_lightning() {
    for (loaders, sized) in [(three_and_two(), true), (unsized_three_and_two(), false)] {
        let length = |n| if sized { Length::Batches(n) } else { Length::Unknown };

        let min = CombinedLoader::min_size(loaders.clone());
        assert_eq!(values(&min), [[1, 10], [2, 20]]);
        assert_eq!(min.len(), length(2));

        let cycle = CombinedLoader::max_size_cycle(loaders.clone());
        assert_eq!(values(&cycle), [[1, 10], [2, 20], [3, 10]]);
        assert_eq!(cycle.len(), length(3));

        let max = CombinedLoader::max_size(loaders.clone());
        assert_eq!(values(&max), [[Some(1), Some(10)], [Some(2), Some(20)], [Some(3), None]]);
        assert_eq!(max.len(), length(3));

        let sequential = CombinedLoader::sequential(loaders);
        assert_eq!(values(&sequential), [1, 2, 3, 10, 20]);
        assert_eq!(sequential.len(), length(5));

        assert_eq!(last_flags(&min), [false, true]);
        assert_eq!(last_flags(&cycle), [false, false, true]);
        assert_eq!(last_flags(&max), [false, false, true]);
        assert_eq!(last_flags(&sequential), [false, false, false, false, true]);

        assert_resumes(&cycle);
        assert_resumes(&max);
        assert_resumes(&sequential);
        assert_resumes(&min);
        assert_resumes(&CombinedLoader::sequential([min.clone(), min]));
    }
}

#[test]
fn equal_lengths_need_no_second_cycle() {
    let pair = || [Loader::from_batches(vec![1, 2]), Loader::from_batches(vec![3, 4])];
    assert_eq!(values(&CombinedLoader::max_size_cycle(pair())), [[1, 3], [2, 4]]);
    assert_eq!(values(&CombinedLoader::max_size(pair())).len(), 2);
}

#[test]
fn an_endless_loader_leaves_the_length_to_the_others() {
    let loaders = || [Loader::from_batches(vec![1, 2]), Loader::from_fn(|_| 100..)];
    let min = CombinedLoader::min_size(loaders());
    assert_eq!(min.len(), Length::Batches(2));
    assert_eq!(values(&min), [[1, 100], [2, 101]]);
    assert_eq!(CombinedLoader::max_size_cycle(loaders()).len(), Length::Unknown);
    assert_eq!(CombinedLoader::sequential(loaders()).len(), Length::Unknown);
}

#[test]
fn each_cycle_has_its_own_order() {
    let long = numbers(24).batch_size(2);
    let short = numbers(10).batch_size(2).shuffle(true).seed(4).workers(2);
    let loader = CombinedLoader::max_size_cycle([long, short.clone()]);
    // 12 batches over 5: three passes in each epoch, the last one incomplete.
    for epoch in 0..2 {
        let column: Vec<_> = pass(&loader, epoch, 0).unwrap().into_iter().map(|row| row[1].clone()).collect();
        let passes: Vec<_> = (0..3).flat_map(|cycle| pass(&short, 3 * epoch + cycle, 0).unwrap()).take(12).collect();
        assert_eq!(column, passes);
        assert_ne!(column[..5], column[5..10]);
    }
    assert_resumes(&loader);
}

#[test]
fn shuffled_loaders_with_workers_resume() {
    let loaders = || [numbers(11).batch_size(2).shuffle(true).workers(2), numbers(7).shuffle(true).workers(3)];
    assert_resumes(&CombinedLoader::min_size(loaders()));
    assert_resumes(&CombinedLoader::max_size(loaders()));
    assert_resumes(&CombinedLoader::max_size_cycle(loaders()));
    assert_resumes(&CombinedLoader::sequential(loaders()));
    assert!(CombinedLoader::sequential(loaders()).is_shuffled());
    assert!(!CombinedLoader::sequential(loaders()).without_shuffle().is_shuffled());
}

#[test]
fn a_default_seed_shuffles_the_loaders_independently() {
    let loader = CombinedLoader::min_size([numbers(20).shuffle(true), numbers(20).shuffle(true)]).with_default_seed(1);
    let rows = values(&loader);
    assert!(rows.iter().any(|row| row[0] != row[1]));
    assert_eq!(rows, values(&loader));
}

#[test]
fn items_are_added_up() {
    use burn::tensor::Device;
    let loader = CombinedLoader::max_size([numbers(5).batch_size(2), numbers(3).batch_size(3)]);
    let batches = loader.batches(crate::Position::default(), &Device::flex()).unwrap();
    assert_eq!(batches.map(|item| item.unwrap().items).collect::<Vec<_>>(), [Some(5), Some(2), Some(1)]);
}

#[test]
fn zip_keeps_types() {
    let words = || Loader::from_batches(vec!["a", "b"]);
    assert_eq!(values(&numbers(3).zip(words())), [(vec![0], "a"), (vec![1], "b")]);
    assert_eq!(values(&numbers(3).zip_cycle(words())), [(vec![0], "a"), (vec![1], "b"), (vec![2], "a")]);
    assert_eq!(values(&numbers(3).zip(words()).zip(words())).len(), 2);
}

#[test]
fn a_combination_that_cannot_work_is_refused() {
    let words = |loader: Loader<Vec<u8>>| text(&pass(&loader, 0, 0).unwrap_err());
    let nothing = Vec::<Loader<u8>>::new;
    let cycle = |second: Loader<u8>| CombinedLoader::max_size_cycle([Loader::from_batches(vec![1, 2]), second]);
    let errors = [
        words(CombinedLoader::min_size(nothing())),
        words(CombinedLoader::sequential(nothing()).map(|_| Vec::new())),
        words(CombinedLoader::min_size([numbers(3), numbers(3).batch_size(0)]).map(|_| Vec::new())),
        words(CombinedLoader::max_size_cycle([numbers(3), numbers(0)]).map(|_| Vec::new())),
        words(cycle(Loader::from_iter(vec![3]))),
        words(cycle(Loader::from_fn(|_| (0..3).filter(|_| false)))),
    ];
    assert_snapshot!(errors.join("\n"), @"
    a combined loader needs at least one loader
      hint: pass one or more loaders
    a combined loader needs at least one loader
      hint: pass one or more loaders
    loader 1 of the combined loader: `batch_size` cannot be 0
      hint: `batch_size` must be at least 1
    loader 1 of the combined loader: the loader is empty: its dataset has no items
      hint: check where the data is read from; with `drop_last` a dataset smaller than one batch has none
    loader 1 of the combined loader: the iterator of this loader was already consumed, so there is nothing left for epoch 1
      hint: use `Loader::from_fn`, which makes a fresh iterator for each epoch, or `Loader::from_batches`
    loader 1 of the combined loader: the loader is empty: it has no batch to repeat
      hint: check where the data is read from; with `drop_last` a dataset smaller than one batch has none
    ");
    assert!(CombinedLoader::min_size([numbers(0), numbers(3)]).check().is_err());
    assert_eq!(values(&CombinedLoader::max_size([numbers(0), numbers(2)])).len(), 2);
}

#[test]
fn a_failure_names_its_loader() {
    let broken = Loader::from_batches(vec![1, 2]).try_map(|i| if i == 2 { Err("two is broken".into()) } else { Ok(i) });
    for loader in [
        CombinedLoader::min_size([Loader::from_batches(vec![1, 2]), broken.clone()]),
        CombinedLoader::sequential([Loader::from_batches(vec![1, 2]), broken]).map(|i| vec![i]),
    ] {
        assert_eq!(pass(&loader, 0, 0).unwrap_err().to_string(), "loader 1 of the combined loader: loading batch 1 failed: two is broken");
    }
}
