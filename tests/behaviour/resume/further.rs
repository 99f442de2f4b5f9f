//! Several fits of one Trainer, as separate runs or as a continuation.

use std::path::Path;

use burn::module::Module as _;
use insta::assert_snapshot;
use stormfire::{
    checkpoint::Checkpoint,
    loggers::{CometLogger, CsvLogger, Hyperparams, Logger, Metrics, MlflowLogger, NeptuneLogger, TensorBoardLogger, WandbLogger},
    prelude::*,
};

use super::{
    more_steps::{data, net},
    net::Net,
    observer::{Busy, Observer, Seen},
    places::logging,
};
use crate::{
    child::{folder, part, play},
    error_text::error_text,
    files::{names, read_csv, read_events_of_the_continued},
    repeatability::weights,
    rig::{Logging, run_of},
    support::{line_data, quiet},
};

fn fit(trainer: &mut Trainer<Logging>) -> Fit<Logging> {
    trainer.fit(Logging::new(), line_data(8, 2)).unwrap()
}

#[test]
fn a_second_fit_is_a_separate_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = logging(folder.path(), 2);
    for _ in 0..3 {
        assert_eq!(fit(&mut trainer).progress.global_step, 8);
    }
    let runs = folder.path().join("lightning_logs");
    assert_eq!(names(&runs), ["version_0", "version_1", "version_2"]);
    for run in names(&runs) {
        let run = runs.join(run);
        assert_eq!(read_csv(&run).steps(), (0..8).collect::<Vec<_>>());
        assert_eq!(names(&run.join("checkpoints")), ["epoch=0.ckpt", "epoch=1.ckpt"]);
    }
    assert_eq!(trainer.log_dir(), Some(runs.join("version_2").as_path()));
}

#[test]
fn a_second_fit_with_a_given_version_has_a_separate_folder() {
    let folder = tempfile::tempdir().unwrap();
    let with = |epochs: usize| {
        let runs = folder.path().join("runs");
        let loggers = logging(folder.path(), epochs).logger(CsvLogger::new(&runs).name("").version("try"));
        loggers.logger(TensorBoardLogger::new(&runs).name("").version("try"))
    };
    let mut trainer = with(1);
    let _ = (fit(&mut trainer), fit(&mut trainer));
    let runs = folder.path().join("runs");
    assert_eq!(names(&runs), ["try", "try-v1"]);
    assert_eq!(read_csv(&runs.join("try-v1")).steps(), (0..4).collect::<Vec<_>>());
    // Another process finds the second run.
    assert_eq!(fit(&mut with(2).ckpt_path(runs.join("try-v1/checkpoints/epoch=0.ckpt"))).progress.global_step, 8);
    assert_eq!(names(&runs), ["try", "try-v1"]);
    assert_eq!(read_csv(&runs.join("try-v1")).steps(), (0..8).collect::<Vec<_>>());
}

#[test]
fn a_second_fit_with_a_checkpoint_continues_the_logs_of_its_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = logging(folder.path(), 3);
    let _ = fit(&mut trainer);
    let whole = read_csv(&run_of(folder.path()));
    trainer.set_ckpt_path(run_of(folder.path()).join("checkpoints/epoch=0.ckpt"));
    assert_eq!(fit(&mut trainer).progress.global_step, 12);
    assert_eq!(names(&folder.path().join("lightning_logs")), ["version_0"]);
    assert_eq!(read_csv(&run_of(folder.path())).steps(), whole.steps());
    // After a resume from an earlier checkpoint, the files written since then are the newest.
    let _ = fit(&mut logging(folder.path(), 4).ckpt_path("last"));
    assert_eq!(read_csv(&run_of(folder.path())).steps(), (0..16).collect::<Vec<_>>());
}

