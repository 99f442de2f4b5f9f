//! A shortened epoch is judged by the values logged in it, or not at all.

use std::sync::{Arc, Mutex};

use burn::{optim::SgdConfig, prelude::*};
use insta::assert_snapshot;
use stormfire::{checkpoint::Checkpoint, prelude::*};

use crate::{
    error_text::error_text,
    files::names,
    kept_state::SaveAt,
    support::{Batch, Line, line_data, quiet},
};

/// Logs a value that improves with each epoch: in each batch per epoch (`mean`), and in the first batch (`first`).
#[derive(Module, Debug)]
struct Improving {
    line: Line,
    #[module(skip)]
    epoch: Arc<Mutex<usize>>,
    #[module(skip)]
    watches: &'static str,
}

impl Improving {
    fn new(watches: &'static str) -> Self {
        Self { line: Line::fixed(), epoch: Arc::default(), watches }
    }
}

impl LightningModule for Improving {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        let value = 10.0 - *self.epoch.lock().unwrap() as f64;
        self.log("mean", value).on_step(false).on_epoch(true);
        if batch_idx == 0 {
            self.log("first", value);
        }
        Ok(self.line.loss(batch).into())
    }

    fn validation_step(&self, _batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok(StepOutput::none())
    }

    fn on_train_epoch_start(&mut self, ctx: &mut Context<'_>) -> Result<()> {
        *self.epoch.lock().unwrap() = ctx.current_epoch();
        Ok(())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let plateau = Schedule::new(ReduceLrOnPlateau::new().patience(0).factor(0.5)).monitor(self.watches);
        Ok(Optimizer::new(SgdConfig::new(), 0.8).schedule(plateau).into())
    }
}

/// Skips the rest of these epochs before a batch, and records the rate of each epoch.
#[derive(Clone)]
struct Skips {
    epochs: &'static [usize],
    before: usize,
    rates: Arc<Mutex<Vec<f64>>>,
}

impl Callback<Improving> for Skips {
    fn on_train_batch_start(&mut self, ctx: &mut Context<'_>, _: &mut Improving, _: &Batch, batch_idx: usize) -> Result<()> {
        if self.epochs.contains(&ctx.current_epoch()) && batch_idx == self.before {
            ctx.skip_epoch();
        }
        Ok(())
    }

    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>, _: &mut Improving) -> Result<()> {
        self.rates.lock().unwrap().push(ctx.learning_rates()[0].1);
        Ok(())
    }
}

fn trainer(metric: &str, skips: &Skips, folder: &std::path::Path) -> Trainer<Improving> {
    let saving = ModelCheckpoint::new().dirpath(folder).monitor(metric).save_top_k(SaveTopK::All).filename("{epoch}");
    let stopping = EarlyStopping::new(metric).patience(1);
    quiet().enable_checkpointing(true).max_epochs(5).callback(skips.clone()).callback(stopping).callback(saving)
}

#[test]
fn an_epoch_is_only_judged_by_its_own_training_metric() {
    for metric in ["mean", "first"] {
        // Epochs that are skipped before their first batch log nothing. The others log a value.
        for (epochs, before, saved) in [(&[0, 2, 3][..], 0, &[1, 4][..]), (&[1, 2], 1, &[0, 1, 2, 3, 4])] {
            let folder = tempfile::tempdir().unwrap();
            let skips = Skips { epochs, before, rates: Arc::default() };
            let mut trainer = trainer(metric, &skips, folder.path());
            let fit = trainer.fit(Improving::new(metric), line_data(8, 4)).unwrap();
            assert_eq!(fit.stop, Stop::MaxEpochs(5), "{metric}, {epochs:?}");
            assert_eq!(trainer.get::<EarlyStopping>().unwrap().wait_count(), 0, "{metric}, {epochs:?}");
            assert_eq!(*skips.rates.lock().unwrap(), [0.8; 5], "{metric}, {epochs:?}");
            let expected: Vec<String> = saved.iter().map(|epoch| format!("epoch={epoch}.ckpt")).collect();
            assert_eq!(names(folder.path()), expected, "{metric}, {epochs:?}");
        }
    }
}

/// The value of the first batch belongs to the epoch even if a checkpoint was written in between.
#[test]
fn a_resumed_fit_knows_the_values_of_its_epoch() {
    let (folder, points) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let skips = Skips { epochs: &[1], before: 1, rates: Arc::default() };
    let mut uninterrupted = trainer("first", &skips, folder.path()).callback(SaveAt(vec![3], points.path().into()));
    drop(uninterrupted.fit(Improving::new("first"), line_data(8, 4)).unwrap());
    let expected: Vec<String> = (0..5).map(|epoch| format!("epoch={epoch}.ckpt")).collect();
    assert_eq!(names(folder.path()), expected);
    let saved = points.path().join("3.ckpt");
    assert_eq!(Checkpoint::read_manifest(&saved).unwrap().progress().unwrap().batch_in_epoch, 1);
    let folder = tempfile::tempdir().unwrap();
    let mut resumed = trainer("first", &skips, folder.path()).ckpt_path(saved);
    drop(resumed.fit(Improving::new("first"), line_data(8, 4)).unwrap());
    assert_eq!(names(folder.path()), expected[1..]);
}

#[test]
fn a_wrong_name_is_reported_at_the_end_of_an_epoch_with_batches() {
    let stopping = EarlyStopping::new("loss");
    let mut trainer = quiet::<Improving>().max_steps(1).callback(stopping);
    assert_snapshot!(error_text(trainer.fit(Improving::new("mean"), line_data(8, 4))), @"
    metric `loss` is not available; available are: `first`, `mean` (in `on_train_epoch_end` of `EarlyStopping`)
      hint: this fit has no validation: if the validation logs it, give `fit` a validation loader; else log it with `self.log(..)`, or monitor one of the available metrics
    ");
}

/// In mid-epoch the epoch has no value, and later it has an old one, which would go unnoticed.
#[test]
fn a_training_metric_that_a_validation_lacks_is_an_error() {
    let stop = |stopping: EarlyStopping| {
        let mut trainer = quiet::<Improving>().max_epochs(2).val_check_interval("0.5 epochs").callback(stopping);
        trainer.fit(Improving::new("first"), (line_data(10, 2), line_data(4, 2))).map(|fit| fit.stop)
    };
    assert_snapshot!(error_text(stop(EarlyStopping::new("mean"))), @r"
    metric `mean` is not available; available are: `first` (in `on_validation_end` of `EarlyStopping`)
      hint: log it with `self.log(..)`, or monitor one of the available metrics
    ");
    assert_eq!(stop(EarlyStopping::new("mean").check_on_train_epoch_end(true)).unwrap(), Stop::MaxEpochs(2));
}
