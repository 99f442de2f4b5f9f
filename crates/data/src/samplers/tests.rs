use std::collections::HashMap;

use burn::{data::dataset::InMemDataset, tensor::Device};

use super::*;
use crate::{Error, Length, Loader, Position, for_trainer::DriveLoader as _};

fn counts(order: &[usize], items: usize) -> Vec<usize> {
    let mut counts = vec![0; items];
    for &item in order {
        counts[item] += 1;
    }
    counts
}

fn chi_square(counts: &[usize], expected: impl Fn(usize) -> f64) -> f64 {
    counts.iter().enumerate().map(|(index, &count)| (count as f64 - expected(index)).powi(2) / expected(index)).sum()
}

/// The 0.999 quantiles of chi-square with 3, 9 and 11 degrees of freedom (`scipy.stats.chi2.ppf`).
const CHI_3: f64 = 16.27;
const CHI_9: f64 = 27.88;
const CHI_11: f64 = 31.26;

/// Two samples of the same distribution, as counts.
fn chi_square_of_two(a: &[usize], b: &[usize]) -> f64 {
    let (all_a, all_b) = (a.iter().sum::<usize>() as f64, b.iter().sum::<usize>() as f64);
    let term =
        |(&a, &b): (&usize, &usize)| (a as f64 * (all_b / all_a).sqrt() - b as f64 * (all_a / all_b).sqrt()).powi(2) / (a + b) as f64;
    a.iter().zip(b).map(term).sum()
}

const DRAWS: usize = 120_000;
const WEIGHTS: [f64; 4] = [1.0, 2.0, 3.0, 4.0];

/// The counts of `WeightedRandomSampler` of PyTorch 1.13, seed 0. `xtask/python/data/samplers.py` prints the numbers of
/// PyTorch and scikit-learn here.
#[test]
fn draws_with_replacement_have_the_frequencies_of_pytorch() {
    let order = WeightedSampler::new(WEIGHTS).samples(DRAWS).order(0, 0);
    let counts = counts(&order, 4);
    assert!(chi_square(&counts, |item| DRAWS as f64 * WEIGHTS[item] / 10.0) < CHI_3, "{counts:?}");
    assert!(chi_square_of_two(&counts, &[11939, 24097, 35869, 48095]) < CHI_3, "{counts:?}");
    let epochs: Vec<usize> = (0..30_000).flat_map(|epoch| WeightedSampler::new(WEIGHTS).samples(4).order(7, epoch)).collect();
    let counts = self::counts(&epochs, 4);
    assert!(chi_square(&counts, |item| DRAWS as f64 * WEIGHTS[item] / 10.0) < CHI_3, "over epochs: {counts:?}");
}

/// The pairs that `torch.multinomial(replacement=False)` of PyTorch 1.13 draws, seed 0: rows are the first item.
#[test]
fn draws_without_replacement_have_the_frequencies_of_pytorch() {
    let sampler = WeightedSampler::new(WEIGHTS).samples(2).replacement(false);
    let mut pairs = HashMap::new();
    for epoch in 0..DRAWS {
        let order = sampler.order(1, epoch);
        *pairs.entry((order[0], order[1])).or_insert(0_usize) += 1;
    }
    let torch = [[0, 2638, 4053, 5394], [2907, 0, 9058, 12029], [5240, 10178, 0, 20397], [8178, 15899, 24029, 0]];
    let different = || (0..4).flat_map(|a| (0..4).map(move |b| (a, b))).filter(|(a, b)| a != b);
    let ours: Vec<usize> = different().map(|pair| pairs[&pair]).collect();
    let theirs: Vec<usize> = different().map(|(a, b)| torch[a][b]).collect();
    assert!(chi_square_of_two(&ours, &theirs) < CHI_11, "{ours:?}");
    let probability = |(a, b): (usize, usize)| WEIGHTS[a] / 10.0 * WEIGHTS[b] / (10.0 - WEIGHTS[a]);
    let exact: Vec<f64> = different().map(probability).collect();
    assert!(chi_square(&ours, |index| DRAWS as f64 * exact[index]) < CHI_11, "{ours:?}");
}

#[test]
fn an_item_without_weight_is_never_drawn() {
    let weights = [0.0, 1e-300, 0.0, 1.0, 0.0];
    for epoch in 0..200 {
        let order = WeightedSampler::new(weights).order(0, epoch);
        assert!(order.iter().all(|&item| item == 3 || item == 1), "{order:?}");
        assert_eq!(WeightedSampler::new(weights).samples(2).replacement(false).order(0, epoch), [3, 1]);
    }
}

