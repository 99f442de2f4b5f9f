//! Counts, scores of counts, confusion matrices.

use std::ops::Range;

use stormfire_metrics::classification::{
    Average, Binary, Confusion, Counts, KappaWeights, Multiclass, Multilabel, Normalize, Score, exact_match,
};

use crate::support::{Case, cases, check};

/// A score, by the name of its function in torchmetrics.
fn score(counts: &Counts, name: &str) -> Option<Score> {
    Some(match name {
        "precision" => counts.precision(),
        "recall" => counts.recall(),
        "specificity" => counts.specificity(),
        "negative_predictive_value" => counts.negative_predictive_value(),
        "f1_score" => counts.f1(),
        "f_beta" => counts.f_beta(2.0),
        "accuracy" => counts.accuracy(),
        "hamming_distance" => counts.hamming_distance(),
        "jaccard_index" => counts.jaccard(),
        "balanced_accuracy" => counts.balanced_accuracy(),
        _ => return None,
    })
}

fn average(name: &str) -> Average {
    match name {
        "micro" => Average::Micro,
        "macro" => Average::Macro,
        "weighted" => Average::Weighted,
        other => panic!("no average {other}"),
    }
}

/// Compares what is made of counts. Returns false for another key.
fn check_counts(case: &Case, key: &str, expected: &[f64], counts: impl Fn(Range<usize>) -> Counts) -> bool {
    if key == "stat_scores" {
        check(case, key, expected, |rows| counts(rows).stat_scores());
        return true;
    }
    let (zero, rest): (f64, &str) = match key.strip_prefix("zero_").and_then(|key| key.split_once('/')) {
        Some((value, rest)) => (value.parse().unwrap(), rest),
        None => (0.0, key),
    };
    let (name, how) = rest.split_once('/').unwrap_or((rest, "micro"));
    let of = |rows| score(&counts(rows), name).map(|score| score.zero_division(zero));
    if of(0..0).is_none() {
        return false;
    }
    match how {
        "none" => check(case, key, expected, |rows| of(rows).unwrap().per_class()),
        how => check(case, key, expected, |rows| of(rows).unwrap().average(average(how))),
    }
    true
}

/// Compares what is made of a confusion matrix. Returns false for another key.
fn check_confusion(case: &Case, key: &str, expected: &[f64], confusion: impl Fn(Range<usize>) -> Confusion) -> bool {
    let normalize = match key {
        "mcc" => {
            check(case, key, expected, |rows| confusion(rows).mcc());
            return true;
        }
        "kappa/none" | "kappa/linear" | "kappa/quadratic" => {
            let weights = match key {
                "kappa/none" => KappaWeights::None,
                "kappa/linear" => KappaWeights::Linear,
                _ => KappaWeights::Quadratic,
            };
            check(case, key, expected, |rows| confusion(rows).kappa(weights));
            return true;
        }
        "confusion/none" => Normalize::None,
        "confusion/true" => Normalize::Targets,
        "confusion/pred" => Normalize::Predictions,
        "confusion/all" => Normalize::All,
        _ => return false,
    };
    check(case, key, expected, |rows| confusion(rows).normalize(normalize));
    true
}

#[test]
fn multiclass_equals_torchmetrics() {
    for case in cases("multiclass") {
        let classes = case.number("classes") as usize;
        let of = |rows: Range<usize>| {
            let scores = case.floats::<2>("scores", &rows, &[classes]);
            let batch = Multiclass::from_logits(&scores, &case.ints::<1>("targets", &rows)).unwrap();
            case.ignore_index().map_or(batch.clone(), |index| batch.ignore_index(index))
        };
        for (key, expected) in case.expected() {
            let (k, rest) = match key.strip_prefix("top_").and_then(|key| key.split_once('/')) {
                Some((k, rest)) => (k.parse().unwrap(), rest),
                None => (1, key),
            };
            let of = |rows| of(rows).top_k(k).unwrap();
            let known = check_counts(&case, rest, &expected, |rows| of(rows).counts())
                || check_confusion(&case, rest, &expected, |rows| of(rows).confusion());
            assert!(known, "no metric `{key}`");
        }
    }
}

#[test]
fn binary_equals_torchmetrics() {
    for case in cases("binary") {
        let of = |rows: Range<usize>| {
            let scores = case.floats::<1>("scores", &rows, &[]);
            let batch = Binary::from_logits(&scores, &case.ints::<1>("targets", &rows)).unwrap().threshold(case.number("threshold"));
            case.ignore_index().map_or(batch.clone(), |index| batch.ignore_index(index))
        };
        for (key, expected) in case.expected() {
            let known = check_counts(&case, key, &expected, |rows| of(rows).counts())
                || check_confusion(&case, key, &expected, |rows| of(rows).confusion());
            assert!(known, "no metric `{key}`");
        }
    }
}

#[test]
fn multilabel_equals_torchmetrics() {
    for case in cases("multilabel") {
        let of = |rows: Range<usize>| {
            let batch = Multilabel::from_logits(&case.floats::<2>("scores", &rows, &[]), &case.ints::<2>("targets", &rows)).unwrap();
            let batch = batch.threshold(case.number("threshold"));
            case.ignore_index().map_or(batch.clone(), |index| batch.ignore_index(index))
        };
        for (key, expected) in case.expected() {
            if key == "exact_match" {
                check(&case, key, &expected, |rows| exact_match(&of(rows)));
                continue;
            }
            let known = check_counts(&case, key, &expected, |rows| of(rows).counts())
                || check_confusion(&case, key, &expected, |rows| of(rows).confusion());
            assert!(known, "no metric `{key}`");
        }
    }
}
