//! Tests of windows of batches that may be skipped.

use super::*;

/// Logs the number of skipped batches, as the end of an epoch does.
fn count_skipped(store: &mut LogStore) {
    {
        let _scope = scope::enter(Hook::TrainEpochEnd, Moment::default());
        store.log_skipped_batches();
    }
    let mut records = Vec::new();
    record::take_records(&mut records).unwrap();
    store.record(RunningStage::Train, &mut records, ONE).unwrap();
}

#[test]
fn a_window_that_is_left_out_is_in_no_mean() {
    let mut store = LogStore::new(Keeps::All, true);
    let batch = |store: &mut LogStore, value: f64, closes, is_skipped| {
        train(store, || {
            log("mean", value).on_epoch(true);
            log("sum", value).on_step(false).on_epoch(true).reduce_fx(log::ReduceFx::Sum);
            log("max", value).on_step(false).on_epoch(true).reduce_fx(log::ReduceFx::Max);
            log("metric", stormfire_metrics::aggregation::Mean::new(value, 1.0)).on_step(false).on_epoch(true);
            let largest = log::ReduceFx::Custom { name: "largest", reduce: |all| all.max() };
            log("custom", value).on_step(false).on_epoch(true).reduce_fx(largest);
        });
        store.end_batch(closes, is_skipped).unwrap();
    };
    let epoch = |store: &mut LogStore, at: Option<usize>| {
        let batches =
            [(1.0, false, false), (3.0, true, false), (9.0, false, false), (f64::NAN, true, true), (4.0, true, false), (0.0, false, false)];
        for (index, (value, closes, is_skipped)) in batches.into_iter().enumerate() {
            if at == Some(index) {
                *store = revived_into(store, LogStore::new(Keeps::All, true));
            }
            batch(store, value, closes, is_skipped);
        }
        // A step shows its current value.
        assert_eq!(store.metric("mean").unwrap().to_bits(), 0.0_f64.to_bits());
        store.reach_epoch_end(RunningStage::Train).unwrap();
        count_skipped(store);
        store.end_epoch(RunningStage::Train).unwrap().merged()
    };
    let right = [("mean_epoch", 2.0), ("sum", 8.0), ("max", 4.0), ("metric", 2.0), ("custom", 4.0), ("skipped_batches", 2.0)];
    for at in [None, Some(0), Some(1), Some(2), Some(3), Some(4), Some(5)] {
        assert_eq!(epoch(&mut store, at), right.into(), "checkpoint before batch {at:?}");
    }
    // After an epoch with skipped batches, every epoch logs their number, even if it is 0.
    batch(&mut store, 1.0, true, false);
    store.reach_epoch_end(RunningStage::Train).unwrap();
    count_skipped(&mut store);
    assert_eq!(store.metric("skipped_batches").unwrap().to_bits(), 0.0_f64.to_bits());
}

/// A value that is not logged again after a checkpoint is counted or skipped as if there had been no checkpoint.
#[test]
fn a_window_counts_also_if_its_values_are_not_logged_again() {
    let some = |store: &mut LogStore, value: f64| {
        train(store, || {
            for (name, reduce) in [("min", log::ReduceFx::Min), ("max", log::ReduceFx::Max), ("mean", log::ReduceFx::Mean)] {
                log(name, value).on_step(false).on_epoch(true).reduce_fx(reduce);
            }
            log("metric", stormfire_metrics::aggregation::Mean::new(value, 1.0)).on_step(false).on_epoch(true);
            let range = log::ReduceFx::Custom { name: "range", reduce: |all| all.clone().max() - all.min() };
            log("range", value).on_step(false).on_epoch(true).reduce_fx(range);
        });
    };
    // The window of the last values may be skipped, and so may a later one without values.
    let epoch = |saved: bool, last: f64, is_skipped: [bool; 2], again: Option<f64>| {
        let mut store = LogStore::new(Keeps::All, true);
        some(&mut store, 2.0);
        store.end_batch(true, false).unwrap();
        some(&mut store, last);
        for _ in 0..if saved { 2 } else { 0 } {
            store = revived_into(&mut store, LogStore::new(Keeps::All, true));
        }
        for is_skipped in is_skipped {
            store.end_batch(true, is_skipped).unwrap();
            if saved {
                store = revived_into(&mut store, LogStore::new(Keeps::All, true));
            }
        }
        if let Some(value) = again {
            some(&mut store, value);
        }
        store_end(&mut store, RunningStage::Train).merged()
    };
    let right = [("min", 1.0), ("max", 2.0), ("mean", 1.5), ("metric", 1.5), ("range", 1.0)];
    assert_eq!(epoch(false, 1.0, [false, true], None), right.into());
    for last in [1.0, 5.0, f64::NEG_INFINITY] {
        for is_skipped in [[false, false], [false, true], [true, false], [true, true]] {
            for again in [None, Some(3.0)] {
                let bits = |saved| epoch(saved, last, is_skipped, again).iter().map(|(_, value)| value.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(true), bits(false), "{last}, skipped {is_skipped:?}, {again:?}");
            }
        }
    }
}