#[test]
fn tiny_and_huge_weights_are_drawn_in_proportion() {
    for scale in [1e-310, 1e-300, 1e300] {
        let sampler = WeightedSampler::new(WEIGHTS.map(|weight| weight * scale)).samples(1).replacement(false);
        let order: Vec<usize> = (0..20_000).flat_map(|epoch| sampler.order(3, epoch)).collect();
        let counts = counts(&order, 4);
        assert!(chi_square(&counts, |item| 20_000.0 * WEIGHTS[item] / 10.0) < CHI_3, "{scale}: {counts:?}");
    }
}

/// Among the first `m` items, a class is less than one item away from its share of `m`.
#[test]
fn every_prefix_of_a_stratified_epoch_has_the_classes_in_proportion() {
    for sizes in [vec![70, 20, 10], vec![1, 1, 1], vec![997, 2, 1], vec![13, 7, 5, 3, 2, 1, 1, 1], vec![5], vec![1, 50, 49]] {
        let labels: Vec<usize> = sizes.iter().enumerate().flat_map(|(class, &size)| vec![class; size]).collect();
        for epoch in 0..3 {
            let order = StratifiedSampler::new(&labels).order(1, epoch);
            assert_eq!(counts(&order, labels.len()), vec![1; labels.len()], "each item once");
            let mut seen = vec![0_usize; sizes.len()];
            for (place, &item) in order.iter().enumerate() {
                seen[labels[item]] += 1;
                for (class, &size) in sizes.iter().enumerate() {
                    let share = (place + 1) as f64 * size as f64 / labels.len() as f64;
                    assert!((seen[class] as f64 - share).abs() < 1.0, "{sizes:?} at {place}: class {class} has {} of {share}", seen[class]);
                }
            }
        }
    }
}

/// The counts of each class among the items of `StratifiedShuffleSplit` of scikit-learn 1.4.2. Both are whole numbers
/// next to the share of a class.
#[test]
fn a_stratified_part_of_an_epoch_has_the_classes_of_scikit_learn() {
    let labels: Vec<usize> = [70, 20, 10].iter().enumerate().flat_map(|(class, &size)| vec![class; size]).collect();
    let cases = [(7, [5, 1, 1]), (10, [7, 2, 1]), (33, [23, 7, 3]), (50, [35, 10, 5]), (64, [45, 13, 6]), (90, [63, 18, 9])];
    for epoch in 0..20 {
        let order = StratifiedSampler::new(&labels).order(2, epoch);
        for (items, expected) in cases {
            let ours = counts(&order[..items].iter().map(|&item| labels[item]).collect::<Vec<_>>(), 3);
            assert!(ours.iter().zip(expected).all(|(ours, theirs)| ours.abs_diff(theirs) <= 1), "{items}: {ours:?}, {expected:?}");
        }
    }
}

/// The counts of `WeightedRandomSampler` of PyTorch 1.13 with the weights 1 / class size, seed 0.
#[test]
fn balanced_items_have_the_frequencies_of_pytorch() {
    let sampler = ClassBalancedSampler::new([0, 0, 0, 0, 0, 0, 1, 1, 1, 2]);
    let order: Vec<usize> = (0..DRAWS / 10).flat_map(|epoch| sampler.order(5, epoch)).collect();
    let counts = counts(&order, 10);
    let torch = [6615, 6656, 6764, 6734, 6574, 6716, 13233, 13294, 13285, 40129];
    assert!(chi_square_of_two(&counts, &torch) < CHI_9, "{counts:?}");
}

#[test]
fn balanced_classes_are_equally_frequent_and_so_are_their_items() {
    let sizes = [70, 20, 3];
    let labels: Vec<usize> = sizes.iter().enumerate().flat_map(|(class, &size)| vec![class; size]).collect();
    for samples in [93, 31, 100, 1000] {
        let order = ClassBalancedSampler::new(&labels).samples(samples).order(3, 1);
        assert_eq!(order.len(), samples);
        let items = counts(&order, labels.len());
        let mut start = 0;
        for size in sizes {
            let class = &items[start..start + size];
            let all: usize = class.iter().sum();
            assert!(all == samples / 3 || all == samples / 3 + 1, "{samples}: {all}");
            assert!(class.iter().max().unwrap() - class.iter().min().unwrap() <= 1, "{samples}: {class:?}");
            start += size;
        }
    }
}

