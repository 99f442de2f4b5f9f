//! Tuners and sweeps whose process is limited, killed or interrupted.

use std::{cell::Cell, path::Path};

use burn::prelude::*;
use stormfire::{
    Error,
    prelude::*,
    tuner::{FoldScores, ScaleBatchSize, Space, Sweep, SweepResult, TrialState, Tuner, cross_validate},
};

use crate::{
    child::{Running, folder, part, part_under, play},
    support::{Batch, Line, line_data, quiet},
    told::told,
};

/// A line whose steps need a megabyte for each item.
#[derive(Module, Debug)]
struct Large {
    line: Line,
}

impl LightningModule for Large {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        let large = Tensor::<2>::ones([batch.0.dims()[0], 1 << 18], &Device::flex());
        let output = self.line.training_step(batch, batch_idx);
        drop(large);
        output
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.line.configure_optimizers()
    }
}

/// Children of this process have too little memory for large batches, and are aborted.
#[test]
#[ignore = "a part of `a_trial_without_memory_ends_only_its_child`"]
fn finds_a_batch_size() {
    if folder().is_none() {
        return;
    }
    let module = Large { line: Line::fixed() };
    let mut trainer = quiet();
    let mut tuner = Tuner::new(&mut trainer);
    let data = |size| Ok(line_data(100_000, size));
    let options = ScaleBatchSize::new().steps_per_trial(1).in_child_process(true).max(4096);
    // The children of the second call get the result of the first.
    let small = tuner.scale_batch_size(&module, data, &options.clone().max(4)).unwrap();
    assert_eq!(small, 4);
    let found = tuner.scale_batch_size(&module, data, &options).unwrap();
    assert!((8..2048).contains(&found), "{found}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_trial_without_memory_ends_only_its_child() {
    let folder = tempfile::tempdir().unwrap();
    // 1.5 GB of address space.
    play(part_under(&["sh"], "ulimit -v 1500000; exec \"$@\"", "tuning::finds_a_batch_size", folder.path()));
}

fn sweep(folder: &Path) -> Result<SweepResult> {
    Sweep::random(Space::new().log_uniform("lr", 1e-3, 0.5), 4).seed(3).folder(folder).run(|trial| {
        let module = Slow { line: Line::fixed(), lr: trial.get("lr")? };
        let trainer = Trainer::new().max_epochs(4).seed(1).enable_progress_bar(false).enable_model_summary(false).log_every_n_steps(1);
        trial.fit(trainer.num_sanity_val_steps(0), module, (line_data(8, 2), line_data(8, 4)))
    })
}

/// A line that takes some time for each step.
#[derive(Module, Debug)]
struct Slow {
    line: Line,
    #[module(skip)]
    lr: f64,
}

impl LightningModule for Slow {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        std::thread::sleep(std::time::Duration::from_millis(20));
        self.line.training_step(batch, batch_idx)
    }

    fn validation_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        self.line.validation_step(batch, batch_idx)
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(burn::optim::SgdConfig::new(), self.lr).into())
    }
}

#[test]
#[ignore = "a part of other tests"]
fn sweeps() {
    if let Some(folder) = folder() {
        let _ = sweep(&folder.join("sweep"));
    }
}

#[test]
#[ignore = "a part of other tests"]
fn is_interrupted() {
    let Some(folder) = folder() else { return };
    assert!(matches!(sweep(&folder.join("sweep")), Err(Error::Interrupted { .. })));
    std::fs::write(folder.join("ended"), "").unwrap();
}

fn expected() -> SweepResult {
    let folder = tempfile::tempdir().unwrap();
    let result = sweep(&folder.path().join("sweep")).unwrap();
    assert!(result.trials().iter().all(|trial| trial.state == TrialState::Completed && trial.reports.len() == 4));
    result
}

/// Whether a trial has started.
fn has(folder: &Path, trial: usize) -> bool {
    folder.join(format!("sweep/trial_{trial}.json")).exists()
}

#[test]
fn a_killed_sweep_ends_as_one_that_was_not_killed() {
    let folder = tempfile::tempdir().unwrap();
    for trial in [0, 0, 1, 2, 3] {
        let mut running = Running::start(part("tuning::sweeps", folder.path()));
        running.wait_until("a trial", || has(folder.path(), trial));
        running.kill();
    }
    assert_eq!(sweep(&folder.path().join("sweep")).unwrap(), expected());
}

#[cfg(unix)]
#[test]
fn a_signal_ends_the_sweep_and_a_later_start_continues() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = Running::start(part("tuning::is_interrupted", folder.path()));
    running.wait_until("a trial", || folder.path().join("sweep/trial_1/metrics.csv").exists());
    running.signal("INT");
    assert!(running.wait().success());
    assert!(folder.path().join("ended").exists() && !has(folder.path(), 2));
    assert_eq!(sweep(&folder.path().join("sweep")).unwrap(), expected());
}

/// Three folds. A signal may be raised in the second one.
#[cfg(unix)]
fn folds(folder: &Path, made: &Cell<usize>, raises: bool) -> Result<FoldScores> {
    cross_validate(folder.join("folds"), 0..3, |number, _| {
        made.set(made.get() + 1);
        let raise = LambdaCallback::new().on_train_batch_end(move |_ctx, _module: &mut Line, _output, batch_idx| {
            if raises && number == 1 && batch_idx == 1 {
                signal_hook::low_level::raise(signal_hook::consts::SIGINT)?;
            }
            Ok(())
        });
        let trainer = Trainer::new().max_epochs(2).enable_progress_bar(false).enable_model_summary(false).callback(raise);
        Ok((trainer, Line::fixed(), (line_data(8, 2), line_data(4, 2))))
    })
}

#[cfg(unix)]
#[test]
#[ignore = "a part of `a_signal_in_a_fold_ends_all_of_them_and_an_unknown_module_starts_again`"]
fn is_interrupted_in_a_fold() {
    let Some(folder) = folder() else { return };
    let made = Cell::new(0);
    let ended = folds(&folder, &made, true);
    assert!(matches!(ended, Err(Error::Interrupted { .. })), "{ended:?}");
    assert_eq!(made.get(), 2, "no later fold is started");
    let run = folder.join("folds/version_0");
    assert!(run.join("fold_1/metrics.csv").exists() && !run.join("fold_2").exists() && !run.join("folds.csv").exists());
    // Nor does another call start.
    let again = cross_validate(folder.join("folds"), 0..3, |_, _| -> Result<(Trainer<Line>, Line, Loader<Batch>)> { panic!("a fold") });
    assert!(matches!(again, Err(Error::Interrupted { .. })), "{again:?}");
}

#[cfg(unix)]
#[test]
fn a_signal_in_a_fold_ends_all_of_them_and_an_unknown_module_starts_again() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    play(part("tuning::is_interrupted_in_a_fold", folder.path()));
    let made = Cell::new(0);
    let told = told(|| assert_eq!(folds(folder.path(), &made, false).unwrap(), folds(other.path(), &made, false).unwrap()));
    let is_refusal = |line: &&String| line.starts_with("WARN ") && line.contains("the module has no `hparams`");
    assert_eq!(told.iter().filter(is_refusal).count(), 1, "{told:?}");
    let runs = folder.path().join("folds");
    assert!(!runs.join("version_0/folds.csv").exists() && runs.join("version_1/folds.csv").exists());
}
