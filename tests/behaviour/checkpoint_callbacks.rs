//! Files of checkpoint callbacks after kills, restarts and failures.

use std::path::{Path, PathBuf};

use insta::assert_snapshot;
use stormfire::{
    Error, OnExceptionCheckpoint, SaveLast,
    checkpoint::Checkpoint,
    loggers::{Call, CheckpointInfo, MemoryLogger},
    module::{Order, run::Run},
    prelude::*,
};

use crate::{
    files::names,
    support::{Line, line_data, quiet},
};

/// Logs a `score` in each epoch.
struct Scores(&'static [f64]);

impl<M: LightningModule> Callback<M> for Scores {
    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        ctx.log("score", self.0[ctx.current_epoch()]);
        Ok(())
    }
}

/// A Trainer with scores and one checkpoint callback. An epoch has two batches.
fn scored(scores: &'static [f64], epochs: usize, callback: impl Callback<Line>) -> Trainer<Line> {
    quiet().enable_checkpointing(true).max_epochs(epochs).callback(Scores(scores)).callback(callback)
}

fn fit(mut trainer: Trainer<Line>) -> Fit<Line> {
    trainer.fit(Line::new(), line_data(4, 2)).unwrap()
}

fn best(folder: &Path) -> ModelCheckpoint {
    ModelCheckpoint::new().dirpath(folder).monitor("score").filename("{score:.0f}")
}

/// Returns the step at which a fit from this checkpoint starts.
fn step_in(checkpoint: &Path) -> u64 {
    Checkpoint::read(checkpoint).unwrap().manifest().global_step().unwrap()
}

#[test]
fn last_is_the_newest_save_point_as_a_link_or_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let last = folder.path().join("deep/last.ckpt");
    let options = best(folder.path()).last_filename("deep/last").save_last(SaveLast::Link);
    let _ = fit(scored(&[2.0, 1.0, 3.0], 2, options.clone()));
    assert_eq!(std::fs::read_link(&last).unwrap(), Path::new("../score=1.ckpt"));
    assert_eq!((step_in(&last), names(folder.path())), (4, vec!["deep".into(), "score=1.ckpt".into()]));
    let _ = fit(scored(&[2.0, 1.0, 3.0], 3, options).ckpt_path(last.clone()));
    assert!(last.symlink_metadata().unwrap().is_file());
    assert_eq!((step_in(&last), names(&folder.path().join("deep"))), (6, vec!["last.ckpt".into()]));

    // A separate file, which stays when the checkpoint is removed under its other name.
    let folder = tempfile::tempdir().unwrap();
    let _ = fit(scored(&[1.0], 1, best(folder.path()).save_last(true)));
    std::fs::remove_file(folder.path().join("score=1.ckpt")).unwrap();
    assert_eq!(step_in(&folder.path().join("last.ckpt")), 2);
}

#[test]
fn a_resumed_fit_leaves_the_files_of_an_uninterrupted_one() {
    const SCORES: &[f64] = &[5.0, 4.0, 4.2, 3.0, 4.4, 3.2];
    let options = |folder: &Path| best(folder).save_top_k(2).save_last(true);
    let uninterrupted = tempfile::tempdir().unwrap();
    let _ = fit(scored(SCORES, 6, options(uninterrupted.path())));
    assert_eq!(names(uninterrupted.path()), ["last.ckpt", "score=3-v1.ckpt", "score=3.ckpt"]);
    for (at, further) in [(1, 1), (2, 2), (3, 0), (4, 1)] {
        let (folder, aside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let _ = fit(scored(SCORES, at, options(folder.path())));
        let checkpoint = aside.path().join("copy.ckpt");
        std::fs::copy(folder.path().join("last.ckpt"), &checkpoint).unwrap();
        // The same run trains past this checkpoint, then resumes from it.
        for epochs in [at + further, 6] {
            let _ = fit(scored(SCORES, epochs, options(folder.path())).ckpt_path(checkpoint.clone()));
        }
        assert_eq!(names(folder.path()), names(uninterrupted.path()), "from epoch {at}, written up to {}", at + further);
    }
}

#[test]
fn runs_that_share_a_folder_do_not_change_each_others_files() {
    let folder = tempfile::tempdir().unwrap();
    let options = || best(folder.path()).filename("{epoch}").save_last(true);
    let _ = fit(scored(&[2.0, 1.0], 1, options()));
    let _ = fit(scored(&[2.0, 1.0], 2, options()));
    assert_eq!(names(folder.path()), ["epoch=0.ckpt", "epoch=1.ckpt", "last-v1.ckpt", "last.ckpt"]);
    let _ = fit(scored(&[2.0, 1.0], 2, options()).ckpt_path(folder.path().join("last.ckpt")));
    assert_eq!(names(folder.path()), ["epoch=1-v1.ckpt", "epoch=1.ckpt", "last-v1.ckpt", "last.ckpt"]);
}

/// Fails at the end of an epoch, after `ModelCheckpoint` has requested its file.
struct FailsLate;

impl<M: LightningModule> Callback<M> for FailsLate {
    fn order(&self) -> Order {
        Order::Save
    }

    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        if ctx.current_epoch() == 1 { Err(Error::other("the disk is on fire")) } else { Ok(()) }
    }
}

