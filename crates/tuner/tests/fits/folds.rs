use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use stormfire_callbacks::ModelCheckpoint;
use stormfire_module::{Callback, Context, Error, Result, StepOutput};
use stormfire_ranks::threads;
use stormfire_trainer::Trainer;

use crate::{Line, alone, line_data};
use stormfire_tuner::{FoldScores, cross_validate};

#[test]
fn each_fold_is_a_run_and_metrics_have_mean_and_deviation() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let trainer = || Trainer::new().max_epochs(1).seed(1).enable_progress_bar(false).enable_model_summary(false);
    let fold = |number: usize, items: usize| {
        assert_eq!(items, [4, 8, 12][number]);
        Ok((trainer(), Line::fixed(), (line_data(8, 4), line_data(items, 4))))
    };
    let scores = cross_validate(folder.path(), [4, 8, 12], fold).unwrap();
    let values: Vec<f64> = scores.folds().iter().map(|fold| fold.get("val_loss").unwrap()).collect();
    // numpy.mean and numpy.std(ddof=1).
    let mean = (values[0] + values[1] + values[2]) / 3.0;
    let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
    assert!(deviation > 0.0 && (scores.mean("val_loss").unwrap() - mean).abs() < 1e-12);
    assert!((scores.deviation("val_loss").unwrap() - deviation).abs() < 1e-12);
    assert_eq!((scores.mean("val_acc"), scores.names().collect::<Vec<_>>()), (None, vec!["val_loss"]));
    for number in 0..3 {
        let run = folder.path().join(format!("version_0/fold_{number}"));
        assert!(run.join("metrics.csv").exists() && run.join("checkpoints").exists());
    }
    let csv = std::fs::read_to_string(folder.path().join("version_0/folds.csv")).unwrap();
    assert!(csv.starts_with("metric,mean,deviation,fold_0,fold_1,fold_2\nval_loss,"), "{csv}");
    assert!(scores.to_string().contains("mean ± deviation of 3 folds"), "{scores}");
    cross_validate(folder.path(), [4], fold).unwrap();
    assert!(folder.path().join("version_1/fold_0").exists(), "another call has another version");
}

#[test]
fn a_fold_that_fails_ends_the_whole() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let mut made = 0;
    let result = cross_validate(folder.path(), 0..3, |_, _| {
        made += 1;
        let trainer = Trainer::<Line>::new().max_epochs(1).enable_progress_bar(false).enable_model_summary(false);
        if made == 2 { Err(Error::other("no data")) } else { Ok((trainer, Line::fixed(), line_data(8, 4))) }
    });
    assert_eq!((result.unwrap_err().to_string(), made), ("no data".to_owned(), 2));
}

#[test]
fn ranks_train_each_fold_together() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let scores = |window: usize| {
        cross_validate(folder.path(), [4, 8], |_, items| {
            let trainer = Trainer::new().max_epochs(1).seed(1).enable_progress_bar(false).enable_model_summary(false);
            let trainer = trainer.handle_signals(false).accumulate_grad_batches(window);
            Ok((trainer, Line::fixed(), (line_data(8, 2), line_data(items, 2))))
        })
    };
    let one = scores(2).unwrap();
    let several: Vec<_> = threads::run(2, |_| scores(1)).into_iter().map(Result::unwrap).collect();
    for ended in &several {
        assert_eq!(ended.folds().len(), 2);
        for (a, b) in one.folds().iter().zip(ended.folds()) {
            assert!((a.get("val_loss").unwrap() - b.get("val_loss").unwrap()).abs() < 1e-6, "{a:?} {b:?}");
        }
    }
    assert!(folder.path().join("version_1/fold_1/metrics.csv").exists() && folder.path().join("version_1/folds.csv").exists());
    assert!(!folder.path().join("fold_0").exists() && !folder.path().join("version_2").exists());
}

/// Counts batches, and fails at the start of an epoch.
struct Watch {
    batches: Arc<AtomicUsize>,
    fails_at: Option<usize>,
}

impl Callback<Line> for Watch {
    fn on_train_epoch_start(&mut self, ctx: &mut Context<'_>, _module: &mut Line) -> Result<()> {
        if self.fails_at == Some(ctx.current_epoch()) { Err(Error::other("the lamp fell over")) } else { Ok(()) }
    }