#[test]
fn epochs_and_seeds_have_different_orders() {
    let labels = [0, 1].repeat(10);
    let samplers: [Box<dyn Sampler>; 4] = [
        Box::new(WeightedSampler::new([1.0; 20])),
        Box::new(StratifiedSampler::new(&labels)),
        Box::new(ClassBalancedSampler::new(&labels)),
        Box::new(SubsetSampler::new(0..20)),
    ];
    for sampler in samplers {
        assert_eq!(sampler.order(1, 2), sampler.order(1, 2));
        assert_ne!(sampler.order(1, 2), sampler.order(1, 3));
        assert_ne!(sampler.order(1, 2), sampler.order(2, 2));
    }
}

/// Saved positions rely on a stable order.
#[test]
fn orders_are_stable() {
    let labels = [0, 0, 1, 0, 1, 2];
    let length = LengthSampler::new([3, 9, 1, 12, 7, 2]).max_tokens(20).multiple_of(4);
    insta::assert_snapshot!(format!(
        "{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}",
        WeightedSampler::new([1.0, 2.0, 3.0]).samples(6).order(0, 0),
        WeightedSampler::new([1.0, 2.0, 3.0]).replacement(false).order(0, 0),
        StratifiedSampler::new(labels).order(0, 0),
        ClassBalancedSampler::new(labels).order(0, 0),
        SubsetSampler::new([5, 3, 1]).order(0, 0),
        length.order(0, 0),
    ), @r"
    [2, 1, 0, 1, 1, 0]
    [2, 1, 0]
    [1, 4, 0, 5, 3, 2]
    [1, 5, 5, 2, 3, 4]
    [3, 5, 1]
    [[4], [3], [1], [0, 2, 5]]
    ");
}

fn lengths() -> Vec<usize> {
    (0..101).map(|item| 1 + item * item % 97).collect()
}

#[test]
fn batches_of_similar_lengths_keep_their_limits_and_their_number() {
    let lengths = lengths();
    let tokens = LengthSampler::new(lengths.clone()).max_tokens(256);
    let both = tokens.clone().batch_size(5);
    for sampler in [tokens.clone(), both.clone(), LengthSampler::new(lengths.clone()).batch_size(8).multiple_of(1), tokens.multiple_of(16)]
    {
        let (max_tokens, max_items) = (sampler.max_tokens.unwrap_or(usize::MAX), sampler.batch_size.unwrap_or(usize::MAX));
        let mut sizes = Vec::new();
        for epoch in 0..5 {
            let batches = sampler.order(1, epoch);
            assert_eq!(batches.len(), sampler.batches());
            assert_eq!(counts(&batches.concat(), lengths.len()), vec![1; lengths.len()], "each item once");
            for batch in &batches {
                let longest = batch.iter().map(|&item| lengths[item].next_multiple_of(sampler.multiple)).max().unwrap();
                assert!(batch.len() <= max_items && batch.len() * longest <= max_tokens, "{batch:?}");
            }
            let mut of_epoch: Vec<usize> = batches.iter().map(Vec::len).collect();
            of_epoch.sort_unstable();
            sizes.push(of_epoch);
        }
        assert!(sizes.windows(2).all(|pair| pair[0] == pair[1]), "the sizes are those of every epoch");
    }
    let padding = |batches: Vec<Vec<usize>>| -> usize {
        batches.iter().map(|batch| batch.len() * batch.iter().map(|&item| lengths[item]).max().unwrap()).sum()
    };
    let chunks = SubsetSampler::new(0..101).order(0, 0).chunks(8).map(<[usize]>::to_vec).collect();
    let all: usize = lengths.iter().sum();
    assert!(padding(LengthSampler::new(lengths.clone()).batch_size(8).order(0, 0)) - all < (padding(chunks) - all) / 4, "little is padded");
}

#[test]
fn drop_last_leaves_out_other_items_in_each_epoch() {
    let sampler = LengthSampler::new(lengths()).batch_size(8).drop_last(true);
    let missing = |epoch| {
        let batches = sampler.order(0, epoch);
        assert!(batches.iter().all(|batch| batch.len() == 8) && batches.len() == 12 && sampler.batches() == 12);
        counts(&batches.concat(), 101).iter().enumerate().filter(|(_, count)| **count == 0).map(|(item, _)| item).collect::<Vec<_>>()
    };
    assert_eq!(missing(0).len(), 5);
    assert_ne!(missing(0), missing(1));
}

#[test]
fn the_longest_batch_can_come_first() {
    let sampler = LengthSampler::new(lengths()).batch_size(8).longest_first(true);
    let tokens = |batch: &Vec<usize>| batch.len() * batch.iter().map(|&item| lengths()[item].next_multiple_of(8)).max().unwrap();
    for epoch in 0..5 {
        let batches = sampler.order(0, epoch);
        assert_eq!(tokens(&batches[0]), batches.iter().map(tokens).max().unwrap());
    }
}

fn loader(items: usize) -> Loader<Vec<usize>> {
    Loader::collate(InMemDataset::new((0..items).collect()), |items, _| items).batch_size(4)
}

fn error<B: Send + 'static>(loader: &Loader<B>) -> String {
    let error = loader.batches(Position::default(), &Device::flex()).unwrap_err();
    assert_eq!(loader.check().unwrap_err().to_string(), error.to_string());
    error.hint().map_or_else(|| error.to_string(), |hint| format!("{error}; {hint}"))
}

