//! Curves, the areas below them, calibration.

use std::ops::Range;

use stormfire_metrics::classification::{Average, Binary, Binned, Calibration, CalibrationNorm, Exact, Multiclass, Multilabel, Ranking};

use crate::support::{Case, cases, check};

/// Compares what is made of a ranking. `$of` makes it from rows.
macro_rules! check_ranking {
    ($case:expr, $key:expr, $expected:expr, $of:expr) => {{
        let (case, key, expected, of) = ($case, $key, $expected, $of);
        let (kind, how) = key.split_once('/').unwrap_or((key, ""));
        let average = match how {
            "micro" => Average::Micro,
            "weighted" => Average::Weighted,
            _ => Average::Macro,
        };
        match (kind, how) {
            ("roc", _) => check(case, key, expected, |rows| of(rows).roc()),
            ("precision_recall", _) => check(case, key, expected, |rows| of(rows).precision_recall()),
            ("auroc", "none") => check(case, key, expected, |rows| of(rows).auroc().per_class()),
            ("auroc", rate) if rate.parse::<f64>().is_ok() => {
                check(case, key, expected, |rows| of(rows).auroc().max_fpr(rate.parse().unwrap()).unwrap());
            }
            ("auroc", _) => check(case, key, expected, |rows| of(rows).auroc().average(average)),
            ("average_precision", "none") => check(case, key, expected, |rows| of(rows).average_precision().per_class()),
            ("average_precision", _) => check(case, key, expected, |rows| of(rows).average_precision().average(average)),
            _ => panic!("no metric `{key}`"),
        }
    }};
}

fn check_all(
    case: &Case,
    binned: impl Fn(Range<usize>) -> Binned,
    exact: impl Fn(Range<usize>) -> Exact,
    calibration: impl Fn(Range<usize>) -> Calibration,
) {
    for (key, expected) in case.expected() {
        let (how, rest) = key.split_once('/').unwrap();
        match how {
            "binned" => check_ranking!(case, rest, &expected, &binned),
            "exact" => check_ranking!(case, rest, &expected, &exact),
            "calibration" => {
                let norm = match rest {
                    "l1" => CalibrationNorm::L1,
                    "l2" => CalibrationNorm::L2,
                    _ => CalibrationNorm::Max,
                };
                check(case, key, &expected, |rows| calibration(rows).error(norm));
            }
            _ => panic!("no metric `{key}`"),
        }
    }
}

#[test]
fn curves_of_binary_scores_equal_those_of_others() {
    for case in cases("binary_ranking") {
        let of = |rows: Range<usize>| {
            let batch = Binary::from_probabilities(&case.floats::<1>("scores", &rows, &[]), &case.ints::<1>("targets", &rows)).unwrap();
            case.ignore_index().map_or(batch.clone(), |index| batch.ignore_index(index))
        };
        let bins = case.number("bins") as usize;
        check_all(&case, |rows| of(rows).curves(bins).unwrap(), |rows| of(rows).exact_curves(), |rows| of(rows).calibration(15).unwrap());
    }
}

#[test]
fn curves_of_classes_equal_those_of_others() {
    for case in cases("multiclass_ranking") {
        let classes = case.number("classes") as usize;
        let of = |rows: Range<usize>| {
            let scores = case.floats::<2>("scores", &rows, &[classes]);
            let batch = Multiclass::from_logits(&scores, &case.ints::<1>("targets", &rows)).unwrap();
            case.ignore_index().map_or(batch.clone(), |index| batch.ignore_index(index))
        };
        let bins = case.number("bins") as usize;
        check_all(&case, |rows| of(rows).curves(bins).unwrap(), |rows| of(rows).exact_curves(), |rows| of(rows).calibration(10).unwrap());
        assert_eq!(of(0..1).exact_curves().names().len(), classes);
    }
}

#[test]
fn curves_of_labels_equal_those_of_others() {
    for case in cases("multilabel_ranking") {
        let of = |rows: Range<usize>| {
            let batch = Multilabel::from_logits(&case.floats::<2>("scores", &rows, &[]), &case.ints::<2>("targets", &rows)).unwrap();
            case.ignore_index().map_or(batch.clone(), |index| batch.ignore_index(index))
        };
        let bins = case.number("bins") as usize;
        let none = |_| unreachable!("labels have no calibration");
        check_all(&case, |rows| of(rows).curves(bins).unwrap(), |rows| of(rows).exact_curves(), none);
    }
}
