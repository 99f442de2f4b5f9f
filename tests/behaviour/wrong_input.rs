//! Every wrong option has a text that says what is wrong and a hint that says what to do.

use std::time::Duration;

use burn::optim::SgdConfig;
use stormfire::{Error, data::BoxError, loggers::MemoryLogger, prelude::*};

use crate::support::{Line, line_data, quiet, recording};

/// A run ends with exactly this error and hint.
#[track_caller]
pub(crate) fn check<T>(result: Result<T, Error>, text: &str, hint: Option<&str>) {
    let error = result.err().unwrap_or_else(|| panic!("expected an error: {text}"));
    assert_eq!((error.to_string().as_str(), error.hint().as_deref()), (text, hint));
    // This is what `main` prints.
    assert_eq!(format!("{error:?}"), hint.map_or_else(|| text.to_string(), |hint| format!("{text}\n  hint: {hint}")));
}

#[track_caller]
fn refuse(mut trainer: Trainer<Line>, text: &str, hint: &str) {
    check(trainer.fit(Line::new(), (line_data(8, 2), line_data(8, 2))), text, Some(hint));
}

#[test]
fn a_share_outside_of_0_to_1_is_refused() {
    let hint = "a whole number counts batches: `10`, not `10.0`";
    refuse(quiet().limit_train_batches(1.5), "`limit_train_batches`: 1.5 is not a share between 0 and 1", hint);
    refuse(quiet().limit_val_batches(-0.5), "`limit_val_batches`: -0.5 is not a share between 0 and 1", hint);
    refuse(quiet().limit_test_batches(10.0), "`limit_test_batches`: 10 is not a share between 0 and 1", hint);
    refuse(quiet().limit_predict_batches(f64::NAN), "`limit_predict_batches`: NaN is not a share between 0 and 1", hint);
    refuse(quiet().overfit_batches(f64::INFINITY), "`overfit_batches`: inf is not a share between 0 and 1", hint);
}

#[test]
fn a_share_of_too_few_batches_is_refused() {
    let hint = "use at least 0.2500, or a number of batches";
    refuse(quiet().limit_train_batches(0.1), "`limit_train_batches`: 0.1 of 4 batches is less than one", hint);
    refuse(quiet().limit_val_batches(0.2), "`limit_val_batches`: 0.2 of 4 batches is less than one", hint);
    refuse(quiet().overfit_batches(0.2), "`overfit_batches`: 0.2 of 4 batches is less than one", hint);
}

#[test]
fn a_share_of_data_without_a_known_length_is_refused() {
    let endless = || Loader::from_fn(|_| std::iter::repeat_with(|| unreachable!("no batch is needed")));
    let text = "`limit_train_batches`: the data does not know its number of batches, so no share can be taken";
    check(quiet().limit_train_batches(0.5).fit(Line::new(), endless()), text, Some("give a number of batches"));
    let text = "`val_check_interval`: the training data does not know its length, so there is no fraction of an epoch";
    let hint = "use `Every::Batches(n)`, `Every::Steps(n)` or `Every::Time(..)`";
    check(quiet().val_check_interval(Every::Fraction(0.5)).fit(Line::new(), endless()), text, Some(hint));
}

#[test]
fn a_period_that_never_or_always_ends_is_refused() {
    let hint = "use `Every::Epochs(1)`, or `limit_val_batches(0)` for no validation";
    for (every, reason) in [
        (Every::Fraction(2.0), "the fraction of an epoch must lie in (0, 1], not 2"),
        (Every::Fraction(0.0), "the fraction of an epoch must lie in (0, 1], not 0"),
        (Every::Batches(0), "the number must be at least 1"),
        (Every::Steps(0), "the number must be at least 1"),
        (Every::Epochs(0), "the number must be at least 1"),
        (Every::Time(Duration::ZERO), "the time must be longer than zero"),
    ] {
        refuse(quiet().val_check_interval(every), &format!("`val_check_interval`: {reason}"), hint);
    }
}

