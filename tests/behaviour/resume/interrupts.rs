//! A signal in the middle of a validation. The fit resumes after the last validated batch.

use std::path::Path;

use burn::prelude::*;
use stormfire::prelude::*;

use super::net::draw;
use crate::{
    child::{folder, part, play},
    files::{Table, names, read_csv, read_csv_of_the_killed, read_events_of_the_continued},
    repeatability::weights,
    rig::run_of,
    support::{Batch, Line, line_data},
};

/// A line with a validation, and the point at which a signal arrives.
#[derive(Module, Debug)]
struct Validated {
    line: Line,
    #[module(skip)]
    signal_at: Option<(usize, u64)>,
}

impl LightningModule for Validated {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        let output = self.line.training_step(batch, batch_idx)?;
        if let Some(loss) = output.loss() {
            self.log("train_loss", loss).on_step(true).on_epoch(true);
        }
        Ok(output)
    }

    fn validation_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        let output = self.line.validation_step(batch, batch_idx)?;
        self.log("batches", 1.0).reduce_fx(ReduceFx::Sum);
        self.log("position", batch_idx as f64).on_step(true).on_epoch(false);
        if self.signal_at == Some((batch_idx, self.global_step())) {
            signal_hook::low_level::raise(signal_hook::consts::SIGTERM).unwrap();
        }
        Ok(output)
    }

    fn on_validation_epoch_end(&mut self, _ctx: &mut Context<'_>) -> Result<()> {
        self.log("noise", draw());
        Ok(())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.line.configure_optimizers()
    }
}

/// Skips the rest of the first epoch after its second batch. A signal may arrive in the same batch.
struct Skip {
    signals: bool,
}

impl<M: LightningModule> Callback<M> for Skip {
    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, batch_idx: usize) -> Result<()> {
        if (ctx.current_epoch(), batch_idx) == (0, 1) {
            ctx.skip_epoch();
            if self.signals {
                signal_hook::low_level::raise(signal_hook::consts::SIGTERM)?;
            }
        }
        Ok(())
    }
}

/// A loader of twenty batches that does not know its length.
fn unsized_data() -> Loader<Batch> {
    let batch = || (Tensor::ones([2, 1], &Device::flex()), Tensor::ones([2, 1], &Device::flex()));
    let batches = move |_epoch| {
        let mut left = 20;
        std::iter::from_fn(move || {
            left -= 1;
            (left >= 0).then(batch)
        })
    };
    Loader::from_fn(batches).items_per_batch(2)
}

fn fit(line: &Line, folder: &Path, signal_at: Option<(usize, u64)>, callback: Option<Skip>) -> Fit<Validated> {
    // A new process would start without the interrupt.
    stormfire::forget_interrupt();
    let mut trainer = Trainer::new()
        .default_root_dir(folder)
        .seed(7)
        .max_epochs(2)
        .log_every_n_steps(1)
        .enable_progress_bar(false)
        .enable_model_summary(false)
        .callback(ModelCheckpoint::new().save_on_exception(true))
        .ckpt_path("last");
    if let Some(callback) = callback {
        trainer = trainer.callback(callback);
    }
    trainer.fit(Validated { line: line.clone(), signal_at }, (line_data(8, 2), unsized_data())).unwrap()
}

/// Checks that the resumed run has the same results as the uninterrupted one.
#[track_caller]
fn same(continued: &Fit<Validated>, broken: &Path, uninterrupted: &Fit<Validated>, whole: &Path) -> Table {
    assert_eq!((&continued.stop, &continued.progress), (&uninterrupted.stop, &uninterrupted.progress));
    assert_eq!(weights(&continued.module), weights(&uninterrupted.module));
    assert_eq!(names(&broken.join("lightning_logs")), ["version_0"]);
    let [whole, broken] = [whole, broken].map(run_of);
    let table = read_csv(&whole);
    assert_eq!(read_csv(&broken), table);
    assert_eq!(read_events_of_the_continued(&broken), read_events_of_the_continued(&whole));
    // The checkpoint that a fit resumes from stays.
    let [whole, broken] = [whole, broken].map(|run| names(&run.join("checkpoints")));
    assert!(whole.iter().all(|name| broken.contains(name)), "{broken:?}");
    table
}

/// Helper test for a child process, because it raises signals.
#[test]
#[ignore = "a part of `a_validation_continues_after_a_signal`"]
fn is_interrupted_in_validations() {
    if folder().is_none() {
        return;
    }
    let line = Line::new();
    let [whole, broken] = [0; 2].map(|_| tempfile::tempdir().unwrap());
    let uninterrupted = fit(&line, whole.path(), None, None);
    // At the end of a validation, and in the middle of the next one.
    for (at, steps) in [((19, 4), 4), ((3, 8), 8)] {
        let first = fit(&line, broken.path(), Some(at), None);
        assert!(first.stop.is_interrupted(), "{at:?}: {}", first.stop);
        assert_eq!(first.progress.global_step, steps, "{at:?}");
        let _ = read_csv_of_the_killed(&run_of(broken.path()));
    }
    let continued = fit(&line, broken.path(), None, None);
    let table = same(&continued, broken.path(), &uninterrupted, whole.path());
    assert_eq!(table.column("batches"), ["20", "20"]);
}

#[test]
fn a_validation_continues_after_a_signal() {
    play(part("resume::interrupts::is_interrupted_in_validations", tempfile::tempdir().unwrap().path()));
}

/// Helper test for a child process, because it raises signals.
#[test]
#[ignore = "a part of `a_skipped_epoch_stays_skipped_after_a_signal`"]
fn is_interrupted_in_a_skip() {
    if folder().is_none() {
        return;
    }
    let line = Line::new();
    let [whole, broken] = [0; 2].map(|_| tempfile::tempdir().unwrap());
    let uninterrupted = fit(&line, whole.path(), None, Some(Skip { signals: false }));
    assert_eq!(uninterrupted.progress.global_step, 6);
    let first = fit(&line, broken.path(), None, Some(Skip { signals: true }));
    assert!(first.stop.is_interrupted(), "{}", first.stop);
    let continued = fit(&line, broken.path(), None, Some(Skip { signals: false }));
    same(&continued, broken.path(), &uninterrupted, whole.path());
}

#[test]
fn a_skipped_epoch_stays_skipped_after_a_signal() {
    play(part("resume::interrupts::is_interrupted_in_a_skip", tempfile::tempdir().unwrap().path()));
}
