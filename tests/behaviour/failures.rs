//! A failed run leaves readable logs and checkpoints.

use std::path::Path;

use insta::assert_snapshot;
use stormfire::{
    Error,
    loggers::{CheckpointInfo, Hyperparams, MemoryLogger, Metrics, Result as LoggerResult, RunDir, Status},
    module::{Order, requests::SaveRequest},
    prelude::*,
};

use crate::{
    error_text::error_text,
    files::{names, read_csv, read_csv_of_the_killed, read_events, session_ended, steps_of},
    rig::{Logging, Watched, Witness, checkpoint_of, logging, resumes_from, run_of},
    support::{Batch, Line, line_data, quiet, recording},
};

/// Runs code at the end of one batch.
struct AtBatch(usize, Act);

type Act = Box<dyn FnMut(&mut Context<'_>) -> Result<()>>;

fn at_batch(batch_idx: usize, code: impl FnMut(&mut Context<'_>) -> Result<()> + 'static) -> AtBatch {
    AtBatch(batch_idx, Box::new(code))
}

impl<M: LightningModule> Callback<M> for AtBatch {
    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, batch_idx: usize) -> Result<()> {
        if batch_idx == self.0 { (self.1)(ctx) } else { Ok(()) }
    }
}

/// The number of steps logged before the failure.
const LOGGED: u64 = 12;

/// The error of a fit that fails after [`LOGGED`] batches. Checks everything that the fit leaves. `ended_at` is the
/// step at which hooks see the failure.
#[track_caller]
fn failing(prepare: impl FnOnce(Trainer<Logging>, Loader<Batch>) -> (Trainer<Logging>, Loader<Batch>), ended_at: u64) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (witness, memory) = (Witness::default(), MemoryLogger::new());
    let dir = RunDir::new(folder.path()).with_name("lightning_logs");
    let trainer = logging(folder.path()).callback(witness.clone());
    let trainer = trainer.logger(TensorBoardLogger::in_dir(dir.clone())).logger(CsvLogger::in_dir(dir)).logger(memory.clone());
    let (mut trainer, train) = prepare(trainer, line_data(200, 2));
    let error = trainer.fit(Logging::new(), Watched { train, witness: witness.clone() }).err().unwrap();

    let end = [&*format!("exception: {error}"), "data: exception", "teardown: fit", "data: teardown: fit"];
    assert_eq!(witness.seen(), end);
    assert_eq!(memory.statuses(), [Status::Failed]);
    let run = run_of(folder.path());
    let table = read_csv(&run);
    assert_eq!(table.steps(), (0..=ended_at).collect::<Vec<_>>());
    assert_eq!(table.column("train_loss").len() as u64, LOGGED);
    assert_eq!(table.column("at_the_end"), ["1"]);
    let events = read_events(&run);
    assert_eq!(steps_of(&events, "train_loss"), (0..LOGGED).collect::<Vec<_>>());
    assert_eq!(steps_of(&events, "at_the_end"), [ended_at]);
    assert!(session_ended(&events));
    assert_eq!(names(&run.join("checkpoints")), ["epoch=0-step=10.ckpt"]);
    resumes_from(&checkpoint_of(&run));
    error_text::<()>(Err(error))
}

#[test]
fn a_panic_in_a_training_step_leaves_readable_files() {
    let panics = |step| assert!(step != 12, "the labels of step {step} are wrong");
    let prepare = |trainer, data| {
        Logging::in_step(panics);
        (trainer, data)
    };
    assert_snapshot!(failing(prepare, 12), @"panicked in `training_step`, epoch 0, batch 12: the labels of step 12 are wrong");
}

#[test]
fn a_panic_of_burn_is_one_line_of_the_error() {
    let panics = |step| {
        let zeros = |shape: [usize; 2]| burn::tensor::Tensor::<2>::zeros(shape, &burn::tensor::Device::flex());
        if step == 12 {
            drop(zeros([1, 2]).matmul(zeros([3, 1])));
        }
    };
    let prepare = |trainer, data| {
        Logging::in_step(panics);
        (trainer, data)
    };
    assert_snapshot!(failing(prepare, 12), @"panicked in `training_step`, epoch 0, batch 12: Operation: 'Matmul'; Reason: 1. The inner dimension of matmul should be the same, but got 2 and 3. Lhs shape Shape { dims: [1, 2] }, rhs shape Shape { dims: [3, 1] }.");
}

#[test]
fn a_panic_or_error_in_a_callback_leaves_readable_files() {
    let panics = |trainer: Trainer<Logging>, data| (trainer.callback(at_batch(12, |_| panic!("no more"))), data);
    assert_snapshot!(failing(panics, 12), @"panicked in `on_train_batch_end`, epoch 0, batch 12: no more");
    let fails = |trainer: Trainer<Logging>, data| (trainer.callback(at_batch(12, |_| Err(Error::other("no more")))), data);
    assert_snapshot!(failing(fails, 12), @"no more (in `on_train_batch_end` of `AtBatch`, epoch 0, batch 12)");
}

