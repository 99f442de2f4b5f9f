//! Monitored metrics that were not logged: a misspelled name is found before the first epoch, and the error names
//! the cause.

use burn::{optim::SgdConfig, prelude::*};
use insta::assert_snapshot;
use stormfire::prelude::*;

use crate::{
    error_text::error_text,
    support::{Line, line_data, quiet},
    told::told,
};

/// A Trainer that saves into this folder.
fn saving(folder: &tempfile::TempDir) -> Trainer<Line> {
    Trainer::new().no_logger().default_root_dir(folder.path()).enable_progress_bar(false).enable_model_summary(false)
}

/// A fit whose sanity check logs `val_loss`: the warnings of its start, and its error.
#[track_caller]
fn ended(trainer: Trainer<Line>) -> (Vec<String>, String) {
    let mut error = String::new();
    let mut lines = told(|| {
        let mut trainer = trainer.max_epochs(2).num_sanity_val_steps(1);
        error = error_text(trainer.fit(Line::new(), (line_data(8, 2), line_data(8, 2))));
    });
    lines.retain(|line| line.contains("monitors"));
    (lines, error)
}

#[test]
fn the_sanity_check_warns_of_a_misspelled_monitor() {
    let folder = tempfile::tempdir().unwrap();
    let trainers = [quiet().callback(EarlyStopping::new("val_los")), saving(&folder).callback(ModelCheckpoint::new().monitor("val_los"))];
    let ended = trainers.map(|trainer| {
        let (lines, error) = ended(trainer);
        format!("{}\n{error}", lines.join("\n"))
    });
    assert_snapshot!(ended.join("\n"), @r"
    WARN `EarlyStopping` monitors `val_los`, which the sanity check has not logged; did you mean `val_loss`?
    metric `val_los` is not available; available are: `val_loss` (in `on_train_epoch_end` of `EarlyStopping`)
      hint: did you mean `val_loss`?
    WARN `ModelCheckpoint` monitors `val_los`, which the sanity check has not logged; did you mean `val_loss`?
    metric `val_los` is not available; available are: `val_loss` (in `on_train_epoch_end` of `ModelCheckpoint`)
      hint: did you mean `val_loss`?
    ");
}

#[test]
fn a_correct_name_and_a_name_of_the_training_are_not_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let lines = told(|| {
        let mut trainer =
            saving(&folder).max_epochs(1).callback(EarlyStopping::new("val_loss")).callback(ModelCheckpoint::new().monitor("epoch"));
        let _ = trainer.fit(Line::new(), (line_data(8, 2), line_data(8, 2))).unwrap();
    });
    assert!(!lines.iter().any(|line| line.contains("monitors")), "{lines:?}");
}

/// A line whose schedule watches a misspelled metric.
#[derive(Module, Debug)]
struct Watching {
    line: Line,
}

impl LightningModule for Watching {
    type Batch = crate::support::Batch;

    fn training_step(&self, batch: Self::Batch, batch_idx: usize) -> Result<StepOutput> {
        self.line.training_step(batch, batch_idx)
    }

    fn validation_step(&self, batch: Self::Batch, batch_idx: usize) -> Result<StepOutput> {
        self.line.validation_step(batch, batch_idx)
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let schedule = Schedule::new(ReduceLrOnPlateau::new()).monitor("val_los");
        Ok(Optimizer::new(SgdConfig::new(), 0.1).schedule(schedule).into())
    }
}

#[test]
fn the_sanity_check_warns_of_a_misspelled_metric_of_a_schedule() {
    let lines = told(|| {
        let mut trainer = quiet().max_epochs(1).num_sanity_val_steps(1);
        drop(trainer.fit(Watching { line: Line::new() }, (line_data(8, 2), line_data(8, 2))).unwrap_err());
    });
    let expected = "WARN `ReduceLrOnPlateau` monitors `val_los`, which the sanity check has not logged; did you mean `val_loss`?";
    assert!(lines.iter().any(|line| line == expected), "{lines:?}");
}

#[test]
fn without_a_validation_the_error_says_so() {
    let error = error_text(quiet().max_epochs(1).callback(EarlyStopping::new("val_mae")).fit(Line::new(), line_data(8, 2)));
    assert_snapshot!(error, @r"
    metric `val_mae` is not available; available are: none (in `on_train_epoch_end` of `EarlyStopping`)
      hint: this fit has no validation: if the validation logs it, give `fit` a validation loader; else log it with `self.log(..)`, or monitor one of the available metrics
    ");
}

#[test]
fn a_misspelled_word_for_a_checkpoint_is_named() {
    let error = error_text(quiet().max_epochs(1).ckpt_path("bst").fit(Line::new(), line_data(8, 2)));
    assert_snapshot!(error, @r"
    checkpoint `bst`: there is no such file
      hint: did you mean `best`?
    ");
}
