use std::fs::write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::json;
use stormfire_loggers::for_trainer::{RunState, write_options};
use stormfire_loggers::{Hyperparams, Logger as _, Metrics, Status, TensorBoardLogger};
use tempfile::tempdir;

use super::opened;
use crate::compare;
use crate::runs::State;

#[test]
fn a_run_without_an_end_is_quiet_after_two_minutes() {
    let folder = tempdir().unwrap();
    write(folder.path().join("metrics.csv"), "step,a\n0,1\n").unwrap();
    let run = opened(folder.path());
    let modified = run.modified().unwrap();
    assert_eq!(run.state(modified + Duration::from_mins(1)), State::Running);
    assert_eq!(run.state(modified + Duration::from_mins(3)), State::Quiet);
}

#[test]
fn a_run_with_settings_only_is_not_running_for_ever() {
    let folder = tempdir().unwrap();
    write(folder.path().join("hparams.yaml"), "lr: 0.1\n").unwrap();
    let run = opened(folder.path());
    assert_eq!(run.state(SystemTime::now() + Duration::from_mins(3)), State::Quiet);
}

/// `trainer.yaml`, with the default of the seed.
fn note(folder: &Path, run: &str, state: RunState, seed: Option<u64>) {
    let options = Hyperparams::from_json(json!({"seed": seed, "max_epochs": 3, "max_time": null})).unwrap();
    let defaults = Hyperparams::from_json(json!({"seed": null, "max_epochs": null, "max_time": null})).unwrap();
    write_options(folder, run, state, options, &defaults).unwrap();
}

#[test]
fn the_state_that_the_trainer_has_noted_is_that_of_the_newest_run() {
    let folder = tempdir().unwrap();
    let mut fit = TensorBoardLogger::new(folder.path()).name("").version("fit");
    fit.log_hyperparams(&Hyperparams::new(), &Metrics::new()).unwrap();
    fit.finalize(Status::Success).unwrap();
    let run = folder.path().join("fit");
    let state = |minutes: u64| opened(&run).state(SystemTime::now() + Duration::from_mins(minutes));
    assert_eq!(state(0), State::Ended, "only the events say it");
    for (noted, soon, later) in [
        (RunState::Running, State::Running, State::Quiet),
        (RunState::Ended(Status::Success), State::Ended, State::Ended),
        (RunState::Ended(Status::Failed), State::Failed, State::Failed),
        (RunState::Ended(Status::Interrupted), State::Failed, State::Failed),
    ] {
        note(&run, "test", noted, None);
        assert_eq!((state(0), state(3)), (soon, later), "{noted:?}");
    }
}

#[test]
fn a_prediction_in_an_old_folder_is_running() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("metrics.csv");
    write(&path, "step,a\n0,1\n").unwrap();
    let yesterday = SystemTime::now() - Duration::from_hours(24);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(yesterday).unwrap();
    note(folder.path(), "predict", RunState::Running, None);
    assert_eq!(opened(folder.path()).state(SystemTime::now()), State::Running);
}

#[test]
fn defaults_of_the_trainer_come_last() {
    let folder = tempdir().unwrap();
    let run = |name: &str, seed: Option<u64>| {
        let run = folder.path().join(name);
        std::fs::create_dir(&run).unwrap();
        note(&run, "fit", RunState::Running, seed);
        opened(&run)
    };
    let (a, b) = (run("a", None), run("b", Some(7)));
    let told = |runs: &[&crate::runs::Run]| -> Vec<_> {
        compare::settings(runs).into_iter().map(|row| format!("{} {} {}", row.name, row.differs, row.is_default)).collect()
    };
    assert_eq!(told(&[&a]), ["trainer.max_epochs false false", "trainer.seed false true", "trainer.max_time false true"]);
    assert_eq!(told(&[&a, &b]), ["trainer.seed true false", "trainer.max_epochs false false", "trainer.max_time false true"]);
}
