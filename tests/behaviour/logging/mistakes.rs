//! Wrong uses of `log` end the run with an error that names the metric, the hook, and what to do.

use burn::prelude::*;
use stormfire::{loggers::MemoryLogger, metrics::metric::Mean, prelude::*};

use super::probe::{Probe, counter, lines, refuse, trainer};
use crate::support::line_data;

const TWICE: &str = "use the same arguments, or two names";

#[track_caller]
fn refuses(code: impl Fn() + Send + Sync + 'static, error: &str, hint: &str) {
    refuse(Probe::at(Hook::TrainingStep, code), line_data(8, 4), error, hint);
}

#[test]
fn a_name_has_one_set_of_arguments_in_a_hook() {
    let error = "`x` was logged twice in `training_step` with different arguments";
    let twice = |refine: fn(stormfire::module::log::Entry) -> stormfire::module::log::Entry| {
        move || {
            log("x", 1);
            drop(refine(log("x", 2)));
        }
    };
    refuses(twice(|x| x.on_epoch(true)), error, TWICE);
    refuses(twice(|x| x.prog_bar(true)), error, TWICE);
    refuses(twice(|x| x.logger(false)), error, TWICE);
    refuses(twice(|x| x.reduce_fx(ReduceFx::Max)), error, TWICE);
    refuses(twice(|x| x.add_dataloader_idx(false)), error, TWICE);
    refuses(twice(|x| x.sync_dist(true)), error, TWICE);
    refuses(twice(|x| x.rank_zero_only(true)), error, TWICE);
    let change = |name| ReduceFx::Custom { name, reduce: |all| all.sum() };
    let functions = move || {
        log("x", 1).reduce_fx(change("first"));
        log("x", 1).reduce_fx(change("second"));
    };
    refuses(functions, error, TWICE);
}

#[test]
fn arguments_cannot_change_between_batches() {
    let number = counter();
    let error = "`x` was logged twice in `training_step` with different arguments";
    refuses(move || drop(log("x", 1).prog_bar(number() == 2)), error, TWICE);
}

#[test]
fn numbers_and_metrics_do_not_mix() {
    let error = "`x` was logged twice in `training_step` with different arguments";
    let number_then_metric = || {
        log("x", 1).on_epoch(true);
        log("x", Mean::new(1.0, 1.0)).on_epoch(true);
    };
    refuses(number_then_metric, error, TWICE);
    let metric_then_number = || {
        log("x", Mean::new(1.0, 1.0)).on_epoch(true);
        log("x", 1).on_epoch(true);
    };
    refuses(metric_then_number, error, TWICE);
}

#[test]
fn a_logged_value_has_one_element() {
    let error = "`x` in `training_step` is a tensor of shape [2], but only one element can be logged";
    refuses(|| drop(log("x", Tensor::<1>::zeros([2], &Device::flex()))), error, "reduce it first, `tensor.mean()` for example");
}

#[test]
fn a_value_that_is_logged_nowhere_is_refused() {
    let error = "`x`: logging with `on_step(false)` and `on_epoch(false)` in `training_step` records nothing";
    refuses(|| drop(log("x", 1).on_step(false)), error, "set one of the two to true");
    let probe = Probe::at(Hook::ValidationStep, || drop(log("x", 1).on_epoch(false)));
    let error = "`x`: logging with `on_step(false)` and `on_epoch(false)` in `validation_step` records nothing";
    refuse(probe, (line_data(4, 4), line_data(4, 4)), error, "set one of the two to true");
}

#[test]
fn the_suffix_of_loaders_is_reserved() {
    let error = "`x/dataloader_idx_0` in `training_step` contains `/dataloader_idx_`, which is added by the framework";
    refuses(|| drop(log("x/dataloader_idx_0", 1)), error, "choose another name, or `add_dataloader_idx(false)`");
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
