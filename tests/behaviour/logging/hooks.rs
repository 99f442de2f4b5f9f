//! Tests every row of Lightning's table of the hooks that may log, with their defaults, in whole runs.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use stormfire::{
    loggers::MemoryLogger,
    module::{log::Entry, requests::SaveRequest},
    prelude::*,
};

use super::probe::{Probe, counter, lines, trainer, watch};
use crate::{
    error_text::error_text,
    support::{Line, line_data, quiet},
};

const TRAINING: [Hook; 7] = [
    Hook::TrainingStep,
    Hook::TrainBatchStart,
    Hook::TrainBatchEnd,
    Hook::BeforeZeroGrad,
    Hook::BeforeBackward,
    Hook::AfterBackward,
    Hook::BeforeOptimizerStep,
];
const VALIDATION: [Hook; 3] = [Hook::ValidationStep, Hook::ValidationBatchStart, Hook::ValidationBatchEnd];
const TEST: [Hook; 3] = [Hook::TestStep, Hook::TestBatchStart, Hook::TestBatchEnd];
const EVERY_EPOCH: [Hook; 5] =
    [Hook::TrainEpochStart, Hook::TrainEpochEnd, Hook::ValidationStart, Hook::ValidationEpochStart, Hook::ValidationEpochEnd];
const TEST_EPOCH: [Hook; 3] = [Hook::TestStart, Hook::TestEpochStart, Hook::TestEpochEnd];
/// Only the module has these.
const OF_THE_MODULE: [Hook; 5] = [Hook::ConfigureOptimizers, Hook::TrainingStep, Hook::ValidationStep, Hook::TestStep, Hook::PredictStep];

/// Methods of a data module that modules and callbacks do not have.
const LOADERS: [Hook; 4] = [Hook::TrainDataloader, Hook::ValDataloader, Hook::TestDataloader, Hook::PredictDataloader];

/// The hooks of modules and callbacks in which Lightning's table does not allow logging.
fn forbidden() -> impl Iterator<Item = Hook> {
    let allowed = [&TRAINING[..], &VALIDATION, &TEST, &EVERY_EPOCH, &TEST_EPOCH, &[Hook::TrainStart]].concat();
    Hook::ALL.iter().copied().filter(move |hook| !allowed.contains(hook) && !LOADERS.contains(hook))
}

type Refine = fn(Entry) -> Entry;
const DEFAULT: Refine = |entry| entry;
const FORKED: Refine = |entry| entry.on_step(true).on_epoch(true);
const STEP_ONLY: Refine = |entry| entry.on_step(true).on_epoch(false);
const EPOCH_ONLY: Refine = |entry| entry.on_step(false).on_epoch(true);

#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Module,
    Callback,
}

/// Trains two epochs of two training and two validation batches, or tests two batches. One hook logs `x`: the number of
/// the call, from 1.
fn run(hook: Hook, by: By, refine: Refine, set: impl FnOnce(Trainer<Probe>) -> Trainer<Probe>) -> (MemoryLogger, Result<()>) {
    let logger = MemoryLogger::new();
    let number = counter();
    let act = move || drop(refine(log("x", number())));
    let trainer = set(trainer(&logger).max_epochs(2));
    let (mut trainer, probe) = match by {
        By::Module => (trainer, Probe::at(hook, act)),
        By::Callback => {
            let callback = watch(move |_, at| {
                if at == hook {
                    act();
                }
                Ok(())
            });
            (trainer.callback(callback), Probe::silent())
        }
    };
    let result = match hook.name() {
        name if name.contains("test") => trainer.test(&probe, line_data(8, 4)).map(drop),
        name if name.contains("predict") => trainer.predict(&probe, line_data(8, 4)).map(drop),
        _ => trainer.fit(probe, (line_data(8, 4), line_data(8, 4))).map(|fit| drop(fit.module)),
    };
    (logger, result)
}

fn actors(hook: Hook) -> impl Iterator<Item = By> {
    [By::Module, By::Callback].into_iter().filter(move |by| *by == By::Module || !OF_THE_MODULE.contains(&hook))
}

#[track_caller]
fn check(hooks: &[Hook], refine: Refine, expected: &[&str]) {
    for &hook in hooks {
        for by in actors(hook) {
            let (logger, result) = run(hook, by, refine, |trainer| trainer);
            assert!(result.is_ok(), "{hook} by {by:?}: {:?}", result.err());
            assert_eq!(lines(&logger), expected, "{hook} by {by:?}");
        }
    }
}

