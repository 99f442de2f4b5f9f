//! Wrong uses of `log` end the run with an error that names the metric, the hook, and what to do.

use burn::prelude::*;
use insta::assert_snapshot;
use stormfire::{loggers::MemoryLogger, metrics::aggregation::Mean, prelude::*};

use super::probe::{Probe, counter, lines, refused, trainer};
use crate::support::line_data;

/// The error of a fit whose training step logs with this code.
#[track_caller]
fn refused_in_step(code: impl Fn() + Send + Sync + 'static) -> String {
    refused(Probe::at(Hook::TrainingStep, code), line_data(8, 4))
}

/// Checks that logging with this code is refused for different arguments.
#[track_caller]
fn arguments_differ(code: impl Fn() + Send + Sync + 'static) {
    let error = "`x` was logged twice in `training_step` with different arguments\n  hint: use the same arguments, or two names";
    assert_eq!(refused_in_step(code), error);
}

#[test]
fn a_name_has_one_set_of_arguments_in_a_hook() {
    let twice = |refine: fn(stormfire::module::log::Entry) -> stormfire::module::log::Entry| {
        move || {
            log("x", 1);
            drop(refine(log("x", 2)));
        }
    };
    arguments_differ(twice(|x| x.on_epoch(true)));
    arguments_differ(twice(|x| x.prog_bar(true)));
    arguments_differ(twice(|x| x.logger(false)));
    arguments_differ(twice(|x| x.reduce_fx(ReduceFx::Max)));
    arguments_differ(twice(|x| x.add_dataloader_idx(false)));
    arguments_differ(twice(|x| x.sync_dist(true)));
    arguments_differ(twice(|x| x.rank_zero_only(true)));
    let change = |name| ReduceFx::Custom { name, reduce: |all| all.sum() };
    arguments_differ(move || {
        log("x", 1).reduce_fx(change("first"));
        log("x", 1).reduce_fx(change("second"));
    });
}

#[test]
fn arguments_cannot_change_between_batches() {
    let number = counter();
    arguments_differ(move || drop(log("x", 1).prog_bar(number() == 2)));
}

#[test]
fn numbers_and_metrics_do_not_mix() {
    arguments_differ(|| {
        log("x", 1).on_epoch(true);
        log("x", Mean::new(1.0, 1.0)).on_epoch(true);
    });
    arguments_differ(|| {
        log("x", Mean::new(1.0, 1.0)).on_epoch(true);
        log("x", 1).on_epoch(true);
    });
}

#[test]
fn a_logged_value_has_one_element() {
    assert_snapshot!(refused_in_step(|| drop(log("x", Tensor::<1>::zeros([2], &Device::flex())))), @"
    `x` in `training_step` is a tensor of shape [2], but only one element can be logged
      hint: reduce it first, `tensor.mean()` for example
    ");
}

#[test]
fn a_value_that_is_logged_nowhere_is_refused() {
    assert_snapshot!(refused_in_step(|| drop(log("x", 1).on_step(false))), @"
    `x`: logging with `on_step(false)` and `on_epoch(false)` in `training_step` records nothing
      hint: set one of the two to true
    ");
    let probe = Probe::at(Hook::ValidationStep, || drop(log("x", 1).on_epoch(false)));
    assert_snapshot!(refused(probe, (line_data(4, 4), line_data(4, 4))), @"
    `x`: logging with `on_step(false)` and `on_epoch(false)` in `validation_step` records nothing
      hint: set one of the two to true
    ");
}

#[test]
fn the_suffix_of_loaders_is_reserved() {
    assert_snapshot!(refused_in_step(|| drop(log("x/dataloader_idx_0", 1))), @"
    `x/dataloader_idx_0` in `training_step` contains `/dataloader_idx_`, which is added by the framework
      hint: choose another name, or `add_dataloader_idx(false)`
    ");
}

#[test]
fn a_mistake_in_one_run_does_not_affect_the_next() {
    let probe = Probe::at(Hook::TrainingStep, || {
        log("good", 1);
        log("bad", 1).on_step(false);
        log("good", 2);
    });
    let mut failing = trainer(&MemoryLogger::new()).max_epochs(1);
    assert!(failing.fit(probe, line_data(4, 4)).is_err());
    let logger = MemoryLogger::new();
    assert!(trainer(&logger).max_epochs(1).fit(Probe::silent(), line_data(4, 4)).is_ok());
    assert_eq!(lines(&logger), [""; 0]);
    assert!(failing.fit(Probe::silent(), line_data(4, 4)).is_ok());
}
