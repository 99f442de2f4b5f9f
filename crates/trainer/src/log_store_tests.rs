//! Tests of the store's rules: slots, order of commits, ends of epochs, loaders.

use burn::tensor::{Device, Int, Tensor};
use stormfire_checkpoint::Snapshot;
use stormfire_metrics::classification::Multiclass;
use stormfire_module::{Hook, for_trainer::scope, log, log::capture, moment::Moment, state};
use stormfire_values::read::{DistantCpu, device_reads};

use super::*;
use crate::log_state::{LogState, METRICS_FOLDER, Pending};

#[cfg(test)]
#[path = "log_store/window_tests.rs"]
mod windows;

const ONE: BatchInfo = BatchInfo { items: Some(1), num_dataloaders: 1 };
const TWO_LOADERS: BatchInfo = BatchInfo { items: Some(1), num_dataloaders: 2 };

/// Logs in a hook, with a current batch of one loader.
fn record(store: &mut LogStore, hook: Hook, batch: BatchInfo, dataloader_idx: usize, code: impl FnOnce()) -> Result<()> {
    let _outer = scope::enter(hook, Moment { dataloader_idx, ..Moment::default() });
    let ((), mut captured) = capture(hook, code)?;
    let of = if hook.name().contains("validation") { RunningStage::Validate } else { RunningStage::Train };
    Ok(store.record(of, &mut captured.records, batch)?)
}

fn train(store: &mut LogStore, code: impl FnOnce()) {
    record(store, Hook::TrainingStep, ONE, 0, code).unwrap();
}

fn validate(store: &mut LogStore, dataloader_idx: usize, code: impl FnOnce()) {
    record(store, Hook::ValidationStep, TWO_LOADERS, dataloader_idx, code).unwrap();
}

fn known(store: &mut LogStore) -> Vec<(String, f64)> {
    store.names().into_iter().map(|name| (name.clone(), store.metric(&name).unwrap())).collect()
}

fn named(values: &[(&str, f64)]) -> Vec<(String, f64)> {
    values.iter().map(|(name, value)| ((*name).to_string(), *value)).collect()
}

#[test]
fn a_name_has_one_slot_in_any_order() {
    let mut store = LogStore::default();
    for names in [["a", "b", "c"], ["a", "b", "c"], ["c", "a", "b"], ["b", "b", "a"]] {
        train(&mut store, || {
            for name in names {
                log(name, 1.0).on_epoch(true).reduce_fx(log::ReduceFx::Sum);
            }
        });
    }
    assert_eq!(store.train.slots.len(), 3);
    let metrics = store_end(&mut store, RunningStage::Train).merged();
    assert_eq!(metrics, [("a_epoch", 4.0), ("b_epoch", 5.0), ("c_epoch", 3.0)].into());
}

#[test]
fn the_cursor_expects_the_order_of_the_last_step() {
    let mut store = LogStore::default();
    for expected in [0, 0] {
        train(&mut store, || {
            log("a", 1.0);
            log("b", 1.0);
        });
        // The step has ended. The next one starts with the first name again.
        assert_eq!(store.train.cursor, expected);
    }
    train(&mut store, || drop(log("a", 1.0)));
    assert_eq!(store.train.cursor, 1);
    train(&mut store, || drop(log("c", 1.0)));
    assert_eq!((store.train.cursor, store.train.slots.len()), (0, 3));
}

#[test]
fn hooks_and_loaders_have_separate_slots() {
    let mut store = LogStore::default();
    train(&mut store, || drop(log("x", 1.0)));
    record(&mut store, Hook::TrainBatchEnd, ONE, 0, || drop(log("x", 2.0))).unwrap();
    assert_eq!(store.train.slots.len(), 2);
    for dataloader_idx in [0, 1, 0, 1] {
        validate(&mut store, dataloader_idx, || drop(log("x", 3.0)));
    }
    assert_eq!(store.evaluation.slots.len(), 2);
}

#[test]
fn a_name_without_a_suffix_belongs_to_one_loader() {
    let mut store = LogStore::default();
    let mut own = |dataloader_idx, name: &'static str| {
        record(&mut store, Hook::ValidationStep, TWO_LOADERS, dataloader_idx, || drop(log(name, 1.0).add_dataloader_idx(false)))
    };
    own(0, "a").unwrap();
    own(1, "b").unwrap();
    own(0, "a").unwrap();
    let twice = own(1, "a").unwrap_err();
    assert!(matches!(&twice, Error::Log(LogError::Twice { name, hook: Hook::ValidationStep }) if name == "a"), "{twice}");
}