#[test]
fn a_fit_after_a_refused_one_does_not_change_the_logs_of_that_run() {
    let folder = tempfile::tempdir().unwrap();
    let _ = fit(&mut logging(folder.path(), 2));
    let run = run_of(folder.path());
    let whole = read_csv(&run);
    let mut trainer = logging(folder.path(), 1).ckpt_path(run.join("checkpoints/epoch=1.ckpt"));
    trainer.fit(Logging::new(), line_data(8, 2)).unwrap_err();
    let _ = fit(&mut trainer);
    assert_eq!(read_csv(&run), whole);
    assert_eq!(read_csv(&folder.path().join("lightning_logs/version_1")).steps(), (0..4).collect::<Vec<_>>());
}

#[test]
fn a_wrong_clock_does_not_decide_which_checkpoint_is_newest() {
    let folder = tempfile::tempdir().unwrap();
    let _ = fit(&mut logging(folder.path(), 1));
    let first = run_of(folder.path()).join("checkpoints/epoch=0.ckpt");
    let (mut manifest, tensors) = Checkpoint::read(&first).unwrap().into_parts();
    manifest.saved_at = "2099-01-01T00:00:00.000000000Z".into();
    stormfire::checkpoint::write(&first, &manifest, &tensors.into_iter().collect::<Vec<_>>()).unwrap();
    for epochs in [2, 3] {
        let mut trainer = logging(folder.path(), epochs).callback(After(epochs - 1)).ckpt_path("last");
        assert_eq!(fit(&mut trainer).progress.epoch, epochs);
    }
}

#[test]
fn a_second_fit_is_another_run_of_a_tracker() {
    type SetUp = fn(Trainer<Logging>, &Path) -> Trainer<Logging>;
    let set_ups: [(SetUp, &str, &str); 4] = [
        (|trainer, root| trainer.logger(NeptuneLogger::new(root)), ".neptune/offline", "run__"),
        (|trainer, root| trainer.logger(WandbLogger::new().offline(true).save_dir(root).id("mine")), "wandb", "offline-run"),
        (|trainer, root| trainer.logger(CometLogger::new().offline(true).save_dir(root.join("comet"))), "comet", ""),
        (
            |trainer, root| {
                let uri = root.join("mlruns").join("of-all").display().to_string();
                trainer.logger(MlflowLogger::new().tracking_uri(uri).save_dir(root).experiment("e"))
            },
            "mlruns/of-all",
            "",
        ),
    ];
    for (set_up, runs, prefix) in set_ups {
        let root = tempfile::tempdir().unwrap();
        let mut trainer = set_up(logging(root.path(), 1), root.path());
        let first = (fit(&mut trainer), trainer.loggers()[0].version().to_owned()).1;
        let second = (fit(&mut trainer), trainer.loggers()[0].version().to_owned()).1;
        assert_ne!(first, second);
        drop(trainer);
        let mut runs = root.path().join(runs);
        if runs.ends_with("of-all") {
            runs = names(&runs).into_iter().map(|name| runs.join(name)).find(|path| names(path).len() > 1).unwrap();
        }
        let is_run = |name: &String| name.starts_with(prefix) && name != "meta.yaml";
        let found: Vec<String> = names(&runs).into_iter().filter(is_run).collect();
        assert_eq!(found.len(), 2, "{found:?}");
    }
}

/// Checks the number of completed epochs at the start of a fit.
struct After(usize);

impl<M: LightningModule> Callback<M> for After {
    fn on_fit_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        assert_eq!(ctx.progress().epoch, self.0);
        Ok(())
    }
}

/// A fit of a net with every kind of state, up to `steps` steps.
fn busy(folder: &Path, steps: u64, observer: Observer) -> Trainer<Net> {
    Trainer::new()
        .default_root_dir(folder)
        .seed(5)
        .max_epochs(3)
        .max_steps(steps)
        .val_check_interval(Every::Batches(4))
        .log_every_n_steps(1)
        .enable_progress_bar(false)
        .enable_model_summary(false)
        .callback(LearningRateMonitor::new())
        .callback(EarlyStopping::new("val_loss").patience(100))
        .callback(Busy::default())
        .callback(ModelCheckpoint::new().save_last(true))
        .callback(observer)
}