    fn on_train_batch_end(&mut self, _ctx: &mut Context<'_>, _module: &mut Line, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        self.batches.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Three folds with two batches an epoch. The second one may fail after two epochs.
fn folds(folder: &Path, epochs: usize, fails: bool, batches: &Arc<AtomicUsize>) -> Result<FoldScores> {
    folds_of(folder, &[4, 8, 12], epochs, fails, batches)
}

/// As [`folds`], with these numbers of items to validate.
fn folds_of(folder: &Path, items: &[usize], epochs: usize, fails: bool, batches: &Arc<AtomicUsize>) -> Result<FoldScores> {
    cross_validate(folder, items.to_vec(), |number, items| {
        let watch = Watch { batches: batches.clone(), fails_at: (fails && number == 1).then_some(2) };
        let trainer = Trainer::new().max_epochs(epochs).seed(1).enable_progress_bar(false).enable_model_summary(false);
        let trainer = trainer.handle_signals(false).callback(watch);
        Ok((trainer, Line::fixed(), (line_data(8, 4), line_data(items, 4))))
    })
}

#[test]
fn a_call_continues_one_that_has_failed() {
    let _alone = alone();
    let (halved, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let batches: Arc<AtomicUsize> = Arc::default();
    let trained = |ended: Result<FoldScores>| (ended.map_err(|error| error.to_string()), batches.swap(0, Ordering::Relaxed));
    let (failed, count) = trained(folds(halved.path(), 4, true, &batches));
    assert!(failed.is_err_and(|error| error.contains("the lamp fell over")) && count == 8 + 4, "{count}");
    let (continued, count) = trained(folds(halved.path(), 4, false, &batches));
    assert_eq!(count, 4 + 8, "two epochs of the second fold, and the third fold");
    assert_eq!(continued, trained(folds(whole.path(), 4, false, &batches)).0);
    let csv = |folder: &Path| std::fs::read_to_string(folder.join("version_0/folds.csv")).unwrap();
    assert_eq!(csv(halved.path()), csv(whole.path()));
    // It is complete: the next call is another one.
    let (again, count) = trained(folds(halved.path(), 4, false, &batches));
    assert_eq!((again, count), (continued, 24));
    assert!(halved.path().join("version_1/folds.csv").exists());
}

#[test]
fn a_fold_without_a_checkpoint_starts_from_scratch() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let batches: Arc<AtomicUsize> = Arc::default();
    folds(folder.path(), 4, true, &batches).unwrap_err();
    std::fs::remove_dir_all(folder.path().join("version_0/fold_1/checkpoints")).unwrap();
    batches.store(0, Ordering::Relaxed);
    folds(folder.path(), 4, false, &batches).unwrap();
    assert_eq!(batches.load(Ordering::Relaxed), 16);
}

/// Nothing of the first start stays in the logs.
#[test]
fn a_fold_with_weights_only_starts_from_scratch() {
    let _alone = alone();
    let (halved, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let batches: Arc<AtomicUsize> = Arc::default();
    let fold = |folder: &Path, fails: bool| {
        cross_validate(folder, [4], |_, items| {
            let watch = Watch { batches: batches.clone(), fails_at: fails.then_some(2) };
            let trainer = Trainer::new().max_epochs(4).seed(1).enable_progress_bar(false).enable_model_summary(false);
            let trainer = trainer.handle_signals(false).callback(watch).callback(ModelCheckpoint::new().save_weights_only(true));
            Ok((trainer, Line::fixed(), (line_data(8, 4), line_data(items, 4))))
        })
    };
    fold(halved.path(), true).unwrap_err();
    assert!(std::fs::read_dir(halved.path().join("version_0/fold_0/checkpoints")).unwrap().count() > 0);
    assert_eq!(fold(halved.path(), false).unwrap(), fold(whole.path(), false).unwrap());
    assert_eq!(batches.load(Ordering::Relaxed), 4 + 8 + 8);
    let log = |folder: &Path| std::fs::read_to_string(folder.join("version_0/fold_0/metrics.csv")).unwrap();
    assert_eq!(log(halved.path()), log(whole.path()));
}

#[test]
fn a_call_with_other_options_starts_from_scratch() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let batches: Arc<AtomicUsize> = Arc::default();
    folds(folder.path(), 4, true, &batches).unwrap_err();
    batches.store(0, Ordering::Relaxed);
    folds(folder.path(), 3, false, &batches).unwrap();
    assert_eq!(batches.load(Ordering::Relaxed), 18);
    assert!(folder.path().join("version_1/folds.csv").exists() && !folder.path().join("version_0/folds.csv").exists());
}

#[test]
fn folds_that_have_changed_are_fitted_again() {
    let _alone = alone();
    let batches: Arc<AtomicUsize> = Arc::default();
    // Each fold has eight batches. Of as many folds, the first one is complete and the same.
    for (others, version) in [(&[4, 8][..], "version_1"), (&[4, 16, 12][..], "version_0")] {
        let (folder, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        folds(folder.path(), 4, true, &batches).unwrap_err();
        batches.store(0, Ordering::Relaxed);
        let scores = folds_of(folder.path(), others, 4, false, &batches).unwrap();
        assert_eq!(batches.load(Ordering::Relaxed), 16, "{others:?}");
        assert_eq!(scores, folds_of(whole.path(), others, 4, false, &batches).unwrap());
        assert!(folder.path().join(version).join("folds.csv").exists(), "{others:?}");
    }
}

#[test]
fn a_call_does_not_continue_an_active_one() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let batches: Arc<AtomicUsize> = Arc::default();
    let outer = cross_validate(folder.path(), 0..2, |number, _| {
        if number == 1 {
            folds(folder.path(), 1, false, &batches)?;
        }
        let trainer = Trainer::new().max_epochs(1).seed(1).enable_progress_bar(false).enable_model_summary(false).handle_signals(false);
        Ok((trainer, Line::fixed(), (line_data(8, 4), line_data(4, 4))))
    });
    assert_eq!((outer.unwrap().folds().len(), batches.load(Ordering::Relaxed)), (2, 6));
    let names = |version: &str| [0, 1, 2].map(|number| folder.path().join(format!("{version}/fold_{number}.json")).exists());
    assert_eq!((names("version_0"), names("version_1")), ([true, true, false], [true; 3]));
}

#[test]
fn ranks_continue_a_call_together() {
    let _alone = alone();
    let (halved, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let batches: Arc<AtomicUsize> = Arc::default();
    let on_ranks = |folder: &Path, fails: bool| threads::run(2, |_| folds(folder, 4, fails, &batches));
    assert!(on_ranks(halved.path(), true).iter().all(Result::is_err));
    let losses = |folder: &Path| {
        let ended = on_ranks(folder, false).into_iter().map(Result::unwrap);
        ended.map(|scores| scores.folds().iter().map(|fold| fold.get("val_loss").unwrap().to_bits()).collect()).collect::<Vec<Vec<u64>>>()
    };
    let continued = losses(halved.path());
    assert_eq!(continued, losses(whole.path()));
    assert!(continued[0].len() == 3 && continued[0] == continued[1]);
    assert!(halved.path().join("version_0/folds.csv").exists() && !halved.path().join("version_1").exists());
}
