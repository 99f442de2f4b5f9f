//! The events after an error or a panic.

use insta::assert_snapshot;

use super::{batches, recorded};
use crate::recorder::{Act, Record, Recorded};

/// The events of a fit from the line at which `who` misbehaves, and the error of the fit.
fn failing(who: char, line: &'static str, act: Act) -> String {
    let record = Record::acting([(who, line, act)]);
    let error = recorded(&record).fit(Recorded::new(&record), (batches(2), batches(1))).unwrap_err();
    format!("{}=> {error}\n\n", record.from(line))
}

#[test]
fn an_error_in_a_hook_is_followed_by_one_exception_and_the_teardown() {
    let places = [
        ('C', "setup fit"),
        ('M', "on_fit_start"),
        ('C', "on_validation_batch_end l0 b0"),
        ('M', "on_train_batch_start e0 b1"),
        ('S', "on_before_zero_grad SGD"),
        ('C', "on_train_epoch_end e0"),
        ('M', "on_fit_end"),
    ];
    assert_snapshot!(places.map(|(who, line)| failing(who, line, Act::Fail)).concat(), @"
    C   setup fit
    CMS on_exception it went wrong (in `setup` of `Recorder`)
    CMS teardown fit
    => it went wrong (in `setup` of `Recorder`)

    CM  on_fit_start
    CMS on_exception it went wrong (in `on_fit_start` of `Recorded`)
    CMS teardown fit
    => it went wrong (in `on_fit_start` of `Recorded`)

    C   on_validation_batch_end l0 b0
    CMS on_exception it went wrong (in `on_validation_batch_end` of `Recorder`, epoch 0, batch 0)
    CMS teardown fit
    => it went wrong (in `on_validation_batch_end` of `Recorder`, epoch 0, batch 0)

    CM  on_train_batch_start e0 b1
    CMS on_exception it went wrong (in `on_train_batch_start` of `Recorded`, epoch 0, batch 1)
    CMS teardown fit
    => it went wrong (in `on_train_batch_start` of `Recorded`, epoch 0, batch 1)

    CMS on_before_zero_grad SGD
    CMS on_exception it went wrong (in `on_before_zero_grad` of `Recorder`, epoch 0, batch 0)
    CMS teardown fit
    => it went wrong (in `on_before_zero_grad` of `Recorder`, epoch 0, batch 0)

    C   on_train_epoch_end e0
    CMS on_exception it went wrong (in `on_train_epoch_end` of `Recorder`)
    CMS teardown fit
    => it went wrong (in `on_train_epoch_end` of `Recorder`)

    CM  on_fit_end
    CMS on_exception it went wrong (in `on_fit_end` of `Recorded`)
    CMS teardown fit
    => it went wrong (in `on_fit_end` of `Recorded`)
    ");
}

#[test]
fn a_panic_is_an_error_that_names_the_hook() {
    let places =
        [('M', "training_step e0 b1"), ('M', "validation_step l0 b0"), ('C', "on_after_backward"), ('M', "on_train_epoch_start e0")];
    assert_snapshot!(places.map(|(who, line)| failing(who, line, Act::Panic)).concat(), @"
    M   training_step e0 b1
    CMS on_exception panicked in `training_step`, epoch 0, batch 1: it went very wrong
    CMS teardown fit
    => panicked in `training_step`, epoch 0, batch 1: it went very wrong

    M   validation_step l0 b0
    CMS on_exception panicked in `validation_step`, epoch 0, batch 0: it went very wrong
    CMS teardown fit
    => panicked in `validation_step`, epoch 0, batch 0: it went very wrong

    C   on_after_backward
    CMS on_exception panicked in `on_after_backward`, epoch 0, batch 0: it went very wrong
    CMS teardown fit
    => panicked in `on_after_backward`, epoch 0, batch 0: it went very wrong

    CM  on_train_epoch_start e0
    CMS on_exception panicked in `on_train_epoch_start`: it went very wrong
    CMS teardown fit
    => panicked in `on_train_epoch_start`: it went very wrong
    ");
}

#[test]
fn every_callback_gets_the_exception_and_the_teardown_even_if_one_fails_there() {
    assert_snapshot!(failing('C', "teardown fit", Act::Fail), @"
    CMS teardown fit
    => it went wrong (in `teardown` of `Recorder`)
    ");
    let exception = "on_exception it went wrong (in `on_train_start` of `Recorder`)";
    let record = Record::acting([('C', "on_train_start", Act::Fail), ('C', exception, Act::Fail), ('M', "teardown fit", Act::Panic)]);
    let error = recorded(&record).fit(Recorded::new(&record), batches(1)).unwrap_err();
    // The run ends with the first error.
    assert_snapshot!(format!("{}=> {error}", record.from("on_train_start")), @"
    C   on_train_start
    CMS on_exception it went wrong (in `on_train_start` of `Recorder`)
    CM  teardown fit
    => it went wrong (in `on_train_start` of `Recorder`)
    ");
}