#[test]
fn a_requested_checkpoint_is_saved_in_spite_of_a_failure() {
    // The end of the epoch failed. The saved state precedes it, and its file replaces no other.
    for (on_exception, expected) in [(true, &["last.ckpt", "score=1.ckpt", "score=2.ckpt"][..]), (false, &["last.ckpt", "score=2.ckpt"])] {
        let folder = tempfile::tempdir().unwrap();
        let options = best(folder.path()).save_last(true).save_on_exception(on_exception);
        let error = scored(&[2.0, 1.0], 2, options).callback(FailsLate).fit(Line::new(), line_data(4, 2)).unwrap_err();
        insta::allow_duplicates! { assert_snapshot!(error, @"the disk is on fire (in `on_train_epoch_end` of `FailsLate`)") };
        assert_eq!(names(folder.path()), expected);
        assert_eq!(step_in(&folder.path().join("last.ckpt")), if on_exception { 4 } else { 2 });
    }
}

#[test]
fn a_failed_fit_resumes_from_its_own_checkpoint_and_removes_it() {
    let folder = tempfile::tempdir().unwrap();
    let with = |epochs: usize| quiet().max_epochs(epochs).callback(OnExceptionCheckpoint::new(folder.path()));
    let _ = with(2).callback(FailsLate).fit(Line::new(), line_data(4, 2)).unwrap_err();
    // Another run in the same folder, which also fails.
    let _ = with(2).callback(FailsLate).fit(Line::new(), line_data(4, 2)).unwrap_err();
    assert_eq!(names(folder.path()), ["on_exception-v1.ckpt", "on_exception.ckpt"]);
    let fit = fit(with(3).ckpt_path(folder.path().join("on_exception.ckpt")));
    assert_eq!((fit.stop, fit.progress.global_step), (Stop::MaxEpochs(3), 6));
    assert_eq!(names(folder.path()), ["on_exception-v1.ckpt"]);
}

#[test]
fn an_early_stop_persists_over_a_restart_unless_patience_grows() {
    const SCORES: &[f64] = &[1.0, 2.0, 3.0, 4.0, 5.0];
    let folder = tempfile::tempdir().unwrap();
    let last = folder.path().join("last.ckpt");
    let stopping = |patience: u32, from: Option<&PathBuf>| {
        let saving = ModelCheckpoint::new().dirpath(folder.path()).save_last(true);
        let trainer = scored(SCORES, 5, saving).callback(EarlyStopping::new("score").patience(patience));
        let fit = fit(match from {
            Some(path) => trainer.ckpt_path(path),
            None => trainer,
        });
        (fit.stop.to_string(), fit.progress.epoch)
    };
    let because = |looks: u32| format!("monitored metric `score` did not improve in the last {looks} checks; best score: 1.000");
    assert_eq!(stopping(2, None), (because(2), 3));
    assert_eq!(stopping(2, Some(&last)), (because(2), 3));
    assert_eq!(stopping(3, Some(&last)), (because(3), 4));
}

#[test]
fn a_callback_knows_the_checkpoint_that_the_fit_resumes_from() {
    struct Knows(Option<PathBuf>);
    impl<M: LightningModule> Callback<M> for Knows {
        fn setup(&mut self, ctx: &mut Context<'_>, _module: &mut M, _stage: Stage) -> Result<()> {
            assert_eq!(ctx.resumed_from(), self.0.as_deref());
            Ok(())
        }

        fn on_train_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
            let run: &Run = ctx.run();
            assert!(!run.id.is_empty());
            Ok(())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.ckpt");
    let saving = || ModelCheckpoint::new().dirpath(folder.path()).save_last(true);
    let _ = fit(scored(&[0.0; 2], 1, saving()).callback(Knows(None)));
    let _ = fit(scored(&[0.0; 2], 2, saving()).callback(Knows(Some(path.clone()))).ckpt_path(path));
}

#[test]
fn loggers_learn_the_best_and_the_newest_checkpoint_of_a_resumed_run() {
    let folder = tempfile::tempdir().unwrap();
    let logger = MemoryLogger::new();
    let known = || logger.calls().into_iter().filter_map(|call| if let Call::KnowsCheckpoint(info) = call { Some(info) } else { None });
    let options = || best(folder.path()).save_last(true);
    let _ = fit(scored(&[1.0, 2.0, 3.0], 2, options()).logger(logger.clone()));
    assert_eq!(known().count(), 0);
    let last = folder.path().join("last.ckpt");
    let _ = fit(scored(&[1.0, 2.0, 3.0], 3, options()).ckpt_path(last.clone()).logger(logger.clone()));
    let best = CheckpointInfo::new(folder.path().join("score=1.ckpt")).scored("score", 1.0, true);
    assert_eq!(known().collect::<Vec<_>>(), [CheckpointInfo::new(last), best]);
}
