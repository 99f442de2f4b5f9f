use burn::data::dataset::InMemDataset;

use super::*;

fn digits(text: &str) -> Vec<u32> {
    text.chars().map(|label| label.to_digit(10).unwrap()).collect()
}

fn assert_partition(folds: &[Fold], items: usize) {
    let mut validated: Vec<usize> = folds.iter().flat_map(|fold| fold.val.clone()).collect();
    validated.sort_unstable();
    assert_eq!(validated, (0..items).collect::<Vec<_>>(), "each item is validated once");
    for fold in folds {
        let mut all = [fold.train.clone(), fold.val.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..items).collect::<Vec<_>>(), "each item is in one of the parts");
        assert!(fold.train.is_sorted() && fold.val.is_sorted());
    }
}

/// The counts of `StratifiedKFold(k, shuffle=True)` of scikit-learn 1.4.2: for each fold, the items of each class.
/// `xtask/python/data/samplers.py` prints the numbers of scikit-learn here.
#[test]
fn each_fold_has_the_class_counts_of_scikit_learn() {
    type Case = (&'static str, Vec<Vec<usize>>);
    let cases: [Case; 4] = [
        (
            "0100000120100200011121010002000100000020000000000000200000000000001010202010000000000000020001000010001",
            vec![vec![16, 3, 2], vec![16, 3, 2], vec![16, 3, 2], vec![16, 3, 1], vec![15, 3, 2]],
        ),
        ("10111010110101111111", vec![vec![2, 5], vec![2, 5], vec![1, 5]]),
        (
            "0000000000000000000000001020000000000000020000000000001000000100000000100000000000000002000000000",
            vec![vec![23, 1, 1], vec![23, 1, 0], vec![22, 1, 1], vec![22, 1, 1]],
        ),
        (
            "231303203210200111123020212001133230223100032312013313033",
            vec![
                vec![1, 2, 2, 1],
                vec![1, 2, 2, 1],
                vec![2, 1, 2, 1],
                vec![2, 1, 1, 2],
                vec![2, 1, 1, 2],
                vec![2, 1, 1, 2],
                vec![2, 1, 1, 2],
                vec![1, 1, 1, 2],
                vec![1, 1, 1, 2],
                vec![1, 2, 1, 1],
            ],
        ),
    ];
    for (text, expected) in cases {
        let labels = digits(text);
        for seed in 0..3 {
            let folds = KFold::stratified(expected.len(), &labels).seed(seed).folds().unwrap();
            assert_partition(&folds, labels.len());
            let count = |fold: &Fold, class| fold.val.iter().filter(|&&item| labels[item] as usize == class).count();
            let counts: Vec<Vec<usize>> =
                folds.iter().map(|fold| (0..expected[0].len()).map(|class| count(fold, class)).collect()).collect();
            assert_eq!(counts, expected, "seed {seed}");
        }
    }
}

/// The sizes of the folds of `GroupKFold(k)` of scikit-learn 1.4.2.
#[test]
fn groups_stay_whole_and_folds_have_the_sizes_of_scikit_learn() {
    let first = "417641571357366716038414503144400846332121341107843563281408";
    let second = "3110433434303313403003123230320";
    for (text, expected) in [(first, vec![16, 15, 14, 15]), (second, vec![13, 10, 8])] {
        let groups = digits(text);
        for seed in 0..3 {
            let folds = KFold::grouped(expected.len(), &groups).seed(seed).folds().unwrap();
            assert_partition(&folds, groups.len());
            assert_eq!(folds.iter().map(|fold| fold.val.len()).collect::<Vec<_>>(), expected);
            for fold in &folds {
                let is_trained = |group| fold.train.iter().any(|&item| groups[item] == group);
                assert!(fold.val.iter().all(|&item| !is_trained(groups[item])), "a group is in both parts");
            }
        }
    }
}

/// The sizes are those of `KFold(4)` of scikit-learn 1.4.2.
#[test]
fn plain_folds_differ_by_one_item_and_depend_on_the_seed() {
    let folds = |seed| KFold::new(4, 11).seed(seed).folds().unwrap();
    assert_partition(&folds(1), 11);
    assert_eq!(folds(1).iter().map(|fold| fold.val.len()).collect::<Vec<_>>(), [3, 3, 3, 2]);
    assert_eq!(folds(1), folds(1));
    assert_ne!(folds(1), folds(2));
    assert_ne!(
        KFold::stratified(2, digits("00001111")).seed(1).folds().unwrap(),
        KFold::stratified(2, digits("00001111")).seed(2).folds().unwrap()
    );
}

/// Saved runs of a cross-validation rely on it.
#[test]
fn folds_are_stable() {
    let vals = |folds: KFold| folds.folds().unwrap().into_iter().map(|fold| fold.val).collect::<Vec<_>>();
    insta::assert_snapshot!(format!("{:?}", vals(KFold::new(3, 7))), @"[[0, 4, 6], [2, 3], [1, 5]]");
    insta::assert_snapshot!(format!("{:?}", vals(KFold::stratified(2, digits("0011010")))), @"[[0, 1, 3, 5], [2, 4, 6]]");
    insta::assert_snapshot!(format!("{:?}", vals(KFold::grouped(2, digits("0012210")))), @"[[0, 1, 6], [2, 3, 4, 5]]");
}

#[test]
fn a_fold_divides_the_dataset_that_it_was_made_for() {
    let dataset = |items| -> Arc<dyn Dataset<usize>> { Arc::new(InMemDataset::new((0..items).collect())) };
    let fold = &KFold::new(2, 6).folds().unwrap()[0];
    let (train, val) = fold.of(&dataset(6)).unwrap();
    assert_eq!(train.iter().map(std::result::Result::unwrap).collect::<Vec<_>>(), fold.train);
    assert_eq!(val.iter().map(std::result::Result::unwrap).collect::<Vec<_>>(), fold.val);
    let error = fold.of(&dataset(7)).err().unwrap();
    assert_eq!(error.to_string(), "the dataset cannot be split: it has 7 items, but the fold was made for 6");
}

#[test]
fn too_few_items_classes_or_groups_are_refused() {
    let text = |folds: KFold| folds.folds().unwrap_err().to_string();
    assert_eq!(text(KFold::new(1, 5)), "the dataset cannot be split: 1 folds were requested, but at least 2 are needed");
    assert_eq!(text(KFold::new(5, 3)), "the dataset cannot be split: 5 folds need at least 5 items, and there are 3");
    assert!(text(KFold::stratified(3, digits("0011"))).ends_with("3 folds need at least 3 items in the largest class, and there are 2"));
    assert!(text(KFold::grouped(3, digits("00110"))).ends_with("3 folds need at least 3 groups, and there are 2"));
    assert!(text(KFold::stratified(2, Vec::<u8>::new())).ends_with("and there are 0"));
}
