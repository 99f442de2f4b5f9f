//! A fit that `max_steps`, `max_time` or a stop ended in mid-epoch, and that then trains longer.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use burn::module::Module as _;
use insta::assert_snapshot;
use stormfire::{checkpoint::Checkpoint, prelude::*};

use super::{
    data::Data,
    net::Net,
    observer::{Busy, Observer},
    plan::{Algorithm, DataKind, DataPlan, Extras, Learning, ScheduleKind, Weighs},
};
use crate::{
    child::{folder, part, play},
    error_text::error_text,
    files::{names, read_csv, read_events_of_the_continued},
    repeatability::weights,
    rig::{Logging, run_of},
    support::{line_data, quiet},
};

/// Nine shuffled batches per epoch, and a net with every kind of state.
pub(crate) fn data() -> DataPlan {
    DataPlan {
        kind: DataKind::Dataset,
        items: 27,
        batch_size: 3,
        workers: 1,
        shuffle: true,
        val_loaders: 1,
        val_is_unsized: false,
        draws: true,
    }
}

pub(crate) fn net(is_manual: bool) -> Net {
    let learning = Learning {
        weighs: Weighs::OnBoth,
        algorithms: [Algorithm::Adam, Algorithm::Momentum],
        schedule: ScheduleKind::CosinePerStep,
        is_manual,
        is_regularised: true,
        tells_batch_size: true,
        extras: Extras::default(),
        monitor: "val_loss",
    };
    Net::new(learning, false)
}

/// The end of a fit.
#[derive(Clone, Copy, Debug)]
enum End {
    Steps(u64),
    /// A callback requests a stop in this epoch, after this batch.
    Stop(usize, usize),
    /// `max_time` is exceeded after the first batch.
    Time,
    /// `max_steps`, with a `max_time` that is not exceeded.
    MoreTime(u64),
    /// `EarlyStopping` requests a stop at the first validation.
    Threshold,
}

fn fit(folder: &Path, window: usize, end: End, from: Option<&Path>) -> (Fit<Net>, Vec<String>) {
    let observer = Observer { reads: true, ..Observer::default() };
    let seen = std::sync::Arc::clone(&observer.seen);
    let stop = if let End::Stop(epoch, batch) = end { Some((epoch, batch)) } else { None };
    let early = EarlyStopping::new("val_loss").patience(100);
    let early = if matches!(end, End::Threshold) { early.stopping_threshold(f64::MAX) } else { early };
    let (plan, given) = (data(), std::sync::Arc::default());
    let mut trainer = Trainer::new()
        .default_root_dir(folder)
        .seed(5)
        .max_epochs(3)
        .accumulate_grad_batches(window)
        .val_check_interval(Every::Batches(4))
        .log_every_n_steps(1)
        .enable_progress_bar(false)
        .enable_model_summary(false)
        .callback(LearningRateMonitor::new())
        .callback(early)
        .callback(Busy { stop, given: std::sync::Arc::clone(&given), ..Busy::default() })
        .callback(ModelCheckpoint::new().save_last(true))
        .callback(observer);
    trainer = match end {
        End::Steps(steps) => trainer.max_steps(steps),
        End::Time => trainer.max_time(Duration::from_nanos(1)),
        End::MoreTime(steps) => trainer.max_steps(steps).max_time(Duration::from_hours(1)),
        _ => trainer,
    };
    if let Some(path) = from {
        trainer = trainer.ckpt_path(path);
    }
    let fit = trainer.fit(net(window == 1), Data { plan: &plan, given }).unwrap();
    trainer.save_checkpoint(&fit.module, end_of(folder)).unwrap();
    let seen = seen.lock().unwrap().iter().map(|event| format!("{:?} {}", event.hook, event.what)).collect();
    (fit, seen)
}

/// The last checkpoint of the newest fit.
fn end_of(folder: &Path) -> PathBuf {
    folder.join("end.ckpt")
}

/// Helper test for a child process, because each fit starts with new random numbers.
#[test]
#[ignore = "a part of `a_longer_fit_continues_the_unfinished_epoch`"]
fn trains_longer() {
    if folder().is_none() {
        return;
    }
    for window in [1, 2] {
        let whole = tempfile::tempdir().unwrap();
        let (uninterrupted, all) = fit(whole.path(), window, End::Steps(22 / window as u64), None);
        // In mid-epoch, at a validation, and twice in one epoch. Then a stop that causes an extra validation.
        let ends = [End::Steps(1), End::Steps(2), End::Steps(4), End::Steps(6), End::Stop(0, 5), End::Stop(0, 6), End::Stop(1, 2)];
        for first in ends {
            let broken = tempfile::tempdir().unwrap();
            let (ended, _) = fit(broken.path(), window, first, None);
            let end = end_of(broken.path());
            assert_eq!(Checkpoint::read(&end).unwrap().manifest().progress["epoch"], ended.progress.epoch, "{first:?}");
            // With the same limit, no step is left.
            if let End::Steps(steps) = first {
                let (same, seen) = fit(broken.path(), window, first, Some(&end));
                assert_eq!((same.stop, same.progress.global_step, seen.len()), (Stop::MaxSteps(steps), steps, 1), "{first:?}: {seen:?}");
            }
            let whole = Whole { folder: whole.path(), fit: &uninterrupted, seen: &all };
            whole.equals(&format!("{window} {first:?}"), broken.path(), window, End::Steps(22 / window as u64), &end);
        }
    }
}

