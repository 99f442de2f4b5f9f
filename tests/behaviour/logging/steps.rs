//! The step metrics that reach the loggers, and their steps.

use stormfire::{loggers::MemoryLogger, prelude::*};

use super::probe::{Probe, check, counter, each_of, lines, on_device, trainer, watch};
use crate::support::line_data;

/// `x` of a training step is the number of the step, from 1.
fn counting() -> Probe {
    let number = counter();
    Probe::at(Hook::TrainingStep, move || drop(log("x", number())))
}

#[test]
fn log_every_n_steps_counts_over_epochs() {
    let three_batches = || line_data(12, 4);
    check(counting(), three_batches(), |t| t.log_every_n_steps(5).max_steps(10), &["4: x=5 epoch=1", "9: x=10 epoch=3"]);
    let every = ["0: x=1 epoch=0", "1: x=2 epoch=0", "2: x=3 epoch=0", "3: x=4 epoch=1"];
    check(counting(), three_batches(), |t| t.log_every_n_steps(1).max_steps(4), &every);
    check(counting(), line_data(60, 1), |t| t.log_every_n_steps(50).max_steps(100), &["49: x=50 epoch=0", "99: x=100 epoch=1"]);
    check(counting(), three_batches(), |t| t.log_every_n_steps(50).max_steps(49), &[]);
}

#[test]
fn fifty_is_the_default_of_log_every_n_steps() {
    let logger = MemoryLogger::new();
    let fit = crate::support::recording(&logger).max_steps(120).fit(counting(), line_data(60, 1));
    assert!(fit.is_ok());
    assert_eq!(lines(&logger), ["49: x=50 epoch=0", "99: x=100 epoch=1"]);
}

#[test]
fn log_every_0_steps_logs_epochs_only() {
    let number = counter();
    let probe = Probe::at(Hook::TrainingStep, move || drop(log("x", number()).on_epoch(true)));
    check(probe, line_data(8, 4), |t| t.log_every_n_steps(0).max_epochs(2), &["1: x_epoch=1.5 epoch=0", "3: x_epoch=3.5 epoch=1"]);
}

#[test]
fn accumulated_batches_are_one_step() {
    let with = |t: Trainer<Probe>| t.accumulate_grad_batches(2).max_epochs(1);
    check(counting(), line_data(16, 4), with, &["0: x=2 epoch=0", "1: x=4 epoch=0"]);
    // The last window of an epoch may be shorter.
    check(counting(), line_data(12, 4), with, &["0: x=2 epoch=0", "1: x=3 epoch=0"]);
    let number = counter();
    let forked = Probe::at(Hook::TrainingStep, move || drop(log("x", number()).on_epoch(true)));
    check(forked, line_data(16, 4), with, &["0: x_step=2 epoch=0", "1: x_step=4 epoch=0", "1: x_epoch=2.5 epoch=0"]);
}

#[test]
fn log_every_n_steps_counts_steps_not_batches() {
    let with = |t: Trainer<Probe>| t.accumulate_grad_batches(2).log_every_n_steps(2).max_epochs(2);
    check(counting(), line_data(16, 4), with, &["1: x=4 epoch=0", "3: x=8 epoch=1"]);
}

#[test]
fn a_batch_that_does_not_step_has_no_row_and_no_number() {
    check(counting().without_loss_in(1), line_data(12, 4), |t| t.max_epochs(1), &["0: x=1 epoch=0", "1: x=3 epoch=0"]);
}

#[test]
fn the_step_of_a_stop_request_is_logged() {
    let stop_in_second_batch = watch(|ctx, hook| {
        if hook == Hook::TrainBatchEnd && ctx.global_step() == 2 {
            ctx.stop("enough");
        }
        Ok(())
    });
    check(counting(), line_data(12, 4), |t| t.log_every_n_steps(50).max_epochs(1).callback(stop_in_second_batch), &["1: x=2 epoch=0"]);
}

#[test]
fn fast_dev_run_logs_nothing() {
    let logger = MemoryLogger::new();
    assert!(trainer(&logger).fast_dev_run(2).fit(counting(), line_data(8, 4)).is_ok());
    assert!(logger.calls().is_empty());
}

#[test]
fn a_logged_epoch_replaces_the_automatic_one() {
    let probe = Probe::new(|hook| match hook {
        Hook::TrainingStep => {
            log("x", 1);
            log("epoch", 7);
        }
        Hook::TrainEpochEnd => drop(log("epoch", 7.5)),
        _ => {}
    });
    check(probe, line_data(8, 4), |t| t.max_epochs(1), &["0: x=1 epoch=7", "1: x=1 epoch=7", "1: epoch=7.5"]);
}

