//! Several evaluation loaders: names, steps, results.

use std::sync::{Arc, Mutex};

use insta::assert_snapshot;
use stormfire::{loggers::MemoryLogger, prelude::*};
use stormfire_module::for_trainer::scope;

use super::probe::{Probe, check, counter, lines, refused, text, trainer, watch};
use crate::support::{Batch, line_data};

/// A loader of two batches and a loader of one.
fn two_loaders() -> [Loader<Batch>; 2] {
    [line_data(8, 4), line_data(4, 4)]
}

/// `x` is the number of the call, from 1; `all` is logged at the end of the pass.
fn probe(step: Hook, epoch_end: Hook) -> Probe {
    let number = counter();
    Probe::new(move |hook| {
        if hook == step {
            log("x", number()).on_step(true).on_epoch(true);
        } else if hook == epoch_end {
            log("all", 1);
        }
    })
}

#[test]
fn each_loader_has_its_own_names_and_steps() {
    let expected = [
        "0: x_step/dataloader_idx_0=1",
        "1: x_step/dataloader_idx_0=2",
        "0: x_step/dataloader_idx_1=3",
        "1: x_epoch/dataloader_idx_0=1.5 x_epoch/dataloader_idx_1=3 all=1 epoch=0",
        "2: x_step/dataloader_idx_0=4",
        "3: x_step/dataloader_idx_0=5",
        "1: x_step/dataloader_idx_1=6",
        "3: x_epoch/dataloader_idx_0=4.5 x_epoch/dataloader_idx_1=6 all=1 epoch=1",
    ];
    check(probe(Hook::ValidationStep, Hook::ValidationEpochEnd), (line_data(8, 4), two_loaders().to_vec()), |t| t.max_epochs(2), &expected);
}

#[test]
fn one_loader_in_a_list_has_no_suffix() {
    let number = counter();
    let probe = Probe::at(Hook::ValidationStep, move || drop(log("x", number())));
    check(probe, (line_data(4, 4), vec![line_data(8, 4)]), |t| t.max_epochs(1), &["0: x=1.5 epoch=0"]);
}

#[test]
fn validate_and_test_return_results_by_loader() {
    let expected = ["x_epoch/dataloader_idx_0=1.5 all=1", "x_epoch/dataloader_idx_1=3 all=1"];
    let lines_expected = [
        "0: x_step/dataloader_idx_0=1",
        "1: x_step/dataloader_idx_0=2",
        "0: x_step/dataloader_idx_1=3",
        "0: x_epoch/dataloader_idx_0=1.5 x_epoch/dataloader_idx_1=3 all=1 epoch=0",
    ];
    let logger = MemoryLogger::new();
    let loaders = Loaders::from(two_loaders());
    let results = trainer(&logger).validate(&probe(Hook::ValidationStep, Hook::ValidationEpochEnd), loaders.clone()).unwrap();
    assert_eq!(results.iter().map(text).collect::<Vec<_>>(), expected);
    assert_eq!(lines(&logger), lines_expected);
    let logger = MemoryLogger::new();
    let results = trainer(&logger).test(&probe(Hook::TestStep, Hook::TestEpochEnd), loaders).unwrap();
    assert_eq!(results.iter().map(text).collect::<Vec<_>>(), expected);
    assert_eq!(lines(&logger), lines_expected);
}

#[test]
fn results_equal_the_values_of_the_loggers() {
    let probe = Probe::at(Hook::TestStep, || {
        log("shown", 1);
        log("hidden", 2).logger(false);
        log("step_only", 3).on_step(true).on_epoch(false);
    });
    let results = trainer(&MemoryLogger::new()).test(&probe, line_data(8, 4)).unwrap();
    assert_eq!(results.iter().map(text).collect::<Vec<_>>(), ["shown=1"]);
}

#[test]
fn a_test_after_a_fit_logs_at_the_step_of_the_fit() {
    let (logger, number) = (MemoryLogger::new(), counter());
    let probe = Probe::at(Hook::TestStep, move || drop(log("x", number()).on_step(true).on_epoch(true)));
    let mut trainer = trainer(&logger).max_epochs(2);
    let fit = trainer.fit(probe, line_data(8, 4)).unwrap();
    trainer.test(&fit.module, line_data(8, 4)).unwrap();
    trainer.test(&fit.module, line_data(8, 4)).unwrap();
    let expected = ["0: x_step=1", "1: x_step=2", "4: x_epoch=1.5 epoch=2", "0: x_step=3", "1: x_step=4", "4: x_epoch=3.5 epoch=2"];
    assert_eq!(lines(&logger), expected);
}