/// Ends an epoch in the same way as the loop.
fn store_end(store: &mut LogStore, of: RunningStage) -> EpochMetrics {
    store.reach_epoch_end(of).unwrap();
    store.end_epoch(of).unwrap()
}

#[test]
fn the_epochs_value_is_newer_than_the_last_steps() {
    for looked in [false, true] {
        let mut store = LogStore::default();
        for value in [1.0, 2.0] {
            train(&mut store, || drop(log("x", value).on_epoch(true)));
        }
        if looked {
            assert_eq!(known(&mut store), named(&[("x_step", 2.0), ("x", 2.0)]));
        }
        store.reach_epoch_end(RunningStage::Train).unwrap();
        assert_eq!(known(&mut store), named(&[("x_step", 2.0), ("x", 1.5), ("x_epoch", 1.5)]));
        assert_eq!(store.end_epoch(RunningStage::Train).unwrap().merged(), [("x_epoch", 1.5)].into());
        train(&mut store, || drop(log("x", 8.0).on_epoch(true)));
        assert_eq!(known(&mut store), named(&[("x_step", 8.0), ("x", 8.0), ("x_epoch", 1.5)]));
    }
}

#[test]
fn the_later_of_two_slots_with_one_name_wins() {
    let mut store = LogStore::default();
    for _ in 0..2 {
        train(&mut store, || drop(log("x", 1.0)));
        record(&mut store, Hook::TrainBatchEnd, ONE, 0, || drop(log("x", 2.0))).unwrap();
        assert_eq!(known(&mut store), named(&[("x", 2.0)]));
    }
    // Only one of them arrived: it is the newer one.
    train(&mut store, || drop(log("x", 3.0)));
    assert_eq!(known(&mut store), named(&[("x", 3.0)]));
}

#[test]
fn values_logged_at_the_end_of_an_epoch_belong_to_it() {
    let mut store = LogStore::default();
    train(&mut store, || drop(log("x", 1.0).on_epoch(true)));
    store.reach_epoch_end(RunningStage::Train).unwrap();
    record(&mut store, Hook::TrainEpochEnd, ONE, 0, || drop(log("end", 2.0))).unwrap();
    assert_eq!(store.names(), ["x_step", "x", "x_epoch", "end"]);
    assert_eq!(store.end_epoch(RunningStage::Train).unwrap().merged(), [("x_epoch", 1.0), ("end", 2.0)].into());
    assert!(store_end(&mut store, RunningStage::Train).merged().is_empty());
}

#[test]
fn an_evaluation_shows_its_steps_before_its_end() {
    let mut store = LogStore::default();
    train(&mut store, || drop(log("x", 1.0)));
    validate(&mut store, 0, || drop(log("val", 2.0).on_step(true)));
    assert_eq!(known(&mut store), named(&[("x", 1.0), ("val_step/dataloader_idx_0", 2.0), ("val/dataloader_idx_0", 2.0)]));
    validate(&mut store, 0, || drop(log("val", 4.0).on_step(true)));
    store.reach_epoch_end(RunningStage::Validate).unwrap();
    // A training metric that arrives in between is still the value of a step.
    train(&mut store, || drop(log("y", 3.0).on_epoch(true)));
    let (of_val, of_y) = ([("val_step/dataloader_idx_0", 4.0), ("val/dataloader_idx_0", 3.0)], [("y_step", 3.0), ("y", 3.0)]);
    let all = [&[("x", 1.0)][..], &of_val, &of_y, &[("val_epoch/dataloader_idx_0", 3.0)]].concat();
    assert_eq!(known(&mut store), named(&all));
}

#[test]
fn the_metrics_of_an_epoch_come_by_loader() {
    let mut store = LogStore::default();
    for (dataloader_idx, value) in [(0, 1.0), (0, 2.0), (1, 5.0)] {
        validate(&mut store, dataloader_idx, || {
            log("x", value);
            log("hidden", value).logger(false);
            log("step_only", value).on_step(true).on_epoch(false);
        });
    }
    record(&mut store, Hook::ValidationEpochEnd, TWO_LOADERS, 0, || drop(log("all", 7.0))).unwrap();
    let metrics = store_end(&mut store, RunningStage::Validate);
    let (first, second) = (("x/dataloader_idx_0", 1.5), ("x/dataloader_idx_1", 5.0));
    assert_eq!(metrics.merged(), [first, second, ("all", 7.0)].into());
    assert_eq!(metrics.by_loader(3), [[first, ("all", 7.0)].into(), [second, ("all", 7.0)].into(), Metrics::from([("all", 7.0)])]);
    assert!(metrics.by_loader(0).is_empty());
}