#[test]
fn a_logged_step_becomes_the_step() {
    let number = counter();
    let probe = Probe::new(move |hook| match hook {
        Hook::TrainingStep => {
            log("step", 100 * number());
            log("x", 1);
        }
        Hook::ValidationEpochEnd => {
            log("step", 7);
            log("val_x", 2);
        }
        _ => {}
    });
    check(probe, (line_data(8, 4), line_data(4, 4)), |t| t.max_epochs(1), &["100: x=1", "200: x=1", "7: val_x=2"]);
}

#[test]
fn the_last_value_of_a_step_wins_and_all_values_are_in_the_mean() {
    let probe = Probe::at(Hook::TrainingStep, || {
        log("x", 1).on_epoch(true);
        log("x", 4).on_epoch(true);
    });
    check(probe, line_data(4, 4), |t| t.max_epochs(1), &["0: x_step=4 epoch=0", "0: x_epoch=2.5 epoch=0"]);
}

#[test]
fn the_last_hook_that_logs_a_name_wins() {
    let probe = Probe::new(|hook| match hook {
        Hook::TrainingStep => drop(log("x", 1).on_epoch(true)),
        Hook::TrainBatchEnd => drop(log("x", 10).on_epoch(true)),
        _ => {}
    });
    check(probe, line_data(4, 4), |t| t.max_epochs(1), &["0: x_step=10 epoch=0", "0: x_epoch=10 epoch=0"]);
}

#[test]
fn nan_is_logged_unchanged() {
    for device in [false, true] {
        let value = each_of([1.0, f64::NAN, 2.0]);
        let probe = Probe::at(Hook::TrainingStep, move || {
            let value = value();
            let entry = if device { log("x", on_device(value)) } else { log("x", value) };
            entry.on_epoch(true);
            let entry = if device { log("max", on_device(value)) } else { log("max", value) };
            entry.on_step(false).on_epoch(true).reduce_fx(ReduceFx::Max);
        });
        let expected = ["0: x_step=1 epoch=0", "1: x_step=NaN epoch=0", "2: x_step=2 epoch=0", "2: x_epoch=NaN max=NaN epoch=0"];
        check(probe, line_data(12, 4), |t| t.max_epochs(1), &expected);
    }
}

#[test]
fn a_metric_without_logger_is_not_sent() {
    let probe = Probe::at(Hook::TrainingStep, || {
        log("hidden", 1).on_epoch(true).logger(false);
        log_dict([("a", 1), ("b", 2)]).on_epoch(true).on_step(false);
    });
    check(probe, line_data(4, 4), |t| t.max_epochs(1), &["0: a=1 b=2 epoch=0"]);
}

/// Lightning's `test_log_metrics_epoch_step_values`: two epochs of two batches.
#[test]
fn step_values_have_their_step_and_epoch_values_the_last_one() {
    let number = counter();
    let probe = Probe::at(Hook::TrainingStep, move || drop(log("foo", on_device(number() as f64)).on_step(true).on_epoch(true)));
    let expected = [
        "0: foo_step=1 epoch=0",
        "1: foo_step=2 epoch=0",
        "1: foo_epoch=1.5 epoch=0",
        "2: foo_step=3 epoch=1",
        "3: foo_step=4 epoch=1",
        "3: foo_epoch=3.5 epoch=1",
    ];
    check(probe, line_data(8, 4), |t| t.max_epochs(2), &expected);
}

/// Lightning's `test_validation_step_log_with_tensorboard`: one training and two validation batches, two epochs.
#[test]
fn validation_steps_count_on_over_epochs() {
    let (train, val) = (counter(), counter());
    let probe = Probe::new(move |hook| match hook {
        Hook::TrainingStep => drop(log("train_loss", train())),
        Hook::ValidationStep => drop(log("val_loss", val()).on_step(true).on_epoch(true)),
        _ => {}
    });
    let expected = [
        "0: train_loss=1 epoch=0",
        "0: val_loss_step=1",
        "1: val_loss_step=2",
        "0: val_loss_epoch=1.5 epoch=0",
        "1: train_loss=2 epoch=1",
        "2: val_loss_step=3",
        "3: val_loss_step=4",
        "1: val_loss_epoch=3.5 epoch=1",
    ];
    check(probe, (line_data(4, 4), line_data(8, 4)), |t| t.max_epochs(2), &expected);
}