#[test]
fn wrong_settings_are_reported() {
    let texts = [
        error(&loader(3).sampler(WeightedSampler::new([1.0, 2.0]))),
        error(&loader(2).sampler(WeightedSampler::new([1.0, -2.0]))),
        error(&loader(2).sampler(WeightedSampler::new([1.0, f64::NAN]))),
        error(&loader(2).sampler(WeightedSampler::new([0.0, 0.0]))),
        error(&loader(2).sampler(WeightedSampler::new([f64::MAX, f64::MAX]))),
        error(&loader(3).sampler(WeightedSampler::new([1.0, 2.0, 0.0]).replacement(false))),
        error(&loader(2).sampler(StratifiedSampler::new(["a", "b", "c"]))),
        error(&loader(2).sampler(SubsetSampler::new([0, 2]))),
        error(&loader(2).sampler(SubsetSampler::new([0, 1])).shuffle(true)),
        error(&loader(2).batch_sampler(LengthSampler::new([1, 2]).batch_size(2))),
        error(&Loader::collate(InMemDataset::new(vec![1, 2]), |items, _| items).batch_sampler(LengthSampler::new([1, 2]))),
        error(&Loader::collate(InMemDataset::new(vec![1, 2]), |items, _| items).batch_sampler(LengthSampler::new([1, 9]).max_tokens(9))),
        error(&loader(2).sampler(SubsetSampler::new([]))),
        error(&loader(2).sampler(WeightedSampler::new([1.0, 2.0]).samples(0))),
        error(&Loader::collate(InMemDataset::new(vec![1]), |items, _| items).batch_sampler(LengthSampler::new([usize::MAX]).max_tokens(9))),
        error(&Loader::from_batches(vec![1]).sampler(SubsetSampler::new([0]))),
    ];
    insta::assert_snapshot!(texts.join("\n"), @r"
    the sampler of a loader: there are 2 weights for 3 items
    the sampler of a loader: the weight of item 1 is -2
    the sampler of a loader: the weight of item 1 is NaN
    the sampler of a loader: the sum of the weights is zero or infinite
    the sampler of a loader: the sum of the weights is zero or infinite
    the sampler of a loader: 3 items are to be drawn without replacement, but only 2 have a weight
    the sampler of a loader: there are 3 labels for 2 items
    the sampler of a loader: index 2 is past the end of the dataset, which has 2 items
    `shuffle` and `sampler` cannot be used together; remove `shuffle`: the `sampler` decides it
    `batch_size` and `batch_sampler` cannot be used together; remove `batch_size`: the `batch_sampler` decides it
    the sampler of a loader: a `LengthSampler` needs `batch_size` or `max_tokens`
    the sampler of a loader: item 1 has 9 tokens, padded 16, which is more than `max_tokens`, 9
    the sampler of a loader: an epoch has no items
    the sampler of a loader: an epoch has no items
    the sampler of a loader: item 0 has 18446744073709551615 tokens, padded 18446744073709551615, which is more than `max_tokens`, 9
    `sampler` has no effect on a loader made from an iterator; `sampler` works on `Loader::new` with a dataset and a batcher; here the iterator decides
    ");
}

/// It promises three items, and its epoch has something else.
struct Broken(Vec<usize>);

impl Sampler for Broken {
    fn items(&self) -> usize {
        3
    }

    fn order(&self, _seed: u64, _epoch: usize) -> Vec<usize> {
        assert!(!self.0.is_empty(), "no order");
        self.0.clone()
    }
}

#[test]
fn a_wrong_order_is_reported() {
    let text =
        |order: &[usize]| loader(5).sampler(Broken(order.to_vec())).batches(Position::default(), &Device::flex()).unwrap_err().to_string();
    assert_eq!(text(&[0, 1]), "the sampler of a loader: it promised 3 items in every epoch, but this epoch has 2");
    assert_eq!(text(&[0, 1, 5]), "the sampler of a loader: it returned index 5, but the dataset has 5 items");
    assert_eq!(text(&[]), "the sampler panicked at batch 0: no order");
    // A run compares it before its first batch.
    assert!(loader(5).sampler(Broken(Vec::new())).order().starts_with("batch_size 4"));
}

fn pass<B: Send + 'static>(loader: &Loader<B>, epoch: usize, batch: usize) -> Vec<B> {
    loader.batches(Position::new(epoch, batch), &Device::flex()).unwrap().map(|item| item.unwrap().value).collect()
}