#[test]
fn training_batches_log_on_step_by_default() {
    let steps = ["0: x=1 epoch=0", "1: x=2 epoch=0", "2: x=3 epoch=1", "3: x=4 epoch=1"];
    check(&TRAINING, DEFAULT, &steps);
    check(&TRAINING, STEP_ONLY, &steps);
    check(&TRAINING, EPOCH_ONLY, &["1: x=1.5 epoch=0", "3: x=3.5 epoch=1"]);
    let forked = [
        "0: x_step=1 epoch=0",
        "1: x_step=2 epoch=0",
        "1: x_epoch=1.5 epoch=0",
        "2: x_step=3 epoch=1",
        "3: x_step=4 epoch=1",
        "3: x_epoch=3.5 epoch=1",
    ];
    check(&TRAINING, FORKED, &forked);
}

#[test]
fn validation_batches_log_on_epoch_by_default() {
    let epochs = ["1: x=1.5 epoch=0", "3: x=3.5 epoch=1"];
    check(&VALIDATION, DEFAULT, &epochs);
    check(&VALIDATION, EPOCH_ONLY, &epochs);
    check(&VALIDATION, STEP_ONLY, &["0: x=1", "1: x=2", "2: x=3", "3: x=4"]);
    let forked = ["0: x_step=1", "1: x_step=2", "1: x_epoch=1.5 epoch=0", "2: x_step=3", "3: x_step=4", "3: x_epoch=3.5 epoch=1"];
    check(&VALIDATION, FORKED, &forked);
}

#[test]
fn test_batches_log_on_epoch_by_default() {
    check(&TEST, DEFAULT, &["0: x=1.5 epoch=0"]);
    check(&TEST, EPOCH_ONLY, &["0: x=1.5 epoch=0"]);
    check(&TEST, STEP_ONLY, &["0: x=1", "1: x=2"]);
    check(&TEST, FORKED, &["0: x_step=1", "1: x_step=2", "0: x_epoch=1.5 epoch=0"]);
}

#[test]
fn epoch_hooks_log_once_per_epoch() {
    for refine in [DEFAULT, EPOCH_ONLY] {
        check(&EVERY_EPOCH, refine, &["1: x=1 epoch=0", "3: x=2 epoch=1"]);
        check(&TEST_EPOCH, refine, &["0: x=1 epoch=0"]);
    }
}

#[test]
fn on_train_start_is_logged_once_at_the_end_of_the_first_epoch() {
    check(&[Hook::TrainStart], DEFAULT, &["1: x=1 epoch=0"]);
    check(&[Hook::TrainStart], EPOCH_ONLY, &["1: x=1 epoch=0"]);
}

#[test]
fn epoch_hooks_refuse_on_step() {
    let refused: [(Refine, &str); 4] = [
        (|entry| entry.on_step(true), "on_step(true)"),
        (FORKED, "on_step(true)"),
        (|entry| entry.on_epoch(false), "on_epoch(false)"),
        (STEP_ONLY, "on_step(true)"),
    ];
    let hint = "this hook runs once an epoch: leave `on_step` and `on_epoch` out";
    for hook in EVERY_EPOCH.into_iter().chain(TEST_EPOCH).chain([Hook::TrainStart]) {
        for (refine, level) in refused {
            for by in actors(hook) {
                let error = error_text(run(hook, by, refine, |trainer| trainer).1);
                assert_eq!(error, format!("`x`: you cannot log with `{level}` in `{hook}`\n  hint: {hint}"), "by {by:?}");
            }
        }
    }
}

/// A callback that requests a checkpoint at the end of the first epoch.
fn saving(path: &Path) -> impl Callback<Probe> + use<> {
    let path = path.to_owned();
    watch(move |ctx, hook| {
        if hook == Hook::TrainEpochEnd && ctx.current_epoch() == 0 {
            ctx.save_checkpoint(SaveRequest { path: path.clone(), ..SaveRequest::default() });
        }
        Ok(())
    })
}

