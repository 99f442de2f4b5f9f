//! Ranked documents.

use std::ops::Range;

use stormfire_metrics::retrieval::{RetrievalScore, WithoutRelevant, retrieval};

use crate::support::{cases, check};

#[test]
fn retrieval_equals_torchmetrics() {
    for case in cases("retrieval") {
        for (key, expected) in case.expected() {
            let [name, k, without] = key.split('/').collect::<Vec<_>>()[..] else { panic!("no metric `{key}`") };
            let k = k.parse().unwrap_or(usize::MAX);
            let without = match without {
                "neg" => WithoutRelevant::Zero,
                "pos" => WithoutRelevant::One,
                _ => WithoutRelevant::Skip,
            };
            let of = |rows: Range<usize>| -> RetrievalScore {
                let (scores, relevance) = (case.floats::<1>("scores", &rows, &[]), case.ints::<1>("relevance", &rows));
                let documents = retrieval(&scores, &relevance, &case.ints::<1>("queries", &rows)).unwrap();
                let score = match name {
                    "mrr" => documents.mrr(),
                    "map" => documents.map(),
                    "ndcg" => documents.ndcg(k),
                    "hit_rate" => documents.hit_rate(k),
                    "recall" => documents.recall(k),
                    "precision" => documents.precision(k),
                    _ => panic!("no metric `{key}`"),
                };
                score.without_relevant(without)
            };
            check(&case, key, &expected, of);
        }
    }
}
