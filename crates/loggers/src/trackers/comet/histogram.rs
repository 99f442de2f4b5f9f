//! Histograms in Comet's format.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::Histogram;

const START: f64 = 1e-12;
const STOP: f64 = 1e20;
const STEP: f64 = 1.1;

/// The bounds of Comet's buckets. They are computed by the same products as in its own `Histogram`.
static BOUNDS: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let positive: Vec<f64> = std::iter::successors(Some(START), |bound| Some(bound * STEP)).take_while(|bound| *bound <= STOP).collect();
    let negative = positive.iter().rev().map(|bound| -bound);
    let outer = |bound: f64| std::iter::once(bound);
    outer(f64::NEG_INFINITY).chain(negative).chain([0.0]).chain(positive.iter().copied()).chain(outer(f64::INFINITY)).collect()
});

/// Comet's JSON of a histogram. Its buckets are fixed. A count is added to the bucket that contains the middle of its
/// original bucket.
pub(super) fn of(histogram: &Histogram) -> Value {
    let bounds = &*BOUNDS;
    let mut counts = vec![0.0; bounds.len() - 1];
    let mut left = histogram.stats().min.min(histogram.limits().first().copied().unwrap_or_default());
    for (&right, &count) in histogram.limits().iter().zip(histogram.counts()) {
        let middle = left / 2.0 + right / 2.0;
        let bucket = bounds.partition_point(|bound| *bound <= middle).saturating_sub(1).min(counts.len() - 1);
        counts[bucket] += count;
        left = right;
    }
    let whole = |count: f64| if count.fract() == 0.0 { json!(count as u64) } else { json!(count) };
    let found = counts.iter().enumerate().filter(|(_, count)| **count > 0.0);
    let index_values: Vec<Value> = found.map(|(index, count)| json!([index, whole(*count)])).collect();
    json!({"version": 2, "index_values": index_values, "values": null, "offset": 0, "start": START, "stop": STOP, "step": STEP})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HistogramStats;

    #[test]
    fn counts_are_in_the_buckets_that_comets_own_client_takes() {
        let samples = Histogram::from_samples([-1.0, 0.0, 1.0, 2.0, 2.0]).unwrap();
        // The counts of the same samples by `comet_ml.data_structure.Histogram` without numpy.
        assert_eq!(of(&samples)["index_values"], json!([[484, 1], [775, 1], [1065, 1], [1073, 2]]));
        let stats = HistogramStats { min: 0.5, max: 4.0, sum: 6.0, sum_squares: 20.0 };
        let wide = Histogram::from_counts(vec![1.0, 4.0], vec![2.5, 1.0], stats).unwrap();
        let counts = of(&wide);
        let total: f64 = counts["index_values"].as_array().unwrap().iter().map(|pair| pair[1].as_f64().unwrap()).sum();
        assert!((total - 3.5).abs() < 1e-9, "{counts}");
    }
}