#[test]
fn other_hooks_refuse_to_log_and_name_an_alternative() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("first.ckpt");
    let saved = quiet().max_epochs(1).num_sanity_val_steps(0).callback(saving(&path)).fit(Probe::silent(), line_data(8, 4));
    assert!(saved.is_ok() && path.exists());
    for hook in forbidden().filter(|hook| *hook != Hook::Exception) {
        for by in actors(hook) {
            let set = |trainer: Trainer<Probe>| match hook {
                Hook::SaveCheckpoint => trainer.callback(saving(&folder.path().join(format!("{by:?}.ckpt")))),
                Hook::LoadCheckpoint => trainer.ckpt_path(&path),
                _ => trainer.num_sanity_val_steps(1),
            };
            let error = error_text(run(hook, by, DEFAULT, set).1);
            let hint = "log it in a step, a batch or an epoch hook, or directly to a logger through `ctx.loggers()`";
            assert_eq!(error, format!("you cannot log `x` in `{hook}`\n  hint: {hint}"), "by {by:?}");
        }
    }
}

#[test]
fn a_mistake_in_on_exception_does_not_hide_the_error() {
    let probe = Probe::new(|hook| match hook {
        Hook::TrainingStep => panic!("the first mistake"),
        Hook::Exception => drop(log("x", 1)),
        _ => {}
    });
    let error = quiet().max_epochs(1).fit(probe, line_data(8, 4)).err().map(|error| error.to_string());
    assert_eq!(error.as_deref(), Some("panicked in `training_step`, epoch 0, batch 0: the first mistake"));
}

/// Logs in one of its methods.
struct Logs(Hook);

impl Logs {
    fn log_in(&self, hook: Hook) {
        if self.0 == hook {
            log("x", 1);
        }
    }
}

impl DataModule for Logs {
    type Batch = crate::support::Batch;

    fn prepare_data(&mut self) -> stormfire::data::Result<()> {
        self.log_in(Hook::PrepareData);
        Ok(())
    }

    fn setup(&mut self, _stage: Stage) -> stormfire::data::Result<()> {
        self.log_in(Hook::Setup);
        Ok(())
    }

    fn teardown(&mut self, _stage: Stage) -> stormfire::data::Result<()> {
        self.log_in(Hook::Teardown);
        Ok(())
    }

    fn train_dataloader(&mut self) -> stormfire::data::Result<Loader<Self::Batch>> {
        self.log_in(Hook::TrainDataloader);
        Ok(line_data(8, 4))
    }

    fn val_dataloader(&mut self) -> stormfire::data::Result<Loaders<Self::Batch>> {
        self.log_in(Hook::ValDataloader);
        Ok(line_data(8, 4).into())
    }

    fn test_dataloader(&mut self) -> stormfire::data::Result<Loaders<Self::Batch>> {
        self.log_in(Hook::TestDataloader);
        Ok(line_data(8, 4).into())
    }
}

#[test]
fn nothing_can_be_logged_in_a_data_module() {
    let of_fit = [Hook::PrepareData, Hook::Setup, Hook::TrainDataloader, Hook::ValDataloader, Hook::Teardown];
    for hook in of_fit.into_iter().chain([Hook::TestDataloader]) {
        let mut trainer = quiet().max_epochs(1);
        let error = match hook {
            Hook::TestDataloader => trainer.test(&Line::new(), Logs(hook)).map(drop).unwrap_err(),
            _ => trainer.fit(Line::new(), Logs(hook)).map(drop).unwrap_err(),
        };
        assert_eq!(error.to_string(), format!("you cannot log `x` in `{hook}`"));
    }
}

#[test]
fn module_and_callbacks_share_a_name_within_a_hook() {
    let logger = MemoryLogger::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let callback = {
        let seen = Arc::clone(&seen);
        watch(move |ctx, hook| {
            match hook {
                Hook::TrainBatchEnd => drop(ctx.log("x", 1.0).on_epoch(true)),
                Hook::TrainEnd => seen.lock().unwrap().push(ctx.metric("x_epoch")?),
                _ => {}
            }
            Ok(())
        })
    };
    let probe = Probe::at(Hook::TrainBatchEnd, || drop(log("x", 4.0).on_epoch(true)));
    let fit = trainer(&logger).max_epochs(1).callback(callback).fit(probe, line_data(8, 4));
    assert!(fit.is_ok(), "{:?}", fit.err());
    assert_eq!(lines(&logger), ["0: x_step=4 epoch=0", "1: x_step=4 epoch=0", "1: x_epoch=2.5 epoch=0"]);
    assert_eq!(*seen.lock().unwrap(), [2.5]);
}
