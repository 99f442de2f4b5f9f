//! The file that a fit resumes from, and the folder of its logs.

use std::path::{Path, PathBuf};

use insta::assert_snapshot;
use stormfire::{checkpoint::Checkpoint, prelude::*};

use crate::{
    error_text::error_text,
    files::{Table, names, read_csv, read_events_of_the_continued, steps_of},
    rig::{Logging, run_of},
    support::{Line, line_data, quiet},
};

/// The default loggers, and checkpoints after every epoch of four steps.
pub(super) fn logging(folder: &Path, epochs: usize) -> Trainer<Logging> {
    Trainer::new()
        .default_root_dir(folder)
        .max_epochs(epochs)
        .log_every_n_steps(1)
        .enable_progress_bar(false)
        .enable_model_summary(false)
        .callback(ModelCheckpoint::new().save_top_k(SaveTopK::All).filename("{epoch}"))
}

fn fit(mut trainer: Trainer<Logging>) -> Fit<Logging> {
    trainer.fit(Logging::new(), line_data(8, 2)).unwrap()
}

fn versions(folder: &Path) -> Vec<String> {
    names(&folder.join("lightning_logs"))
}

fn table(folder: &Path, version: &str) -> Table {
    read_csv(&folder.join("lightning_logs").join(version))
}

#[test]
fn last_starts_from_scratch_without_a_checkpoint_and_resumes_with_one() {
    let folder = tempfile::tempdir().unwrap();
    for epochs in [1, 2, 4] {
        let fit = fit(logging(folder.path(), epochs).ckpt_path("last"));
        assert_eq!((fit.stop, fit.progress.global_step), (Stop::MaxEpochs(epochs), 4 * epochs as u64));
    }
    assert_eq!(versions(folder.path()), ["version_0"]);
    let run = run_of(folder.path());
    assert_eq!(names(&run.join("checkpoints")), ["epoch=0.ckpt", "epoch=1.ckpt", "epoch=2.ckpt", "epoch=3.ckpt"]);
    assert_eq!(read_csv(&run).steps(), (0..16).collect::<Vec<_>>());
    assert_eq!(steps_of(&read_events_of_the_continued(&run), "train_loss"), (0..16).collect::<Vec<_>>());
}

/// Checks that two epochs are completed at the start of the fit.
struct AfterTwoEpochs;

impl<M: LightningModule> Callback<M> for AfterTwoEpochs {
    fn on_fit_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        assert_eq!(ctx.progress().epoch, 2);
        Ok(())
    }
}

#[test]
fn last_ignores_damaged_files_and_files_with_weights_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = logging(folder.path(), 3);
    let whole = trainer.fit(Logging::new(), line_data(8, 2)).unwrap();
    let checkpoints = run_of(folder.path()).join("checkpoints");
    trainer.save_weights(&whole.module, checkpoints.join("weights.ckpt")).unwrap();
    let newest = checkpoints.join("epoch=2.ckpt");
    let mut bytes = std::fs::read(&newest).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&newest, bytes).unwrap();
    assert_eq!(fit(logging(folder.path(), 3).callback(AfterTwoEpochs).ckpt_path("last")).progress.global_step, 12);
}

#[test]
fn rows_after_the_checkpoint_are_truncated() {
    let folder = tempfile::tempdir().unwrap();
    let _ = fit(logging(folder.path(), 4));
    let whole = table(folder.path(), "version_0");
    let second = run_of(folder.path()).join("checkpoints/epoch=1.ckpt");
    let _ = fit(logging(folder.path(), 3).ckpt_path(&second));
    let again = table(folder.path(), "version_0");
    assert_eq!(again.steps(), (0..12).collect::<Vec<_>>());
    assert_eq!(again.rows, whole.rows[..12]);
    assert_eq!(steps_of(&read_events_of_the_continued(&run_of(folder.path())), "train_loss"), (0..12).collect::<Vec<_>>());
}

#[test]
fn a_new_version_contains_only_the_resumed_steps() {
    let folder = tempfile::tempdir().unwrap();
    let _ = fit(logging(folder.path(), 2));
    let first = run_of(folder.path()).join("checkpoints/epoch=0.ckpt");
    let _ = fit(logging(folder.path(), 3).ckpt_path(&first).new_version_on_resume(true));
    assert_eq!(versions(folder.path()), ["version_0", "version_1"]);
    assert_eq!(table(folder.path(), "version_0").steps(), (0..8).collect::<Vec<_>>());
    assert_eq!(table(folder.path(), "version_1").steps(), (4..12).collect::<Vec<_>>());
    let new = folder.path().join("lightning_logs/version_1");
    assert!(new.join("hparams.yaml").exists());
    assert_eq!(names(&new.join("checkpoints")), ["epoch=1.ckpt", "epoch=2.ckpt"]);
}

