//! Reductions of the values of an epoch.

use burn::prelude::*;
use insta::assert_snapshot;
use stormfire::{module::log::Entry, prelude::*};

use super::probe::{Probe, check, each_of, on_device, refused};
use crate::support::{Batch, line_data};

/// Three training batches of 3, 3 and 2 items.
fn uneven() -> Loader<Batch> {
    line_data(8, 3)
}

/// The same batches without their sizes.
fn unsized_batches() -> Loader<Batch> {
    let batch = |items: usize| (Tensor::ones([items, 1], &Device::flex()), Tensor::ones([items, 1], &Device::flex()));
    Loader::from_fn(move |_epoch| vec![batch(3), batch(3), batch(2)])
}

/// Logs `x` = 1, 2, 5 in the training steps of one epoch, on the host and on the device. `expected` is the `x` of the
/// epoch.
#[track_caller]
fn reduces(data: fn() -> Loader<Batch>, probe: fn(Probe) -> Probe, refine: fn(Entry) -> Entry, expected: &str) {
    for device in [false, true] {
        let value = each_of([1.0, 2.0, 5.0]);
        let logging = Probe::at(Hook::TrainingStep, move || {
            let value = value();
            let entry = if device { log("x", on_device(value)) } else { log("x", value) };
            drop(refine(entry.on_step(false).on_epoch(true)));
        });
        check(probe(logging), data(), |t| t.max_epochs(1), &[&format!("2: x={expected} epoch=0")]);
    }
}

#[test]
fn a_mean_weights_batches_by_their_items() {
    // (3·1 + 3·2 + 2·5) / 8
    reduces(uneven, |probe| probe, |entry| entry, "2.375");
    reduces(uneven, |probe| probe, |entry| entry.reduce_fx(ReduceFx::Mean), "2.375");
}

#[test]
fn a_given_batch_size_is_the_weight() {
    let (value, items) = (each_of([1.0, 2.0, 5.0]), each_of([1.0, 1.0, 2.0]));
    let probe = Probe::at(Hook::TrainingStep, move || {
        log("x", value()).on_step(false).on_epoch(true).batch_size(items() as usize);
    });
    // (1·1 + 1·2 + 2·5) / 4
    check(probe, uneven(), |t| t.max_epochs(1), &["2: x=3.25 epoch=0"]);
}

#[test]
fn sums_extremes_and_functions_have_no_weights() {
    reduces(uneven, |probe| probe, |entry| entry.reduce_fx(ReduceFx::Sum), "8");
    reduces(uneven, |probe| probe, |entry| entry.reduce_fx(ReduceFx::Sum).batch_size(4), "8");
    reduces(uneven, |probe| probe, |entry| entry.reduce_fx(ReduceFx::Min), "1");
    reduces(uneven, |probe| probe, |entry| entry.reduce_fx(ReduceFx::Max), "5");
    let median = |entry: Entry| entry.reduce_fx(ReduceFx::Custom { name: "median", reduce: |all| all.sort(0).narrow(0, 1, 1) });
    reduces(uneven, |probe| probe, median, "2");
}

#[test]
fn a_loader_can_give_the_batch_size() {
    reduces(unsized_batches, Probe::counting_items, |entry| entry, "2.375");
    let value = each_of([1.0, 2.0, 6.0]);
    let probe = Probe::at(Hook::TrainingStep, move || drop(log("x", value()).on_step(false).on_epoch(true)));
    check(probe, unsized_batches().items_per_batch(2), |t| t.max_epochs(1), &["2: x=3 epoch=0"]);
}

#[test]
fn a_mean_over_batches_of_unknown_size_is_refused() {
    let probe = Probe::at(Hook::TrainingStep, || drop(log("x", 1).on_epoch(true)));
    assert_snapshot!(refused(probe, unsized_batches()), @"
    the batch size for the mean of `x` in `training_step` is unknown
      hint: give it with `.batch_size(n)`, implement `LightningModule::batch_size`, or set `items_per_batch` of the loader
    ");
    let probe = Probe::at(Hook::ValidationStep, || drop(log("x", 1)));
    assert_snapshot!(refused(probe, (line_data(4, 4), unsized_batches())), @"
    the batch size for the mean of `x` in `validation_step` is unknown
      hint: give it with `.batch_size(n)`, implement `LightningModule::batch_size`, or set `items_per_batch` of the loader
    ");
}

#[test]
fn only_means_over_batches_need_a_batch_size() {
    let probe = Probe::new(|hook| match hook {
        Hook::TrainingStep => {
            log("on_step", 1);
            log("sum", 2).on_step(false).on_epoch(true).reduce_fx(ReduceFx::Sum);
            log("mean", 3).on_step(false).on_epoch(true).batch_size(1);
        }
        Hook::TrainEpochEnd => drop(log("end", 4)),
        _ => {}
    });
    check(
        probe,
        unsized_batches(),
        |t| t.max_epochs(1),
        &["0: on_step=1 epoch=0", "1: on_step=1 epoch=0", "2: on_step=1 epoch=0", "2: sum=6 mean=3 end=4 epoch=0"],
    );
}

#[test]
fn a_metric_merges_its_batches() {
    let (items, hits) = (each_of([3.0, 3.0, 2.0]), each_of([0.0, 3.0, 1.0]));
    let probe = Probe::at(Hook::TrainingStep, move || {
        let (items, hits) = (items() as usize, hits() as usize);
        // The model predicts class 1 for every item. The target of the first `hits` items is 1.
        let logits = Tensor::<2>::from_floats([[0.0, 1.0]], &Device::flex()).repeat_dim(0, items);
        let targets: Vec<i64> = (0..items).map(|item| i64::from(item < hits)).collect();
        log("acc", accuracy(&logits, &Tensor::from_ints(targets.as_slice(), &Device::flex()))).on_epoch(true);
    });
    // (0 + 3 + 1) / 8
    let expected = ["0: acc_step=0 epoch=0", "1: acc_step=1 epoch=0", "2: acc_step=0.5 epoch=0", "2: acc_epoch=0.5 epoch=0"];
    check(probe, unsized_batches(), |t| t.max_epochs(1), &expected);
}

#[test]
fn every_epoch_starts_with_empty_reductions() {
    let value = each_of([1.0, 3.0, 10.0, 20.0]);
    let probe = Probe::at(Hook::TrainingStep, move || {
        let value = value();
        log("mean", value).on_step(false).on_epoch(true);
        log("max", -value).on_step(false).on_epoch(true).reduce_fx(ReduceFx::Max);
    });
    check(probe, line_data(8, 4), |t| t.max_epochs(2), &["1: mean=2 max=-1 epoch=0", "3: mean=15 max=-10 epoch=1"]);
}

#[test]
fn a_validation_in_mid_epoch_does_not_change_the_values_of_the_epoch() {
    let (train, val) = (each_of([1.0, 2.0, 3.0, 6.0]), each_of([1.0, 2.0]));
    let probe = Probe::new(move |hook| match hook {
        Hook::TrainingStep => drop(log("x", train()).on_step(false).on_epoch(true)),
        Hook::ValidationStep => drop(log("val_x", val())),
        _ => {}
    });
    let set = |t: Trainer<Probe>| t.max_epochs(1).val_check_interval(Every::Batches(2));
    check(probe, (line_data(16, 4), line_data(4, 4)), set, &["1: val_x=1 epoch=0", "3: val_x=2 epoch=0", "3: x=3 epoch=0"]);
}
