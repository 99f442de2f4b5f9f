//! The data that `stormfire watch` and `stormfire report` read from the files of real runs.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::SystemTime,
};

use stormfire::prelude::*;
use stormfire_viewer::{
    report,
    runs::{Keep, MediaLimits, Run, Runs, State},
};

use crate::support::{Line, line_data};

const KEEP: Keep = Keep { buckets: 1 << 16, media: MediaLimits::TAGS, samples_above: u64::MAX, all_messages: true };

fn read(root: &Path) -> Runs {
    let mut runs = Runs::open(&[root.to_owned()], KEEP).unwrap();
    runs.read_all();
    runs
}

/// Two optimizer steps in each epoch, and a score that may be anything.
fn trainer(root: &Path, scores: &'static [f64]) -> Trainer<Line> {
    struct Scores(&'static [f64]);
    impl Callback<Line> for Scores {
        fn on_validation_epoch_end(&mut self, ctx: &mut Context<'_>, _module: &mut Line) -> Result<()> {
            ctx.log("val/score ü", self.0[ctx.current_epoch()]);
            Ok(())
        }
    }
    let best = ModelCheckpoint::new().monitor("val/score ü").save_top_k(3).filename("{epoch}").save_last(true);
    let quiet = Trainer::new().default_root_dir(root).enable_progress_bar(false).enable_model_summary(false).num_sanity_val_steps(0);
    quiet.max_epochs(scores.len()).log_every_n_steps(1).callback(Scores(scores)).callback(best).callback(LearningRateMonitor::new())
}

/// The steps and values of a metric.
fn values(run: &Run, name: &str) -> Vec<(u64, f64)> {
    run.curve(name).unwrap().buckets().iter().map(|bucket| (bucket.from as u64, bucket.mean().unwrap_or(f64::NAN))).collect()
}

#[test]
fn the_viewer_reads_what_two_runs_of_a_process_and_a_resume_write() {
    let folder = tempfile::tempdir().unwrap();
    let fit = |scores: &'static [f64]| {
        let mut trainer = trainer(folder.path(), scores);
        let fit = trainer.fit(Line::new(), (line_data(4, 2), line_data(4, 2))).unwrap();
        let best = trainer.get::<ModelCheckpoint>().and_then(|saving| saving.best_model_path().map(Path::to_owned));
        (fit, best.unwrap())
    };
    let (first, best) = fit(&[0.5, 0.25, f64::NAN]);
    let _ = fit(&[1.0]);
    let runs = read(folder.path());
    let [one, two] = runs.list() else { panic!("{:?}", runs.list()) };
    assert_eq!((one.name.as_str(), two.name.as_str()), ("version_0", "version_1"));
    assert_eq!(one.state(SystemTime::now()), State::Ended);
    assert_eq!(values(one, "val_loss").len(), 3);
    assert!((one.last("val_loss").unwrap() - first.metrics.get("val_loss").unwrap()).abs() < 1e-6);
    assert_eq!(values(one, "lr-SGD").len(), 6);
    assert_eq!(one.curve("val/score ü").unwrap().broken(), 1);
    let marked: Vec<_> = one.checkpoints().iter().filter(|saved| saved.is_best).collect();
    assert_eq!(marked.len(), 1, "{:?}", one.checkpoints());
    assert_eq!((one.folder().join(&marked[0].path), marked[0].score.clone()), (best, Some(("val/score ü".to_owned(), 0.25))));
    assert!(one.about().facts.iter().any(|(name, value)| name == "device" && value == "cpu"), "{:?}", one.about());
    assert!(two.trainer().contains(&("max_epochs".to_owned(), "1".to_owned())), "{:?}", two.trainer());

    // A resume in the same folder adds only the new epoch.
    let last = one.folder().join("checkpoints/last.ckpt");
    let mut further = trainer(folder.path(), &[0.5, 0.25, f64::NAN, 0.125]).ckpt_path(last);
    let _ = further.fit(Line::new(), (line_data(4, 2), line_data(4, 2))).unwrap();
    let runs = read(folder.path());
    let one = &runs.list()[0];
    let steps: Vec<u64> = values(one, "lr-SGD").into_iter().map(|(step, _)| step).collect();
    assert_eq!(steps, (0..8).collect::<Vec<_>>());
    assert_eq!(one.checkpoints().iter().find(|saved| saved.is_best).unwrap().score.as_ref().unwrap().1.to_bits(), 0.125_f64.to_bits());
    assert!(one.problems().is_empty(), "{:?}", one.problems());
    let page = folder.path().join("report.html");
    assert_eq!(report::write(&[folder.path().to_owned()], &page).unwrap().0, 2);
}

/// Notes the state of the newest run while its test runs.
#[derive(Clone)]
struct Watcher {
    root: PathBuf,
    seen: Arc<Mutex<Vec<State>>>,
    fails: bool,
}

impl Callback<Line> for Watcher {
    fn on_test_start(&mut self, _ctx: &mut Context<'_>, _module: &mut Line) -> Result<()> {
        self.seen.lock().unwrap().extend(states(&self.root).last());
        if self.fails { Err(Error::other("the disk is unreachable")) } else { Ok(()) }
    }
}

fn states(root: &Path) -> Vec<State> {
    read(root).list().iter().map(|run| run.state(SystemTime::now())).collect()
}

#[test]
fn every_kind_of_run_has_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let watcher = Watcher { root: folder.path().to_owned(), seen: Arc::default(), fails: false };
    let trainer = |fails: bool| {
        let trainer = Trainer::<Line>::new().default_root_dir(folder.path()).enable_progress_bar(false).enable_model_summary(false);
        trainer.enable_checkpointing(false).max_epochs(1).callback(Watcher { fails, ..watcher.clone() })
    };
    let line = Line::new();
    trainer(false).validate(&line, line_data(4, 2)).unwrap();
    trainer(false).test(&line, line_data(4, 2)).unwrap();
    trainer(false).predict(&line, line_data(4, 2)).unwrap();
    trainer(true).test(&line, line_data(4, 2)).unwrap_err();
    let mut fits = trainer(false);
    let fit = fits.fit(Line::new(), (line_data(4, 2), line_data(4, 2))).unwrap();
    assert_eq!(states(folder.path()), [State::Ended, State::Ended, State::Ended, State::Failed, State::Ended]);
    fits.test(&fit.module, line_data(4, 2)).unwrap();
    assert_eq!(states(folder.path()).last(), Some(&State::Ended));
    // Also that of a folder in which a fit has ended before.
    assert_eq!(*watcher.seen.lock().unwrap(), [State::Running; 3]);
}

#[test]
fn a_run_without_tensorboard_has_an_end_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = trainer(folder.path(), &[0.5]).logger(stormfire::loggers::CsvLogger::new(folder.path()));
    let _ = trainer.fit(Line::new(), (line_data(4, 2), line_data(4, 2))).unwrap();
    assert_eq!(states(folder.path()), [State::Ended]);
}
