//! Batches of similar lengths, compared with fairseq's `batch_by_size`. `xtask/python/data/lengths.py` writes its
//! results.

use serde::Deserialize;

use super::{BatchSampler as _, LengthSampler};

#[derive(Deserialize)]
struct Case {
    lengths: Vec<usize>,
    multiple_of: usize,
    max_tokens: Option<usize>,
    batch_size: Option<usize>,
    /// The rounded lengths of the items of each batch.
    batches: Vec<Vec<usize>>,
}

#[test]
fn batches_of_similar_lengths_are_those_of_fairseq() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("fixtures/fairseq.json")).unwrap();
    assert_eq!(cases.len(), 8);
    for Case { lengths, multiple_of, max_tokens, batch_size, batches: mut expected } in cases {
        let mut sampler = LengthSampler::new(lengths.clone()).multiple_of(multiple_of);
        if let Some(tokens) = max_tokens {
            sampler = sampler.max_tokens(tokens);
        }
        if let Some(items) = batch_size {
            sampler = sampler.batch_size(items);
        }
        sampler.check(lengths.len()).unwrap();
        expected.sort_unstable();
        assert_eq!(sampler.batches(), expected.len(), "{sampler:?}");
        for epoch in 0..3 {
            let order = sampler.order(5, epoch);
            let mut items = order.concat();
            items.sort_unstable();
            assert!(items.into_iter().eq(0..lengths.len()), "each item once: {sampler:?}");
            // The order of batches is random, and so is that of items of one length.
            let rounded =
                |batch: Vec<usize>| -> Vec<usize> { batch.into_iter().map(|item| lengths[item].next_multiple_of(multiple_of)).collect() };
            let mut batches: Vec<Vec<usize>> = order.into_iter().map(rounded).collect();
            batches.sort_unstable();
            assert_eq!(batches, expected, "{sampler:?}");
        }
    }
}