#[test]
fn a_number_that_makes_no_sense_is_refused() {
    refuse(quiet().accumulate_grad_batches(0), "`accumulate_grad_batches`: 0 batches make no step", "use 1 or more");
    for (value, shown) in [(0.0, "0"), (-1.5, "-1.5"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let text = format!("`gradient_clip_val`: {shown} is not a positive number");
        refuse(quiet().gradient_clip_val(value), &text, "leave it out to clip nothing");
    }
    refuse(quiet().max_time(Duration::ZERO), "`max_time`: no time at all", "leave it out, or give a longer one");
    let text = "optimizer `SGD`: the learning rate -0.1 is not a number of at least 0";
    check(fit_with(|| Ok(Optimizer::new(SgdConfig::new(), -0.1).into())), text, Some("use 1e-3, for example"));
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    let both = |max: &str| format!("3 is more than `{max}` = 2");
    refuse(quiet().min_epochs(3).max_epochs(2), &format!("`min_epochs`: {}", both("max_epochs")), "lower one of them");
    refuse(quiet().min_steps(3).max_steps(2), &format!("`min_steps`: {}", both("max_steps")), "lower one of them");
    let text = "`overfit_batches`: it cannot be combined with `fast_dev_run`";
    refuse(quiet().overfit_batches(2).fast_dev_run(1), text, "use one of them");
    let bare = || Trainer::new().barebones(true);
    for (trainer, option) in [
        (bare().fast_dev_run(1), "fast_dev_run"),
        (bare().detect_anomaly(true), "detect_anomaly"),
        (bare().profiler(stormfire::ProfilerKind::Simple), "profiler"),
    ] {
        refuse(trainer, &format!("`{option}`: it cannot be combined with `barebones`"), "leave `barebones` out");
    }
}

/// Has a state, and no name of its own.
struct Remembers;

impl Callback<Line> for Remembers {
    fn state(&self) -> Result<Saved, Error> {
        Ok(state::Value::from(1).into())
    }
}

#[test]
fn callbacks_that_contradict_the_flags_or_each_other_are_refused() {
    let leave = "leave one of them out";
    let text = "`enable_checkpointing`: it is off, but there is a `ModelCheckpoint`";
    refuse(quiet().callback(ModelCheckpoint::new()), text, leave);
    let text = "`enable_progress_bar`: it is off, but there is a `ProgressBar`";
    refuse(quiet().callback(ProgressBar::new()), text, leave);
    let two = Trainer::new().callback(ProgressBar::new()).callback(ProgressBar::new());
    refuse(two, "`callback`: there are two progress bars", "keep one of them");
    let stop = || EarlyStopping::new("val_loss");
    let text = "`callback`: two callbacks keep their state under `EarlyStopping{monitor: val_loss, mode: min}`";
    refuse(quiet().callback(stop()).callback(stop()), text, "leave one of them out, or name one with `EarlyStopping::named`");
    let text = "`callback`: two callbacks keep their state under `Timer`";
    let hint = "leave one of them out, or name one with `Timer::named`";
    refuse(quiet().callback(Timer::unlimited()).callback(Timer::new("1 hour")), text, hint);
    let hint = "leave one of them out, or implement `state_key` for `Remembers`";
    refuse(quiet().callback(Remembers).callback(Remembers), "`callback`: two callbacks keep their state under `Remembers`", hint);

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
    let text = "`ModelCheckpoint::save_top_k`: the best 3 cannot be selected without a metric (in `setup` of `ModelCheckpoint`)";
    let hint = "name it with `monitor(..)`, or use `SaveTopK::All`, 1 (the newest) or 0 (none)";
    refuse(saving(ModelCheckpoint::new().save_top_k(3)), text, hint);
    let text = "`ModelCheckpoint::every`: the number must be at least 1 (`0 epochs`) (in `setup` of `ModelCheckpoint`)";
    refuse(saving(ModelCheckpoint::new().every(Every::Epochs(0))), text, "use `Every::Epochs(1)`, for example");
    let text = "`EarlyStopping::stopping_threshold`: NaN cannot be compared with a metric (in `setup` of `EarlyStopping`)";
    let stop = EarlyStopping::new("val_loss").stopping_threshold(f64::NAN);
    refuse(quiet().callback(stop), text, "leave it out, or give a number");
}

#[test]
fn an_accelerator_that_is_not_there_is_refused() {
    let names = Accelerator::available().iter().map(|found| format!("`{found}`")).collect::<Vec<_>>().join(", ");
    // The tests run with and without a GPU's feature; nobody has a hundred GPUs.
    let is_compiled = !Accelerator::Cuda(99).device().unwrap_err().to_string().contains("cargo feature");
    let (text, hint) = if is_compiled {
        (
            format!("no device for accelerator `cuda:99` on this machine (available here: {names})"),
            "does `nvidia-smi` list this GPU? `auto` falls back to what there is",
        )
    } else {
        (
            format!("accelerator `cuda:99` needs the cargo feature `cuda`, which this program was built without (available here: {names})"),
            "build with `cargo … --features cuda`, or choose `auto`",
        )
    };
    refuse(quiet().accelerator(Accelerator::Cuda(99)), &format!("`accelerator`: {text}"), hint);
}

#[test]
fn a_config_file_with_a_mistake_is_refused() {
    for (json, text) in [
        (r#"{"max_epoch": 3}"#, "unknown field `max_epoch`, expected one of `accelerator`, `max_epochs`, `min_epochs`, "),
        (
            r#"{"accelerator": "gpu"}"#,
            "unknown accelerator `gpu`; write `auto`, `cpu`, `cuda`, `cuda:1`, `wgpu`, `vulkan` or `metal`, for example `auto`",
        ),
        (r#"{"val_check_interval": 0.5}"#, "cannot read `0.5` as a period: the unit is missing; write a number with a unit: `50 steps`"),
        (r#"{"val_check_interval": 5}"#, "cannot read `5` as a period: the unit is missing; write a number with a unit: `50 steps`"),
        (r#"{"on_non_finite": "skip"}"#, "cannot read `skip` as a policy for what is not finite: there is no such word; write `error`"),
        (r#"{"profiler": "fast"}"#, "cannot read `fast` as a profiler: there is no such word; write `simple`"),
        (r#"{"requeue_signal": "kill"}"#, "cannot read `kill` as a signal: there is no such word; write `auto`, `off`"),
        (r#"{"gradient_clip_algorithm": "l2"}"#, "cannot read `l2` as a way of clipping: there is no such word; write `norm` or `value`"),
        (r#"{"max_time": "soon"}"#, "cannot read `soon` as a time: "),
        (r#"{"max_time": []}"#, "expected `max_time` in seconds, such as `90`, or as a text with a unit, such as `10 minutes`"),
        (
            r#"{"val_check_interval": "5 parsecs"}"#,
            "cannot read `5 parsecs` as a period: `parsecs` is none of steps, batches, epochs, seconds, minutes, hours, days; write a number",
        ),
        (r#"{"max_epochs": -1}"#, "invalid value: integer `-1`, expected usize at line 1 column 17"),
        (r#"{"max_time": -1.0}"#, "cannot convert float seconds to Duration: value is negative at line 1 column 18"),
        (
            r#"{"limit_val_batches": "all"}"#,
            "cannot read `all` as a number of batches: it is not a number; write a number of batches such as `10`, or a share",
        ),
        (r#"{"limit_val_batches": []}"#, "expected a number of batches such as `10`, or a share of them such as `0.25` at line 1 column"),
    ] {
        let error = serde_json::from_str::<TrainerConfig>(json).unwrap_err().to_string();
        assert!(error.starts_with(text), "{json}: {error}");
    }
    let config = serde_json::from_str(r#"{"accumulate_grad_batches": 0}"#).unwrap();
    refuse(Trainer::from_config(config), "`accumulate_grad_batches`: 0 batches make no step", "use 1 or more");
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
    let text = "optimizer `SGD`: there are two of this name";
    check(fit_with(two), text, Some("give each its own with `Optimizer::named`"));
    let named = || Ok([Optimizer::new(SgdConfig::new(), 0.1).named("a"), Optimizer::new(SgdConfig::new(), 0.2).named("b")].into());
    let text = "`configure_optimizers`: 2 optimizers, but automatic optimization knows one \
                (in `training_step` of `Configured`, epoch 0, batch 0)";
    check(fit_with(named), text, Some("override `training_batch` and call `Stepper::step` with each optimizer's name"));
    let plateau = || Ok(Optimizer::new(SgdConfig::new(), 0.1).schedule(ReduceLrOnPlateau::new()).into());
    let text = "optimizer `SGD`: `ReduceLrOnPlateau` has no metric to watch";
    check(fit_with(plateau), text, Some("name one with `Schedule::monitor`"));
    let own = || Err(Error::other("the tokenizer is missing"));
    check(fit_with(own), "the tokenizer is missing", None);
}

const LOG_IT: Option<&str> = Some("log it with `self.log(..)`, or monitor one of the available metrics");

/// Asks for a metric at the end of each epoch.
struct Asks(&'static str);

impl<M: LightningModule> Callback<M> for Asks {
    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        ctx.metric(self.0).map(drop)
    }
}

#[test]
fn a_metric_that_nobody_logged_is_named_with_those_that_exist() {
    let folder = tempfile::tempdir().unwrap();
    let missing = |trainer: Trainer<Line>, owner: &str| {
        let data = (line_data(8, 2), line_data(8, 2));
        let text = format!("metric `val_los` is not available; available are: `val_loss` (in `on_train_epoch_end` of `{owner}`)");
        check(trainer.max_epochs(1).fit(Line::new(), data), &text, LOG_IT);
    };
    let saving = || quiet().enable_checkpointing(true).default_root_dir(folder.path());
    missing(saving().callback(ModelCheckpoint::new().monitor("val_los")), "ModelCheckpoint");
    missing(quiet().callback(EarlyStopping::new("val_los")), "EarlyStopping");
    missing(quiet().callback(Asks("val_los")), "Asks");
    let text = "metric `val_loss` is not available; available are: none (in `on_train_epoch_end` of `EarlyStopping`)";
    let mut trainer = quiet().max_epochs(1).callback(EarlyStopping::new("val_loss"));
    check(trainer.fit(Line::new(), line_data(8, 2)), text, LOG_IT);
    let watching = || {
        let schedule = Schedule::new(ReduceLrOnPlateau::new()).monitor("val_loss");
        Ok(Optimizer::new(SgdConfig::new(), 0.1).schedule(schedule).into())
    };
    check(fit_with(watching), "metric `val_loss` is not available; available are: none", LOG_IT);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was saved");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("taken");
    std::fs::write(&file, "here is a file").unwrap();
    let trainer = Trainer::new().enable_progress_bar(false).enable_model_summary(false).default_root_dir(&file);
    let text = format!(
        "`default_root_dir`: failed to create directory `{}`: Not a directory (os error 20)",
        file.join("lightning_logs").display()
    );
    refuse(trainer, &text, "choose a folder that can be written to");
    let saving = quiet().max_epochs(1).enable_checkpointing(true).callback(ModelCheckpoint::new().dirpath(&file));
    let text = format!(
        "`ModelCheckpoint::dirpath`: `{0}` cannot be read or written: `{0}` is no folder (in `setup` of `ModelCheckpoint`)",
        file.display()
    );
    refuse(saving, &text, "choose a folder that can be created and written to");
}

#[test]
fn an_error_of_the_user_is_told_with_its_place() {
    struct Fails;
    impl Callback<Line> for Fails {
        fn on_train_start(&mut self, _ctx: &mut Context<'_>, _module: &mut Line) -> Result<()> {
            Err(Error::other("the licence has expired"))
        }
    }
    let memory = MemoryLogger::new();
    let mut trainer = recording(&memory).callback(Fails);
    check(trainer.fit(Line::new(), line_data(8, 2)), "the licence has expired (in `on_train_start` of `Fails`)", None);
    let failing = Loader::try_from_fn(|_| std::iter::once(Err::<crate::support::Batch, BoxError>("the disk is gone".into())));
    check(quiet().fit(Line::new(), failing), "loading batch 0 failed: the disk is gone", None);
}