/// For each kind of sampler: the batches of every number of workers, of every start, and of the ranks together.
#[test]
fn batches_do_not_depend_on_workers_resumes_and_ranks() {
    let labels: Vec<usize> = (0..23).map(|item| item % 3).collect();
    let by_length = |drop_last| LengthSampler::new((0..23).map(|item| 1 + item % 7)).batch_size(4).multiple_of(2).drop_last(drop_last);
    let unbatched = || Loader::collate(InMemDataset::new((0..23).collect()), |items: Vec<usize>, _| items).seed(5);
    let loaders = [
        loader(23).seed(5).sampler(WeightedSampler::new((0..23_u8).map(f64::from)).samples(17)),
        loader(23).seed(5).sampler(StratifiedSampler::new(&labels)).drop_last(true),
        loader(23).seed(5).sampler(ClassBalancedSampler::new(&labels).samples(30)),
        loader(23).seed(5).sampler(SubsetSampler::new(3..20)),
        unbatched().batch_sampler(by_length(false)),
        unbatched().batch_sampler(by_length(true)),
        unbatched().batch_sampler(LengthSampler::new((0..23).map(|item| 1 + item % 7)).max_tokens(16)),
    ];
    for (index, loader) in loaders.into_iter().enumerate() {
        let whole = pass(&loader, 2, 0);
        assert_eq!(loader.len(), Length::Batches(whole.len()), "{index}");
        assert_ne!(whole, pass(&loader, 3, 0), "{index}");
        for workers in 0..4 {
            let loader = loader.clone().workers(workers);
            for start in 0..=whole.len() {
                assert_eq!(pass(&loader, 2, start), whole[start..], "{index}: {workers} workers, from {start}");
                for world in 1..=4 {
                    let ranks: Vec<_> = (0..world).map(|rank| pass(&loader.for_rank(rank, world).unwrap(), 2, start)).collect();
                    for (batch, expected) in whole[start..].iter().enumerate() {
                        assert_eq!(&ranks[batch % world][batch / world], expected, "{index}: rank {} of {world}", batch % world);
                    }
                    assert_eq!(ranks.iter().map(Vec::len).sum::<usize>(), whole.len() - start, "{index}");
                }
            }
            let past = loader.batches(Position::new(2, whole.len() + 1), &Device::flex()).unwrap_err();
            assert!(matches!(past, Error::SeekPastEnd { .. }), "{past}");
        }
    }
}

#[test]
fn a_fixed_order_keeps_the_items_of_the_sampler() {
    let fixed = loader(23).sampler(SubsetSampler::new(3..20)).without_shuffle();
    assert!(!fixed.is_shuffled());
    assert_eq!(pass(&fixed, 0, 0), pass(&fixed, 4, 0));
    let mut items = pass(&fixed, 4, 0).concat();
    items.sort_unstable();
    assert_eq!(items, (3..20).collect::<Vec<_>>());
}

#[test]
fn ranks_notice_other_weights() {
    let order = |weight| loader(2).sampler(WeightedSampler::new([1.0, weight]).samples(100)).order();
    assert_eq!(order(2.0), order(2.0));
    assert_ne!(order(2.0), order(3.0));
    let subset = |items: [usize; 1]| loader(2).sampler(SubsetSampler::new(items)).order();
    assert_ne!(subset([0]), subset([1]));
}