#[test]
fn deleted_logs_lead_to_a_new_version() {
    let folder = tempfile::tempdir().unwrap();
    let _ = fit(logging(folder.path(), 1));
    let aside = folder.path().join("aside.ckpt");
    std::fs::copy(run_of(folder.path()).join("checkpoints/epoch=0.ckpt"), &aside).unwrap();
    std::fs::remove_dir_all(folder.path().join("lightning_logs")).unwrap();
    assert_eq!(fit(logging(folder.path(), 2).ckpt_path(&aside)).progress.global_step, 8);
    assert_eq!(table(folder.path(), "version_0").steps(), (4..8).collect::<Vec<_>>());
}

/// Logs the score of each epoch.
struct Scores(&'static [f64]);

impl<M: LightningModule> Callback<M> for Scores {
    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        ctx.log("score", self.0[ctx.current_epoch()]);
        Ok(())
    }
}

#[test]
fn best_is_the_best_score_for_a_test_and_for_a_fit() {
    let folder = tempfile::tempdir().unwrap();
    let scored = |epochs: usize| {
        let best = ModelCheckpoint::new().dirpath(folder.path().join("checkpoints")).monitor("score").save_top_k(3).filename("{epoch}");
        let trainer = quiet().enable_checkpointing(true).default_root_dir(folder.path());
        trainer.max_epochs(epochs).callback(Scores(&[3.0, 1.0, 2.0, 4.0])).callback(best)
    };
    let mut trainer = scored(3);
    let fit = trainer.fit(Line::new(), line_data(8, 2)).unwrap();
    let of = |module: &Line, trainer: &mut Trainer<Line>| trainer.test(module, line_data(8, 2)).unwrap();
    let newest = of(&fit.module, &mut trainer);
    trainer.set_ckpt_path("best");
    let best = of(&fit.module, &mut trainer);
    let second =
        Line::new().load_weights(folder.path().join("checkpoints/epoch=1.ckpt"), &stormfire::checkpoint::LoadOptions::new()).unwrap().0;
    assert_eq!(best, of(&second, &mut trainer));
    assert_ne!(best, newest);
    // The path is used once.
    assert_eq!(of(&fit.module, &mut trainer), newest);

    // Another process reads it from the newest checkpoint.
    let mut trainer = scored(4).ckpt_path("best");
    assert_eq!(of(&Line::new(), &mut trainer), best);
    let fit = scored(2).ckpt_path("best").fit(Line::new(), line_data(8, 2)).unwrap();
    assert_eq!((fit.stop, fit.progress.global_step), (Stop::MaxEpochs(2), 8));
}

#[test]
fn best_without_a_checkpoint_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let trainer = || quiet().default_root_dir(folder.path()).ckpt_path("best");
    let error = error_text(trainer().fit(Line::new(), line_data(8, 2)));
    assert_snapshot!(error, @"
    `ckpt_path`: there is no best checkpoint
      hint: fit with a `ModelCheckpoint` that monitors a metric first, or give the path of a file
    ");
    assert_eq!(error_text(trainer().test(&Line::new(), line_data(8, 2))), error);
}

#[test]
fn a_trainer_saves_after_its_fit() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, weights] = ["deep/whole.ckpt", "weights.ckpt"].map(|name| folder.path().join(name));
    let mut trainer = quiet().max_epochs(2);
    assert_snapshot!(error_text(trainer.save_checkpoint(&Line::new(), &whole)), @"
    `save_checkpoint`: there was no fit yet
      hint: call it after `Trainer::fit`, or use `ModelCheckpoint`
    ");
    let fit = trainer.fit(Line::new(), line_data(8, 2)).unwrap();
    trainer.save_checkpoint(&fit.module, &whole).unwrap();
    trainer.save_weights(&fit.module, &weights).unwrap();
    assert!(!Checkpoint::read(&whole).unwrap().manifest().weights_only);
    assert!(Checkpoint::read(&weights).unwrap().manifest().weights_only);
    let test = |path: Option<&PathBuf>| {
        let mut trainer = quiet();
        if let Some(path) = path {
            trainer.set_ckpt_path(path);
        }
        trainer.test(&if path.is_some() { Line::new() } else { fit.module.clone() }, line_data(8, 2)).unwrap()
    };
    assert_eq!((test(Some(&whole)), test(Some(&weights))), (test(None), test(None)));
    let more = quiet().max_epochs(3).ckpt_path(&whole).fit(Line::new(), line_data(8, 2)).unwrap();
    assert_eq!(more.progress.global_step, 12);
}