/// Helper test for a child process, because each fit starts with new random numbers.
#[test]
#[ignore = "a part of `fit_further_equals_one_longer_fit`"]
fn goes_further() {
    if folder().is_none() {
        return;
    }
    let watching = || Observer { reads: true, ..Observer::default() };
    let whole = tempfile::tempdir().unwrap();
    let observer = watching();
    let all = std::sync::Arc::clone(&observer.seen);
    let uninterrupted = busy(whole.path(), 22, observer).fit(net(false), (data().train(), data().val())).unwrap();
    let all = all.lock().unwrap().clone();
    // In mid-epoch, at a validation, at the end of an epoch, and several times.
    for stops in [&[2_u64][..], &[4], &[9], &[6, 13], &[1, 2, 3, 18]] {
        let broken = tempfile::tempdir().unwrap();
        let observer = watching();
        let seen = std::sync::Arc::clone(&observer.seen);
        let mut trainer = busy(broken.path(), stops[0], observer);
        let mut fit = trainer.fit(net(false), (data().train(), data().val())).unwrap();
        for steps in stops.iter().skip(1).chain([&22]) {
            // A use of the module between the fits makes no difference.
            let _ = trainer.validate(&fit.module, data().val()).unwrap();
            seen.lock().unwrap().clear();
            trainer.set_max_steps(*steps);
            fit = trainer.fit_further(fit.module, (data().train(), data().val())).unwrap();
        }
        let what = format!("{stops:?}");
        assert_eq!((&fit.stop, &fit.progress), (&uninterrupted.stop, &uninterrupted.progress), "{what}");
        assert_eq!(weights(&fit.module.valid()), weights(&uninterrupted.module.valid()), "{what}");
        // A callback that saves is not reset to before the end of the epoch, so the observer has counted this end.
        let what_of = |seen: &[Seen]| seen.iter().map(|event| format!("{:?} {}", event.hook, event.what)).collect::<Vec<_>>();
        let seen = what_of(&seen.lock().unwrap());
        assert_eq!(seen, what_of(&all[all.len() - seen.len()..]), "{what}");
        let [whole, broken] = [whole.path(), broken.path()].map(run_of);
        assert_eq!(names(broken.parent().unwrap()), ["version_0"], "{what}");
        let train = |run: &Path| read_csv(run).column("train_loss_step").into_iter().map(String::from).collect::<Vec<_>>();
        assert_eq!(train(&broken), train(&whole), "{what}");
        assert!(!read_events_of_the_continued(&broken).is_empty());
    }
}

#[test]
fn fit_further_equals_one_longer_fit() {
    play(part("resume::further::goes_further", tempfile::tempdir().unwrap().path()));
}

#[test]
fn fit_further_leaves_the_files_of_one_longer_fit() {
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Logging::new();
    let _ = logging(whole.path(), 3).seed(3).fit(first.clone(), line_data(8, 2)).unwrap();
    let mut trainer = logging(parts.path(), 1).seed(3);
    let mut fit = trainer.fit(first, line_data(8, 2)).unwrap();
    for epochs in [2, 3] {
        trainer.set_max_epochs(epochs);
        fit = trainer.fit_further(fit.module, line_data(8, 2)).unwrap();
        assert_eq!(fit.progress.epoch, epochs);
    }
    let [whole, parts] = [whole.path(), parts.path()].map(run_of);
    assert_eq!(std::fs::read(parts.join("metrics.csv")).unwrap(), std::fs::read(whole.join("metrics.csv")).unwrap());
    assert_eq!(names(&parts.join("checkpoints")), names(&whole.join("checkpoints")));
}