#[test]
fn step_metrics_are_those_of_the_loader_at_hand() {
    let mut store = LogStore::default();
    assert!(store.step_metrics(RunningStage::Validate, 0).is_none());
    validate(&mut store, 1, || drop(log("x", 1.0).on_step(true)));
    assert!(store.step_metrics(RunningStage::Validate, 0).is_none());
    assert!(store.step_metrics(RunningStage::Validate, 1).is_some());
    assert!(store.step_metrics(RunningStage::Train, 0).is_none());
}

#[test]
fn many_values_are_one_read_and_none_before_a_request() {
    let _distant = DistantCpu::new();
    let mut store = LogStore::default();
    let start = device_reads();
    let tensor = |value: f64| burn::tensor::Tensor::<1>::full([1], value, &burn::tensor::Device::flex());
    for value in [1.0, 2.0] {
        train(&mut store, || {
            for name in ["a", "b", "c"] {
                log(name, tensor(value)).on_epoch(true).prog_bar(name == "a");
            }
        });
    }
    assert!(store.step_metrics(RunningStage::Train, 0).is_some());
    store.progress_bar_metrics();
    assert_eq!(store.names().len(), 6);
    assert_eq!(device_reads() - start, 0);
    assert_eq!(known(&mut store)[..2], named(&[("a_step", 2.0), ("a", 2.0)]));
    assert_eq!(device_reads() - start, 1);
    let metrics = store_end(&mut store, RunningStage::Train).merged();
    assert_eq!(metrics, [("a_epoch", 1.5), ("b_epoch", 1.5), ("c_epoch", 1.5)].into());
    assert_eq!(device_reads() - start, 2);
}

#[test]
fn logger_monitor_and_bar_share_what_is_read() {
    let _distant = DistantCpu::new();
    let value = || Tensor::<1>::full([1], 0.5, &Device::flex());
    for bar_first in [false, true] {
        let mut store = LogStore::default();
        train(&mut store, || drop(log("a", value()).prog_bar(true)));
        if bar_first {
            let _ = store.progress_bar_metrics();
        }
        let bundle = store.step_metrics(RunningStage::Train, 0).unwrap();
        let start = device_reads();
        assert_eq!(bundle.metrics().unwrap(), [("a", 0.5)].into());
        assert_eq!(store.progress_bar_metrics(), [("a".to_string(), Some(0.5))]);
        assert_eq!(known(&mut store), named(&[("a", 0.5)]));
        // The thread of the progress bar may have been faster.
        assert!(device_reads() - start <= 1);
    }
}

#[test]
fn many_names_keep_their_order_and_values() {
    let mut store = LogStore::default();
    let names: Vec<String> = (0..10_000).map(|i| format!("name_{}", i * 7919 % 10_000)).collect();
    for step in 0..3 {
        train(&mut store, || {
            // Not in the order of the previous step.
            let turned = names[step..].iter().chain(&names[..step]);
            turned.for_each(|name| drop(log(name.clone(), step).on_epoch(true).prog_bar(true)));
        });
        assert_eq!(store.progress_bar_metrics().len(), names.len());
        let metrics = store.step_metrics(RunningStage::Train, 0).unwrap().metrics().unwrap();
        assert!(
            metrics
                .iter()
                .zip(&names)
                .all(|((name, value), expected)| name == format!("{expected}_step") && (value - step as f64).abs() < 1e-12)
        );
    }
    let metrics = store_end(&mut store, RunningStage::Train).merged();
    assert!(metrics.iter().map(|(name, value)| (name.to_owned(), value)).eq(names.iter().map(|name| (format!("{name}_epoch"), 1.0))));
    assert_eq!(store.newest().unwrap().len(), 3 * names.len());
}

#[test]
fn the_last_value_of_a_name_wins() {
    for looked in [false, true] {
        let mut store = LogStore::default();
        let end = |store: &mut LogStore, value: f64| record(store, Hook::TrainBatchEnd, ONE, 0, || drop(log("x", value))).unwrap();
        end(&mut store, 1.0);
        train(&mut store, || drop(log("x", 2.0)));
        assert_eq!(known(&mut store), named(&[("x", 2.0)]));
        // In reverse order, and the names as before.
        train(&mut store, || {
            log("x", 3.0);
            log("y", 3.0);
        });
        if looked {
            assert_eq!(known(&mut store), named(&[("x", 3.0), ("y", 3.0)]));
        }
        end(&mut store, 4.0);
        assert_eq!(known(&mut store), named(&[("x", 4.0), ("y", 3.0)]));
        store.insert("x", 5.0);
        assert_eq!(known(&mut store), named(&[("x", 5.0), ("y", 3.0)]));
    }
}

