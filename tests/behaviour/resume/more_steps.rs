//! A fit that `max_steps` or a stop ends in the middle of an epoch, and that is then to train longer.

use std::path::{Path, PathBuf};

use burn::module::Module as _;
use stormfire::{checkpoint::Checkpoint, prelude::*};

use super::{
    net::Net,
    observer::{Busy, Observer},
    plan::{Algorithm, DataKind, DataPlan, Learning, ScheduleKind},
};
use crate::{
    child::{folder, part, play},
    files::{read_csv, read_events_of_the_continued},
    repeatability::weights,
    rig::{Logging, run_of},
    support::{line_data, quiet},
    wrong_input::check,
};

/// Nine batches an epoch, shuffled; everything that a net can have.
pub(crate) fn data() -> DataPlan {
    DataPlan { kind: DataKind::Dataset, items: 27, batch_size: 3, workers: 1, shuffle: true, val_loaders: 1, val_is_unsized: false }
}

pub(crate) fn net(is_manual: bool) -> Net {
    Net::new(Learning {
        algorithm: Algorithm::Adam,
        schedule: ScheduleKind::CosinePerStep,
        is_manual,
        is_regularised: true,
        tells_batch_size: true,
        monitor: "val_loss",
    })
}

/// How a fit is ended, and where.
#[derive(Clone, Copy, Debug)]
enum End {
    Steps(u64),
    /// A callback asks for a stop in this epoch, after this batch.
    Stop(usize, usize),
}

fn fit(folder: &Path, window: usize, end: End, from: Option<&Path>) -> (Fit<Net>, Vec<String>) {
    let observer = Observer { reads: true, ..Observer::default() };
    let seen = std::sync::Arc::clone(&observer.seen);
    let stop = if let End::Stop(epoch, batch) = end { Some((epoch, batch)) } else { None };
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
        .callback(EarlyStopping::new("val_loss").patience(100))
        .callback(Busy { stop, ..Busy::default() })
        .callback(ModelCheckpoint::new().save_last(true))
        .callback(observer);
    if let End::Steps(steps) = end {
        trainer = trainer.max_steps(steps);
    }
    if let Some(path) = from {
        trainer = trainer.ckpt_path(path);
    }
    let fit = trainer.fit(net(window == 1), (data().train(), data().val())).unwrap();
    trainer.save_checkpoint(&fit.module, end_of(folder)).unwrap();
    let seen = seen.lock().unwrap().iter().map(|event| format!("{:?} {}", event.hook, event.what)).collect();
    (fit, seen)
}

/// What the newest fit has left.
fn end_of(folder: &Path) -> PathBuf {
    folder.join("end.ckpt")
}

/// Not a test of its own: fits of which each begins with its own random numbers.
#[test]
#[ignore = "a part of `a_fit_that_trains_longer_takes_up_its_epoch`"]
fn trains_longer() {
    if folder().is_none() {
        return;
    }
    for window in [1, 2] {
        let whole = tempfile::tempdir().unwrap();
        let (unbroken, all) = fit(whole.path(), window, End::Steps(22 / window as u64), None);
        // In mid-epoch, at a validation, and twice in one epoch; then a stop that would not validate otherwise.
        let ends = [End::Steps(1), End::Steps(2), End::Steps(4), End::Steps(6), End::Stop(0, 5), End::Stop(0, 6), End::Stop(1, 2)];
        for first in ends {
            let broken = tempfile::tempdir().unwrap();
            let (ended, _) = fit(broken.path(), window, first, None);
            let end = end_of(broken.path());
            assert_eq!(Checkpoint::read(&end).unwrap().manifest().progress["epoch"], ended.progress.epoch, "{first:?}");
            // The same limit has nothing more to train.
            if let End::Steps(steps) = first {
                let (same, seen) = fit(broken.path(), window, first, Some(&end));
                assert_eq!((same.stop, same.progress.global_step, seen.len()), (Stop::MaxSteps, steps, 1), "{first:?}: {seen:?}");
            }
            let (continued, seen) = fit(broken.path(), window, End::Steps(22 / window as u64), Some(&end));
            let what = format!("{window} {first:?}");
            assert_eq!((&continued.stop, &continued.progress), (&unbroken.stop, &unbroken.progress), "{what}");
            assert_eq!(seen, all[all.len() - seen.len()..], "{what}");
            assert!(seen[0].starts_with("TrainBatchStart"), "{what}: {}", seen[0]);
            assert_eq!(weights(&continued.module.valid()), weights(&unbroken.module.valid()), "{what}");
            let [whole, broken] = [whole.path(), broken.path()].map(run_of);
            assert_eq!(read_csv(&broken), read_csv(&whole), "{what}");
            assert_eq!(read_events_of_the_continued(&broken), read_events_of_the_continued(&whole), "{what}");
        }
    }
}

#[test]
fn a_fit_that_trains_longer_takes_up_its_epoch() {
    play(part("resume::more_steps::trains_longer", tempfile::tempdir().unwrap().path()));
}

#[test]
fn other_data_cannot_take_up_an_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ckpt");
    let mut trainer = quiet().max_steps(3);
    let fit = trainer.fit(Logging::new(), line_data(12, 2)).unwrap();
    trainer.save_checkpoint(&fit.module, &path).unwrap();
    let text = format!(
        "checkpoint `{}`: it was written in the middle of an epoch, and the training data is not the same: it has 16 items, the checkpoint's had 12",
        path.display()
    );
    let hint = "continue with the data it was written with, or from a checkpoint that was written at the end of an epoch";
    check(quiet().max_steps(5).ckpt_path(&path).fit(Logging::new(), line_data(16, 2)), &text, Some(hint));
}