#[test]
fn fit_further_without_a_fit_is_refused() {
    assert_snapshot!(error_text(quiet().fit_further(Logging::new(), line_data(8, 2))), @"
    `fit_further`: there was no fit yet
      hint: call `Trainer::fit` first
    ");
    let mut trainer = quiet().limit_train_batches(0.01);
    trainer.fit(Logging::new(), line_data(8, 2)).unwrap_err();
    assert_snapshot!(error_text(trainer.fit_further(Logging::new(), line_data(8, 2))), @"
    `fit_further`: no fit has completed
      hint: call it after a `Trainer::fit` that has returned a module, or resume from a checkpoint with `set_ckpt_path`
    ");
}

/// Panics at a step.
struct Panics(u64);

impl Logger for Panics {
    fn name(&self) -> &'static str {
        "panics"
    }

    fn version(&self) -> String {
        "0".into()
    }

    fn log_metrics(&mut self, _metrics: &Metrics, step: Option<u64>) -> stormfire::loggers::Result<()> {
        assert_ne!(step, Some(self.0), "the logger is broken");
        Ok(())
    }

    fn log_hyperparams(&mut self, _params: &Hyperparams, _initial_metrics: &Metrics) -> stormfire::loggers::Result<()> {
        Ok(())
    }
}

/// Waits in the batch of a step until the loggers have finished their work.
struct Waits(u64);

impl<M: LightningModule> Callback<M> for Waits {
    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        if ctx.global_step() == self.0 {
            for logger in ctx.loggers().iter() {
                let _ = logger.position().wait();
            }
        }
        Ok(())
    }
}

#[test]
fn a_failing_logger_does_not_prevent_a_due_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("saved");
    let with = |logger: Panics| {
        let saving = ModelCheckpoint::new().dirpath(&saved).every(Every::Steps(5)).save_last(true);
        quiet()
            .enable_checkpointing(true)
            .default_root_dir(folder.path())
            .max_epochs(2)
            .log_every_n_steps(1)
            .logger(logger)
            .callback(saving)
    };
    let mut failing = with(Panics(3)).callback(stormfire::OnExceptionCheckpoint::new(&saved)).callback(Waits(5));
    let error = failing.fit(Logging::new(), line_data(12, 2)).unwrap_err();
    assert_snapshot!(error, @r"
    logger `panics` panicked: assertion `left != right` failed: the logger is broken
      left: Some(3)
     right: Some(3)
    ");
    assert_eq!(names(&saved), ["epoch=0-step=5.ckpt", "last.ckpt", "on_exception.ckpt"]);
    let fit = with(Panics(u64::MAX)).ckpt_path("last").callback(After(0)).fit(Logging::new(), line_data(12, 2)).unwrap();
    assert_eq!(fit.progress.global_step, 12);
    assert_eq!(names(&saved), ["epoch=1-step=10.ckpt", "last.ckpt", "on_exception.ckpt"]);
}

/// Fails at a step.
struct FailsAt(u64);

impl<M: LightningModule> Callback<M> for FailsAt {
    fn on_train_batch_start(&mut self, ctx: &mut Context<'_>, _module: &mut M, _batch: &M::Batch, _batch_idx: usize) -> Result<()> {
        if ctx.global_step() == self.0 { Err(stormfire::Error::other("enough")) } else { Ok(()) }
    }
}

#[test]
fn repeated_failures_keep_one_failure_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let saving = || ModelCheckpoint::new().every(Every::Steps(100)).save_on_exception(true);
    let run = run_of(folder.path()).join("checkpoints");
    for step in [2, 3, 5] {
        let mut trainer = logging_without_checkpoints(folder.path()).callback(saving()).callback(FailsAt(step)).ckpt_path("last");
        trainer.fit(Logging::new(), line_data(16, 2)).unwrap_err();
        assert_eq!(names(&run), [format!("epoch=0-step={step}.ckpt")]);
    }
    // The checkpoint that the fit resumed from stays.
    let named = run.join("epoch=0-step=5.ckpt");
    let mut trainer = logging_without_checkpoints(folder.path()).callback(saving()).callback(FailsAt(7)).ckpt_path(&named);
    trainer.fit(Logging::new(), line_data(16, 2)).unwrap_err();
    assert_eq!(names(&run), ["epoch=0-step=5.ckpt", "epoch=0-step=7.ckpt"]);
}

fn logging_without_checkpoints(folder: &Path) -> Trainer<Logging> {
    let trainer = Trainer::new().default_root_dir(folder).max_epochs(2).log_every_n_steps(1);
    trainer.enable_progress_bar(false).enable_model_summary(false)
}