#[test]
fn a_cleared_store_knows_nothing() {
    let mut store = LogStore::default();
    train(&mut store, || drop(log("x", 1.0).prog_bar(true)));
    store.insert("score", 2.0);
    assert_eq!(known(&mut store).len(), 2);
    store.clear();
    assert!(store.names().is_empty() && store.progress_bar_metrics().is_empty());
    // The options of the previous run do not apply to the next one.
    train(&mut store, || drop(log("x", 1.0).prog_bar(false)));
}

/// A store after a checkpoint: its numbers are written as JSON and read back.
fn revived(store: &mut LogStore) -> LogStore {
    revived_into(store, LogStore::default())
}

fn revived_into(store: &mut LogStore, mut revived: LogStore) -> LogStore {
    let mut pending = Pending::default();
    let mut state = store.state(&mut pending);
    let mut snapshot = Snapshot::default();
    pending.add_to(&mut snapshot);
    let values: Vec<_> = snapshot.read().unwrap().into_iter().map(|(_, data)| data).collect();
    state.fill(&values).unwrap();
    let mut arrays = Snapshot::default();
    state.move_arrays("", &mut arrays);
    let arrays = arrays.read().unwrap().into_iter().map(|(name, data)| (name[METRICS_FOLDER.len()..].to_owned(), data));
    let text = state::save::<_, state::Value>(&state).unwrap().to_string();
    let mut read = LogState::default();
    state::load(&mut read, serde_json::from_str::<state::Value>(&text).unwrap()).unwrap();
    read.take_arrays(&mut arrays.collect());
    revived.restore(&read, &Device::flex()).unwrap();
    revived
}

fn log_everything(step: u32) {
    let device = Device::flex();
    let value = |factor: f32| Tensor::<1>::from_floats([factor / (step as f32 + 3.0)], &device);
    log("mean", value(1.1)).on_epoch(true).batch_size(if step % 3 == 2 { 5 } else { 8 });
    log("sum", value(0.7)).on_epoch(true).reduce_fx(log::ReduceFx::Sum).prog_bar(true);
    log("max", value(-0.7)).on_epoch(true).reduce_fx(log::ReduceFx::Max);
    log("host", 0.1 * f64::from(step)).on_epoch(true).reduce_fx(log::ReduceFx::Min);
    log("range", value(3.0))
        .on_step(false)
        .on_epoch(true)
        .reduce_fx(log::ReduceFx::Custom { name: "range", reduce: |all| all.clone().max() - all.min() });
    log("metric", stormfire_metrics::aggregation::Mean::new(value(0.3), f64::from(step + 1))).on_epoch(true);
    let scores = Tensor::<2>::from_floats([[0.2, 0.8 / (step as f32 + 1.0)], [0.7, 0.3]], &device);
    let batch = Multiclass::from_logits(&scores, &Tensor::<1, Int>::from_ints([step % 2, 1], &device)).unwrap();
    log("f1", batch.counts().f1().per_class()).on_epoch(true);
    log("auroc", batch.exact_curves().auroc()).on_step(false).on_epoch(true);
    log("calibration", batch.calibration(4).unwrap());
    if step == 1 {
        log("seldom", stormfire_metrics::aggregation::Mean::new(value(0.9), 3.0)).on_step(false).on_epoch(true);
        log("confusion", batch.confusion());
        log("nan", f64::NAN);
    }
}

/// With weights, sums, unfinished metrics and pending values: after a checkpoint at any step the epoch ends with the
/// same bits, wherever the values are.
#[test]
fn a_checkpoint_changes_no_bit_of_what_is_logged() {
    let at_hand = bits_with_and_without_checkpoints();
    let distant = {
        let _distant = DistantCpu::new();
        bits_with_and_without_checkpoints()
    };
    assert_eq!(at_hand.len(), distant.len());
    let _distant = DistantCpu::without_f64();
    bits_with_and_without_checkpoints();
}