#[test]
fn a_module_can_name_its_loaders() {
    let number = counter();
    let probe = Probe::at(Hook::ValidationStep, move || {
        // The value of `self.dataloader_idx()`.
        let loader = ["clean", "noisy"][scope::moment().dataloader_idx];
        log(format!("{loader}_x"), number()).add_dataloader_idx(false);
    });
    check(probe, (line_data(4, 4), two_loaders().to_vec()), |t| t.max_epochs(1), &["0: clean_x=1.5 noisy_x=3 epoch=0"]);
}

#[test]
fn the_number_of_the_loader_is_known_in_the_module() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let probe = {
        let seen = Arc::clone(&seen);
        Probe::at(Hook::ValidationStep, move || seen.lock().unwrap().push(Probe::silent().dataloader_idx()))
    };
    trainer(&MemoryLogger::new()).validate(&probe, Loaders::from(two_loaders())).unwrap();
    assert_eq!(*seen.lock().unwrap(), [0, 0, 1]);
    assert_eq!(Probe::silent().dataloader_idx(), 0);
}

#[test]
fn one_name_for_two_loaders_is_refused() {
    let probe = Probe::at(Hook::ValidationStep, || drop(log("x", 1).add_dataloader_idx(false)));
    let data = (line_data(4, 4), two_loaders().to_vec());
    assert_snapshot!(refused(probe, data), @"
    `x` was logged twice in `validation_step` with different arguments
      hint: use the same arguments, or two names
    ");
}

#[test]
fn callbacks_find_the_metrics_of_each_loader() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let watcher = {
        let seen = Arc::clone(&seen);
        watch(move |ctx, hook| {
            if hook == Hook::ValidationEnd {
                for name in ctx.metric_names() {
                    seen.lock().unwrap().push(format!("{name}={}", ctx.metric(&name)?));
                }
            }
            Ok(())
        })
    };
    let mut trainer = trainer(&MemoryLogger::new()).callback(watcher);
    trainer.validate(&probe(Hook::ValidationStep, Hook::ValidationEpochEnd), Loaders::from(two_loaders())).unwrap();
    let expected = [
        "x_step/dataloader_idx_0=2",
        "x/dataloader_idx_0=1.5",
        "x_step/dataloader_idx_1=3",
        "x/dataloader_idx_1=3",
        "x_epoch/dataloader_idx_0=1.5",
        "x_epoch/dataloader_idx_1=3",
        "all=1",
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn limit_val_batches_applies_to_steps_and_means() {
    let set = |t: Trainer<Probe>| t.max_epochs(2).limit_val_batches(1);
    let number = counter();
    let probe = Probe::at(Hook::ValidationStep, move || drop(log("x", number()).on_step(true).on_epoch(true)));
    let expected = ["0: x_step=1", "0: x_epoch=1 epoch=0", "1: x_step=2", "1: x_epoch=2 epoch=1"];
    check(probe, (line_data(4, 4), line_data(8, 4)), set, &expected);
}

#[test]
fn the_sanity_check_leaves_no_trace() {
    let number = counter();
    let probe = Probe::at(Hook::ValidationStep, move || drop(log("x", number()).on_step(true).on_epoch(true)));
    let names = Arc::new(Mutex::new(Vec::new()));
    let watcher = {
        let names = Arc::clone(&names);
        watch(move |ctx, hook| {
            if matches!(hook, Hook::SanityCheckEnd | Hook::TrainStart) {
                names.lock().unwrap().push(ctx.metric_names().join(" "));
            }
            Ok(())
        })
    };
    let set = |t: Trainer<Probe>| t.max_epochs(1).num_sanity_val_steps(2).callback(watcher);
    // The first two calls belong to the sanity check.
    check(probe, (line_data(4, 4), line_data(8, 4)), set, &["0: x_step=3", "1: x_step=4", "0: x_epoch=3.5 epoch=0"]);
    assert_eq!(*names.lock().unwrap(), ["x_step x x_epoch", ""]);
}
