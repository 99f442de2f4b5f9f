//! Errors for wrong options: the message says what is wrong, the hint says what to do.

use std::time::Duration;

use burn::optim::SgdConfig;
use insta::assert_snapshot;
use stormfire::{Error, data::BoxError, loggers::MemoryLogger, prelude::*};

use crate::{
    error_text::error_text,
    support::{Line, line_data, quiet, recording},
};

/// The error of a fit with this Trainer.
#[track_caller]
fn refused(mut trainer: Trainer<Line>) -> String {
    error_text(trainer.fit(Line::new(), (line_data(8, 2), line_data(8, 2))))
}

/// The errors of a fit with each of these Trainers.
#[track_caller]
fn all_refused(trainers: impl IntoIterator<Item = Trainer<Line>>) -> String {
    trainers.into_iter().map(|trainer| refused(trainer) + "\n").collect()
}

#[test]
fn a_fraction_outside_of_0_to_1_is_refused() {
    let trainers = [
        quiet().limit_train_batches(1.5),
        quiet().limit_val_batches(-0.5),
        quiet().limit_test_batches(10.0),
        quiet().limit_predict_batches(f64::NAN),
        quiet().overfit_batches(f64::INFINITY),
    ];
    assert_snapshot!(all_refused(trainers), @"
    `limit_train_batches`: 1.5 is not a fraction between 0 and 1
      hint: a whole number counts batches: `10`, not `10.0`
    `limit_val_batches`: -0.5 is not a fraction between 0 and 1
      hint: a whole number counts batches: `10`, not `10.0`
    `limit_test_batches`: 10 is not a fraction between 0 and 1
      hint: a whole number counts batches: `10`, not `10.0`
    `limit_predict_batches`: NaN is not a fraction between 0 and 1
      hint: a whole number counts batches: `10`, not `10.0`
    `overfit_batches`: inf is not a fraction between 0 and 1
      hint: a whole number counts batches: `10`, not `10.0`
    ");
}

#[test]
fn a_fraction_of_less_than_one_batch_is_refused() {
    let trainers = [quiet().limit_train_batches(0.1), quiet().limit_val_batches(0.2), quiet().overfit_batches(0.2)];
    assert_snapshot!(all_refused(trainers), @"
    `limit_train_batches`: 0.1 of 4 batches is less than one
      hint: use at least 0.2500, or a number of batches
    `limit_val_batches`: 0.2 of 4 batches is less than one
      hint: use at least 0.2500, or a number of batches
    `overfit_batches`: 0.2 of 4 batches is less than one
      hint: use at least 0.2500, or a number of batches
    ");
}

#[test]
fn a_fraction_of_data_without_a_known_length_is_refused() {
    let endless = || Loader::from_fn(|_| std::iter::repeat_with(|| unreachable!("no batch is needed")));
    assert_snapshot!(error_text(quiet().limit_train_batches(0.5).fit(Line::new(), endless())), @"
    `limit_train_batches`: the data does not know its number of batches, so a fraction of them is unknown
      hint: give a number of batches
    ");
    assert_snapshot!(error_text(quiet().val_check_interval(Every::Fraction(0.5)).fit(Line::new(), endless())), @"
    `val_check_interval`: the training data does not know its length, so a fraction of an epoch is unknown
      hint: use batches, steps or a time: `200 batches`, `50 steps`, `10 minutes`
    ");
}

#[test]
fn a_period_that_is_never_or_always_due_is_refused() {
    let periods =
        [Every::Fraction(2.0), Every::Fraction(0.0), Every::Batches(0), Every::Steps(0), Every::Epochs(0), Every::Time(Duration::ZERO)];
    assert_snapshot!(all_refused(periods.map(|every| quiet().val_check_interval(every))), @"
    `val_check_interval`: the fraction of an epoch must be in (0, 1], not 2
      hint: use `1 epoch`, or 0 as `limit_val_batches` for no validation
    `val_check_interval`: the fraction of an epoch must be in (0, 1], not 0
      hint: use `1 epoch`, or 0 as `limit_val_batches` for no validation
    `val_check_interval`: the number must be at least 1
      hint: use `1 epoch`, or 0 as `limit_val_batches` for no validation
    `val_check_interval`: the number must be at least 1
      hint: use `1 epoch`, or 0 as `limit_val_batches` for no validation
    `val_check_interval`: the number must be at least 1
      hint: use `1 epoch`, or 0 as `limit_val_batches` for no validation
    `val_check_interval`: the time must be longer than zero
      hint: use `1 epoch`, or 0 as `limit_val_batches` for no validation
    ");
}

#[test]
fn a_number_out_of_range_is_refused() {
    let clips = [0.0, -1.5, f64::NAN, f64::INFINITY].map(|value| quiet().gradient_clip_val(value));
    assert_snapshot!(all_refused(clips), @"
    `gradient_clip_val`: 0 is not a positive number
      hint: leave it out to clip nothing
    `gradient_clip_val`: -1.5 is not a positive number
      hint: leave it out to clip nothing
    `gradient_clip_val`: NaN is not a positive number
      hint: leave it out to clip nothing
    `gradient_clip_val`: inf is not a positive number
      hint: leave it out to clip nothing
    ");
    assert_snapshot!(all_refused([quiet().accumulate_grad_batches(0), quiet().max_time(Duration::ZERO)]), @"
    `accumulate_grad_batches`: a step needs at least one batch
      hint: use 1 or more
    `max_time`: the limit is zero
      hint: leave it out, or give a longer one
    ");
    assert_snapshot!(error_text(fit_with(|| Ok(Optimizer::new(SgdConfig::new(), -0.1).into()))), @"
    optimizer `SGD`: the learning rate -0.1 is not a number of at least 0
      hint: use 1e-3, for example
    ");
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let bare = || Trainer::new().barebones(true);
    let trainers = [
        quiet().min_epochs(3).max_epochs(2),
        quiet().min_steps(3).max_steps(2),
        quiet().overfit_batches(2).fast_dev_run(1),
        bare().fast_dev_run(1),
        bare().detect_anomaly(true),
        bare().profiler(stormfire::ProfilerKind::Simple),
    ];
    assert_snapshot!(all_refused(trainers), @"
    `min_epochs`: 3 is more than `max_epochs` = 2
      hint: lower one of them
    `min_steps`: 3 is more than `max_steps` = 2
      hint: lower one of them
    `overfit_batches`: it cannot be combined with `fast_dev_run`
      hint: use one of them
    `fast_dev_run`: it cannot be combined with `barebones`
      hint: leave `barebones` out
    `detect_anomaly`: it cannot be combined with `barebones`
      hint: leave `barebones` out
    `profiler`: it cannot be combined with `barebones`
      hint: leave `barebones` out
    ");
}

/// Has a state, and no custom name.
struct Remembers;

impl Callback<Line> for Remembers {
    fn state(&self) -> Result<Saved, Error> {
        Ok(state::Value::from(1).into())
    }
}

#[test]
fn callbacks_that_contradict_the_options_or_each_other_are_refused() {
    let stop = || EarlyStopping::new("val_loss");
    let trainers = [
        quiet().callback(ModelCheckpoint::new()),
        quiet().callback(ProgressBar::new()),
        Trainer::new().callback(ProgressBar::new()).callback(ProgressBar::new()),
        quiet().callback(stop()).callback(stop()),
        quiet().callback(Timer::unlimited()).callback(Timer::new("1 hour")),
        quiet().callback(Remembers).callback(Remembers),
    ];
    assert_snapshot!(all_refused(trainers), @"
    `enable_checkpointing`: it is off, but there is a `ModelCheckpoint`
      hint: leave one of them out
    `enable_progress_bar`: it is off, but there is a `ProgressBar`
      hint: leave one of them out
    `callback`: there are two progress bars
      hint: keep one of them
    `EarlyStopping::state_key`: two callbacks save their state as `EarlyStopping{monitor: val_loss, mode: min}`
      hint: leave one of them out, or name one with `EarlyStopping::named`
    `Timer::state_key`: two callbacks save their state as `Timer`
      hint: leave one of them out, or name one with `Timer::named`
    `Remembers::state_key`: two callbacks save their state as `Remembers`
      hint: leave one of them out, or implement `state_key` for `Remembers`
    ");
}

#[test]
fn two_callbacks_of_one_type_are_found_by_their_names() {
    let stop = || EarlyStopping::new("val_loss");
    let named = |epochs: usize| stop().patience(9).named(format!("{epochs} epochs"));
    let mut trainer = quiet()
        .limit_train_batches(0)
        .callback(stop())
        .callback(named(1))
        .callback(named(2))
        .callback(Timer::unlimited())
        .callback(Timer::unlimited().named("other"));
    let fit = trainer.fit(Line::new(), line_data(4, 2)).unwrap();
    assert_eq!(fit.stop, Stop::NoTrainingBatches);
    assert_eq!((trainer.get_all::<EarlyStopping>().count(), trainer.get_all::<Timer>().count()), (3, 2));
    let patience = |key: &str| trainer.get_named::<EarlyStopping>(key).map(|stop| format!("{stop:?}").contains("patience: 9"));
    assert_eq!(
        ["2 epochs", "EarlyStopping{1 epochs}", "EarlyStopping{monitor: val_loss, mode: min}", "3 epochs"].map(patience),
        [Some(true), Some(true), Some(false), None]
    );
    assert!(trainer.get_named::<Timer>("other").is_some() && trainer.get_named::<Timer>("2 epochs").is_none());
}

#[test]
fn callbacks_with_wrong_options_are_refused() {
    let saving = |callback: ModelCheckpoint| quiet().enable_checkpointing(true).callback(callback);
    let trainers = [
        saving(ModelCheckpoint::new().save_top_k(3)),
        saving(ModelCheckpoint::new().every(Every::Epochs(0))),
        quiet().callback(EarlyStopping::new("val_loss").stopping_threshold(f64::NAN)),
    ];
    assert_snapshot!(all_refused(trainers), @"
    `ModelCheckpoint::save_top_k`: the best 3 cannot be selected without a metric (in `setup` of `ModelCheckpoint`)
      hint: name it with `monitor`, or keep all, 1 (the newest) or 0 (none)
    `ModelCheckpoint::every`: the number must be at least 1 (`0 epochs`) (in `setup` of `ModelCheckpoint`)
      hint: use `1 epoch`, for example
    `EarlyStopping::stopping_threshold`: NaN cannot be compared with a metric (in `setup` of `EarlyStopping`)
      hint: leave it out, or give a number
    ");
}

#[test]
fn an_accelerator_that_is_missing_is_refused() {
    let names = Accelerator::available().iter().map(|found| format!("`{found}`")).collect::<Vec<_>>().join(", ");
    let error = refused(quiet().accelerator(Accelerator::Cuda(99))).replace(&names, "[names]");
    // The tests also run with a GPU's feature, and no machine has a hundred GPUs.
    if Accelerator::Cuda(99).device().unwrap_err().to_string().contains("cargo feature") {
        assert_snapshot!(error, @"
        `accelerator`: accelerator `cuda:99` needs the cargo feature `cuda`, which this program was built without (available here: [names])
          hint: build with `cargo … --features cuda`, or choose `auto`
        ");
    } else {
        assert_snapshot!(error, @r"
        `accelerator`: no device for accelerator `cuda:99` on this machine (available here: [names])
          hint: does `nvidia-smi` list this GPU? `auto` falls back to what is available
        ");
    }
}

#[test]
fn a_config_file_with_a_mistake_is_refused() {
    let files = [
        r#"{"max_epoch": 3}"#,
        r#"{"accelerator": "tpu"}"#,
        r#"{"val_check_interval": 0.5}"#,
        r#"{"val_check_interval": 5}"#,
        r#"{"on_non_finite": "skip"}"#,
        r#"{"profiler": "fast"}"#,
        r#"{"requeue_signal": "kill"}"#,
        r#"{"gradient_clip_algorithm": "l2"}"#,
        r#"{"max_time": "soon"}"#,
        r#"{"max_time": []}"#,
        r#"{"val_check_interval": "5 parsecs"}"#,
        r#"{"max_epochs": -1}"#,
        r#"{"max_time": -1.0}"#,
        r#"{"limit_val_batches": "all"}"#,
        r#"{"limit_val_batches": []}"#,
    ];
    let error = |json| format!("{json}\n{}\n\n", serde_json::from_str::<TrainerConfig>(json).unwrap_err());
    assert_snapshot!(files.map(error).concat());
    let config = serde_json::from_str(r#"{"accumulate_grad_batches": 0}"#).unwrap();
    assert_snapshot!(refused(Trainer::from_config(config)), @"
    `accumulate_grad_batches`: a step needs at least one batch
      hint: use 1 or more
    ");
}

type Configure = fn() -> Result<Optimizers>;

/// Fits a module with these optimizers.
fn fit_with(optimizers: Configure) -> Result<(), Error> {
    OPTIMIZERS.set(Some(optimizers));
    quiet().max_epochs(1).fit(Configured { line: Line::new() }, line_data(8, 2)).map(|fit| assert!(!fit.stop.is_interrupted()))
}

thread_local! {
    static OPTIMIZERS: std::cell::Cell<Option<Configure>> = const { std::cell::Cell::new(None) };
}

/// A line with the optimizers of a test.
#[derive(burn::module::Module, Debug)]
struct Configured {
    line: Line,
}

impl LightningModule for Configured {
    type Batch = crate::support::Batch;

    fn training_step(&self, batch: Self::Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok(self.line.loss(batch).into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        OPTIMIZERS.get().unwrap()()
    }
}

#[test]
fn optimizers_that_cannot_work_are_refused() {
    let two = || Ok([Optimizer::new(SgdConfig::new(), 0.1), Optimizer::new(SgdConfig::new(), 0.2)].into());
    assert_snapshot!(error_text(fit_with(two)), @"
    optimizer `SGD`: two optimizers have this name
      hint: give each its own with `Optimizer::named`
    ");
    let named = || Ok([Optimizer::new(SgdConfig::new(), 0.1).named("a"), Optimizer::new(SgdConfig::new(), 0.2).named("b")].into());
    assert_snapshot!(error_text(fit_with(named)), @"
    `configure_optimizers`: automatic optimization uses one optimizer, but 2 are configured (in `training_step` of `Configured`, epoch 0, batch 0)
      hint: override `training_batch` and call `Stepper::step` with each optimizer's name
    ");
    let plateau = || Ok(Optimizer::new(SgdConfig::new(), 0.1).schedule(ReduceLrOnPlateau::new()).into());
    assert_snapshot!(error_text(fit_with(plateau)), @"
    optimizer `SGD`: `ReduceLrOnPlateau` has no metric to watch
      hint: name one with `Schedule::monitor`
    ");
    let own = || Err(Error::other("the tokenizer is missing"));
    assert_snapshot!(error_text(fit_with(own)), @"the tokenizer is missing");
}

/// Reads a metric at the end of each epoch.
struct Reads(&'static str);

impl<M: LightningModule> Callback<M> for Reads {
    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        ctx.metric(self.0).map(drop)
    }
}

#[test]
fn a_missing_metric_is_reported_with_the_available_ones() {
    let folder = tempfile::tempdir().unwrap();
    let missing = |trainer: Trainer<Line>| refused(trainer.max_epochs(1)) + "\n";
    let saving = || quiet().enable_checkpointing(true).default_root_dir(folder.path());
    let errors = [
        missing(saving().callback(ModelCheckpoint::new().monitor("val_los"))),
        missing(quiet().callback(EarlyStopping::new("val_los"))),
        missing(quiet().callback(Reads("val_los"))),
    ];
    assert_snapshot!(errors.concat(), @"
    metric `val_los` is not available; available are: `val_loss` (in `on_train_epoch_end` of `ModelCheckpoint`)
      hint: did you mean `val_loss`?
    metric `val_los` is not available; available are: `val_loss` (in `on_train_epoch_end` of `EarlyStopping`)
      hint: did you mean `val_loss`?
    metric `val_los` is not available; available are: `val_loss` (in `on_train_epoch_end` of `Reads`)
      hint: did you mean `val_loss`?
    ");
    let mut trainer = quiet().max_epochs(1).callback(EarlyStopping::new("val_loss"));
    assert_snapshot!(error_text(trainer.fit(Line::new(), line_data(8, 2))), @"
    metric `val_loss` is not available; available are: none (in `on_train_epoch_end` of `EarlyStopping`)
      hint: this fit has no validation: if the validation logs it, give `fit` a validation loader; else log it with `self.log(..)`, or monitor one of the available metrics
    ");
    let watching = || {
        let schedule = Schedule::new(ReduceLrOnPlateau::new()).monitor("val_loss");
        Ok(Optimizer::new(SgdConfig::new(), 0.1).schedule(schedule).into())
    };
    assert_snapshot!(error_text(fit_with(watching)), @"
    metric `val_loss` is not available; available are: none
      hint: this fit has no validation: if the validation logs it, give `fit` a validation loader; else log it with `self.log(..)`, or monitor one of the available metrics
    ");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was saved");
}

#[test]
fn a_folder_that_cannot_be_created_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("taken");
    std::fs::write(&file, "here is a file").unwrap();
    let trainers = [
        Trainer::new().enable_progress_bar(false).enable_model_summary(false).default_root_dir(&file),
        quiet().max_epochs(1).enable_checkpointing(true).callback(ModelCheckpoint::new().dirpath(&file)),
    ];
    let errors = all_refused(trainers).replace(&folder.path().display().to_string(), "[folder]");
    assert_snapshot!(errors, @"
    `default_root_dir`: failed to create directory `[folder]/taken/lightning_logs`: Not a directory (os error 20)
      hint: choose a folder that can be written to
    `ModelCheckpoint::dirpath`: `[folder]/taken` cannot be read or written: `[folder]/taken` is not a folder (in `setup` of `ModelCheckpoint`)
      hint: choose a folder that can be created and written to
    ");
}

#[test]
fn an_error_of_the_user_names_the_hook_or_the_batch() {
    struct Fails;
    impl Callback<Line> for Fails {
        fn on_train_start(&mut self, _ctx: &mut Context<'_>, _module: &mut Line) -> Result<()> {
            Err(Error::other("the licence has expired"))
        }
    }
    let memory = MemoryLogger::new();
    assert_snapshot!(refused(recording(&memory).callback(Fails)), @"the licence has expired (in `on_train_start` of `Fails`)");
    let failing = Loader::try_from_fn(|_| std::iter::once(Err::<crate::support::Batch, BoxError>("the disk is unreachable".into())));
    assert_snapshot!(error_text(quiet().fit(Line::new(), failing)), @"loading batch 0 failed: the disk is unreachable");
}