/// An uninterrupted fit, and its results.
struct Whole<'a> {
    folder: &'a Path,
    fit: &'a Fit<Net>,
    seen: &'a [String],
}

impl Whole<'_> {
    /// Resumes an interrupted fit from a checkpoint, and checks that the results are the same.
    #[track_caller]
    fn equals(&self, what: &str, folder: &Path, window: usize, end: End, from: &Path) {
        let (continued, seen) = fit(folder, window, end, Some(from));
        assert_eq!((&continued.stop, &continued.progress), (&self.fit.stop, &self.fit.progress), "{what}");
        assert_eq!(seen, self.seen[self.seen.len() - seen.len()..], "{what}");
        assert!(seen[0].starts_with("TrainBatchStart"), "{what}: {}", seen[0]);
        assert_eq!(weights(&continued.module.valid()), weights(&self.fit.module.valid()), "{what}");
        let early = |folder: &Path| {
            let checkpoint = Checkpoint::read(end_of(folder)).unwrap();
            let states = checkpoint.manifest().callbacks.clone();
            states.into_iter().find(|(key, _)| key.starts_with("EarlyStopping")).unwrap()
        };
        assert_eq!(early(folder), early(self.folder), "{what}");
        let [whole, broken] = [self.folder, folder].map(run_of);
        assert_eq!(read_csv(&broken), read_csv(&whole), "{what}");
        assert_eq!(read_events_of_the_continued(&broken), read_events_of_the_continued(&whole), "{what}");
    }
}

/// The only checkpoint of a run that contains the stop.
#[track_caller]
fn stopped(folder: &Path) -> PathBuf {
    let folder = run_of(folder).join("checkpoints");
    let holds_it = |path: &PathBuf| !Checkpoint::read(path).unwrap().manifest().place["requests"]["stops"].as_array().unwrap().is_empty();
    let found: Vec<PathBuf> = names(&folder).into_iter().map(|name| folder.join(name)).filter(holds_it).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

/// Helper test for a child process, like `trains_longer`.
#[test]
#[ignore = "a part of `a_withdrawn_stop_leaves_no_trace`"]
fn takes_a_stop_back() {
    if folder().is_none() {
        return;
    }
    let whole = tempfile::tempdir().unwrap();
    let (uninterrupted, all) = fit(whole.path(), 1, End::Steps(22), None);
    let whole = Whole { folder: whole.path(), fit: &uninterrupted, seen: &all };
    for (first, second) in [(End::Time, End::MoreTime(22)), (End::Time, End::Steps(22)), (End::Threshold, End::Steps(22))] {
        let broken = tempfile::tempdir().unwrap();
        let (ended, _) = fit(broken.path(), 1, first, None);
        assert!(matches!(ended.stop, Stop::Requested(_)), "{:?}", ended.stop);
        // The same options request the same stop.
        let from = stopped(broken.path());
        let (again, seen) = fit(broken.path(), 1, first, Some(&from));
        assert_eq!((&again.stop, &again.progress), (&ended.stop, &ended.progress));
        assert!(!seen.iter().any(|event| event.starts_with("TrainBatchStart")), "{seen:?}");
        whole.equals(&format!("{first:?}, {second:?}"), broken.path(), 1, second, &from);
    }
}

#[test]
fn a_withdrawn_stop_leaves_no_trace() {
    play(part("resume::more_steps::takes_a_stop_back", tempfile::tempdir().unwrap().path()));
}

#[test]
fn a_longer_fit_continues_the_unfinished_epoch() {
    play(part("resume::more_steps::trains_longer", tempfile::tempdir().unwrap().path()));
}

#[test]
fn an_unfinished_epoch_cannot_continue_with_other_data() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ckpt");
    let mut trainer = quiet().max_steps(3);
    let fit = trainer.fit(Logging::new(), line_data(12, 2)).unwrap();
    trainer.save_checkpoint(&fit.module, &path).unwrap();
    let error = error_text(quiet().max_steps(5).ckpt_path(&path).fit(Logging::new(), line_data(16, 2)));
    assert_snapshot!(error.replace(&folder.path().display().to_string(), "[folder]"), @"
    checkpoint `[folder]/a.ckpt`: it was written in the middle of an epoch, and the training data is not the same: it has 16 items, the checkpoint's had 12
      hint: resume with the data it was written with, or from a checkpoint that was written at the end of an epoch
    ");
}