fn bits_with_and_without_checkpoints() -> Vec<(String, u64)> {
    let bits = |metrics: &Metrics| metrics.iter().map(|(name, value)| (name.to_string(), value.to_bits())).collect::<Vec<_>>();
    let epoch = |store: &mut LogStore, from: u32| {
        for step in from..7 {
            train(store, || log_everything(step));
        }
        let known: Vec<_> = known(store).into_iter().map(|(name, value)| (name, value.to_bits())).collect();
        let end = store_end(store, RunningStage::Train);
        assert_eq!(end.pictures.len(), 2);
        (known, bits(&end.merged()), end.pictures)
    };
    let uninterrupted = epoch(&mut LogStore::default(), 0);
    assert!(uninterrupted.1.iter().any(|(name, _)| name == "seldom"));
    for at in 0..=7 {
        let mut store = LogStore::default();
        for step in 0..at {
            train(&mut store, || log_everything(step));
        }
        // Twice, so that unchanged values survive as well.
        let mut store = revived(&mut revived(&mut store));
        assert_eq!(epoch(&mut store, at), uninterrupted, "checkpoint after {at} steps");
    }
    uninterrupted.1
}

/// `2^24` and one more, from a function of the user's.
#[test]
fn a_function_of_all_values_gets_them_in_f64() {
    let sum = log::ReduceFx::Custom { name: "sum", reduce: Tensor::sum };
    let value = |value: f32| Tensor::<1>::from_floats([value], &Device::flex());
    let total = |is_saved: bool| {
        let mut store = LogStore::default();
        for of in [16_777_216.0, 1.0] {
            train(&mut store, || drop(log("sum", value(of)).on_step(false).on_epoch(true).reduce_fx(sum)));
            if is_saved {
                store = revived(&mut store);
            }
        }
        store_end(&mut store, RunningStage::Train).merged().get("sum")
    };
    let both = || [total(false), total(true)];
    assert_eq!(both(), [Some(16_777_217.0); 2]);
    let _distant = DistantCpu::without_f64();
    let before = device_reads();
    assert_eq!(both(), [Some(16_777_217.0); 2]);
    // A checkpoint has the value of its moment, which needs no second read.
    assert_eq!(device_reads() - before, 1, "one read for an epoch");
}

#[test]
fn a_value_in_waiting_is_sent_once_after_a_checkpoint() {
    let mut store = LogStore::default();
    train(&mut store, || drop(log("a", 1.0)));
    let mut store = revived(&mut store);
    assert!(store.step_metrics(RunningStage::Train, 0).is_some());
    assert!(store.step_metrics(RunningStage::Train, 0).is_none());
    assert!(revived(&mut store).step_metrics(RunningStage::Train, 0).is_none());
}

#[test]
fn another_kind_of_metric_than_in_the_checkpoint_is_refused_by_name() {
    let mut store = LogStore::default();
    train(&mut store, || drop(log("a", stormfire_metrics::aggregation::Mean::new(1.0, 2.0)).on_epoch(true)));
    let mut store = revived(&mut store);
    let error = record(&mut store, Hook::TrainingStep, ONE, 0, || drop(log("a", 1.0).on_epoch(true))).unwrap_err();
    insta::assert_snapshot!(error, @"`a` in `training_step` is of another kind than in the checkpoint that the run resumes from");
}

#[test]
fn stale_names_are_known_after_a_restart() {
    let mut store = LogStore::default();
    validate(&mut store, 0, || drop(log::log("val", 1.0)));
    store.reach_epoch_end(RunningStage::Validate).unwrap();
    let _ = store.end_epoch(RunningStage::Validate).unwrap();
    train(&mut store, || drop(log::log("loss", 1.0)));
    let stale = |store: &mut LogStore| ["val/dataloader_idx_0", "loss", "unknown"].map(|name| store.is_stale(name));
    assert_eq!(stale(&mut store), [false; 3]);
    store.start_epoch();
    train(&mut store, || drop(log::log("loss", 2.0)));
    assert_eq!(stale(&mut store), [true, false, false]);
    let mut restored = LogStore::default();
    restored.restore(&store.state(&mut Pending::default()), &Device::flex()).unwrap();
    assert_eq!(stale(&mut restored), [true, false, false]);
    restored.start_epoch();
    assert_eq!(stale(&mut restored), [true, true, false]);
    validate(&mut restored, 0, || drop(log::log("val", 2.0)));
    restored.reach_epoch_end(RunningStage::Validate).unwrap();
    assert_eq!(stale(&mut restored), [false, true, false]);
}