#[test]
fn a_panic_in_a_worker_of_the_loader_leaves_readable_files() {
    let errors = [0, 1, 3].map(|workers| {
        let collate = |points: Vec<f32>, device: &burn::tensor::Device| {
            assert!(points[0] < 24.0, "point {} is broken", points[0]);
            let x = burn::tensor::Tensor::<1>::from_floats(points.as_slice(), device).unsqueeze_dim::<2>(1);
            (x.clone(), x)
        };
        let points = burn::data::dataset::InMemDataset::new((0..200_u8).map(f32::from).collect());
        let data = Loader::collate(points, collate).batch_size(2).workers(workers);
        failing(|trainer, _| (trainer, data), 11)
    });
    assert_snapshot!(errors[0], @"
    the batcher panicked at batch 12: point 24 is broken
      hint: `workers(0)` keeps loading on the training thread
    ");
    assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
}

#[test]
fn a_callback_that_fails_while_a_failure_is_handled_hides_nothing() {
    struct FailsAgain;
    impl<M: LightningModule> Callback<M> for FailsAgain {
        fn on_exception(&mut self, _ctx: &mut Context<'_>, _module: &mut M, _error: &Error) -> Result<()> {
            panic!("and again")
        }
        fn teardown(&mut self, _ctx: &mut Context<'_>, _module: &mut M, _stage: Stage) -> Result<()> {
            Err(Error::other("and again"))
        }
        fn order(&self) -> Order {
            Order::Save
        }
    }
    let prepare =
        |trainer: Trainer<Logging>, data| (trainer.callback(at_batch(12, |_| Err(Error::other("no more")))).callback(FailsAgain), data);
    assert_snapshot!(failing(prepare, 12), @"no more (in `on_train_batch_end` of `AtBatch`, epoch 0, batch 12)");
}

#[test]
fn a_failure_in_teardown_ends_the_run_with_an_error() {
    struct FailsInTeardown;
    impl<M: LightningModule> Callback<M> for FailsInTeardown {
        fn teardown(&mut self, _ctx: &mut Context<'_>, _module: &mut M, _stage: Stage) -> Result<()> {
            Err(Error::other("the door is stuck"))
        }
    }
    let mut trainer = quiet().max_epochs(1).callback(FailsInTeardown);
    assert_snapshot!(error_text(trainer.fit(Line::new(), line_data(8, 2))), @"the door is stuck (in `teardown` of `FailsInTeardown`)");
}

/// A logger that fails in one of its methods.
struct Broken {
    at: &'static str,
}

impl Broken {
    fn pass(&self, call: &str) -> LoggerResult<()> {
        match self.at.strip_prefix("panic in ") {
            Some(at) if at == call => panic!("broken in {call}"),
            _ if self.at == call => Err(stormfire::loggers::Error::other(format!("broken in {call}"))),
            _ => Ok(()),
        }
    }
}

impl Logger for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn version(&self) -> String {
        "0".into()
    }

    fn open(&mut self) -> LoggerResult<()> {
        self.pass("open")
    }

    fn log_metrics(&mut self, _metrics: &Metrics, step: Option<u64>) -> LoggerResult<()> {
        if step == Some(3) { self.pass("log_metrics") } else { Ok(()) }
    }

    fn log_hyperparams(&mut self, _params: &Hyperparams, _initial_metrics: &Metrics) -> LoggerResult<()> {
        self.pass("log_hyperparams")
    }

    fn save(&mut self) -> LoggerResult<()> {
        self.pass("save")
    }

    fn finalize(&mut self, _status: Status) -> LoggerResult<()> {
        self.pass("finalize")
    }

    fn after_save_checkpoint(&mut self, _checkpoint: &CheckpointInfo) -> LoggerResult<()> {
        self.pass("after_save_checkpoint")
    }
}

#[test]
fn an_error_of_a_logger_in_the_background_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    // The last call ends a successful run.
    let calls = ["log_metrics", "log_hyperparams", "save", "after_save_checkpoint", "panic in log_metrics", "finalize"];
    let errors = calls.map(|at| {
        let memory = MemoryLogger::new();
        let saving = ModelCheckpoint::new().every(Every::Steps(5)).dirpath(folder.path());
        let trainer = recording(&memory).enable_checkpointing(true).logger(Broken { at }).log_every_n_steps(1).callback(saving);
        let outcome = trainer.max_steps(3000).fit(Logging::new(), line_data(2000, 2));
        let error = error_text(outcome);
        let status = if at == "finalize" { Status::Success } else { Status::Failed };
        assert_eq!(memory.statuses(), [status], "{at}");
        error
    });
    assert_snapshot!(errors.join("\n"), @"
    broken in log_metrics
    broken in log_hyperparams
    broken in save
    broken in after_save_checkpoint
    logger `broken` panicked: broken in log_metrics
    broken in finalize
    ");
    assert_snapshot!(error_text(quiet().logger(Broken { at: "open" }).fit(Line::new(), line_data(8, 2))), @"broken in open");
}

/// Writes until the disk is full.
pub(crate) fn fill(folder: &Path) {
    let file = std::fs::File::create(folder.join("ballast")).unwrap();
    let mut blocks = std::iter::repeat_with(|| std::io::Write::write_all(&mut &file, &[1; 4096]));
    let full = blocks.find_map(Result::err).unwrap();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
}

/// Waits until the loggers have written everything.
fn flush(ctx: &mut Context<'_>) -> Result<()> {
    Ok(ctx.loggers().iter().try_for_each(stormfire::loggers::Background::flush)?)
}

/// Fills the disk at the end of a batch, after all earlier values are written.
fn full_at(batch_idx: usize, disk: &Path) -> AtBatch {
    let disk = disk.to_path_buf();
    at_batch(batch_idx, move |ctx| {
        flush(ctx)?;
        fill(&disk);
        Ok(())
    })
}

/// Checks that the files of a run on a full disk are readable: the logs up to some step, and a checkpoint.
#[track_caller]
fn is_readable(run: &Path, has_csv: bool, has_events: bool) {
    if has_csv {
        // A full disk has no space for a finalized table, whose rows have the same length.
        let table = read_csv_of_the_killed(run);
        assert!(table.rows.len() > 20, "{} rows", table.rows.len());
        assert_eq!(table.steps(), (0..table.rows.len() as u64).collect::<Vec<_>>());
    }
    if has_events {
        let steps = steps_of(&read_events(run), "train_loss");
        assert!(steps.len() > 20, "{} steps", steps.len());
        assert_eq!(steps, (0..steps.len() as u64).collect::<Vec<_>>());
    }
    let saved = names(&run.join("checkpoints"));
    assert!(!saved.is_empty());
    for name in saved {
        resumes_from(&run.join("checkpoints").join(name));
    }
}

/// Helper test for a child process with a small disk.
#[test]
#[ignore = "a part of `a_full_disk_is_reported_and_the_written_files_stay_readable`"]
fn fits_on_a_small_disk() {
    let Some(disk) = crate::child::folder() else { return };
    let is_full = "No space left on device (os error 28)";

    for (name, csv) in [("csv", true), ("tensorboard", false)] {
        let folder = disk.join(name);
        let error = one_logger(&folder, csv).callback(full_at(43, &disk)).fit(Logging::new(), line_data(60_000, 2)).unwrap_err();
        std::fs::remove_file(disk.join("ballast")).unwrap();
        is_named(&error, &folder, csv, is_full);
        assert_eq!(error.hint().unwrap(), "free some space or log into another folder; existing logs are intact");
        is_readable(&run_of(&folder), csv, !csv);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

/// Logs to one file and saves once.
fn one_logger(folder: &Path, csv: bool) -> Trainer<Logging> {
    let dir = RunDir::new(folder).with_name("lightning_logs");
    let trainer = Trainer::new().default_root_dir(folder).log_every_n_steps(1).enable_progress_bar(false).enable_model_summary(false);
    let trainer = if csv { trainer.logger(CsvLogger::in_dir(dir)) } else { trainer.logger(TensorBoardLogger::in_dir(dir)) };
    // The checkpoint is on the disk before the disk is full.
    trainer.enable_checkpointing(false).async_checkpointing(false).callback(SavesOnce)
}

/// Requests one checkpoint after 30 steps, so the next error comes from a logger.
struct SavesOnce;

impl<M: LightningModule> Callback<M> for SavesOnce {
    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, batch_idx: usize) -> Result<()> {
        if batch_idx == 29 {
            let path = ctx.log_dir().join("checkpoints/step=30.ckpt");
            ctx.save_checkpoint(SaveRequest { path, ..SaveRequest::default() });
        }
        Ok(())
    }
}

/// Checks that the error names the file of the logger.
#[track_caller]
fn is_named(error: &Error, folder: &Path, csv: bool, cause: &str) {
    let run = run_of(folder);
    let file = if csv { "metrics.csv".into() } else { names(&run).into_iter().find(|name| name.contains("tfevents")).unwrap() };
    let file = format!("`{}`: {cause}", run.join(file).display());
    let text = error.to_string();
    assert!(text.starts_with("failed to write ") && text.contains(&file), "{text}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_reported_and_the_written_files_stay_readable() {
    crate::full_disk::play_on_a_small_disk("failures::fits_on_a_small_disk");
}

/// Helper test for a child process whose files cannot grow beyond 32 KiB.
#[test]
#[ignore = "a part of `a_file_that_cannot_grow_is_reported_and_stays_readable`"]
fn fits_with_small_files() {
    let Some(folder) = crate::child::folder() else { return };
    for (name, csv) in [("csv", true), ("tensorboard", false)] {
        let folder = folder.join(name);
        let error = one_logger(&folder, csv).callback(at_batch(200, flush)).fit(Logging::new(), line_data(60_000, 2)).unwrap_err();
        is_named(&error, &folder, csv, "File too large (os error 27)");
        is_readable(&run_of(&folder), csv, !csv);
    }
}

#[test]
#[cfg(unix)]
fn a_file_that_cannot_grow_is_reported_and_stays_readable() {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"trap '' XFSZ; ulimit -f 64; exec "$@""#;
    crate::child::play(crate::child::part_under(&["sh"], script, "failures::fits_with_small_files", folder.path()));
}
