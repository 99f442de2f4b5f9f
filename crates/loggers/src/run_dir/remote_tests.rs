use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::thread::sleep;

use stormfire_store::Place;

use super::*;
use crate::{CsvLogger, Hyperparams, Logger, Metrics, Status, TensorBoardLogger};

const EXPERIMENT: &str = "exp";

/// As `RunDir::new` with a URL, but with a separate local folder for each machine.
fn run_dir(machine: &Path, url: &str, interval: Duration) -> RunDir {
    let run = RunDir::new(url).with_name(EXPERIMENT);
    Inner { save_dir: machine.to_owned(), upload_every: interval, ..run.settings() }.into()
}

const NEVER: Duration = Duration::from_hours(1);
const ALWAYS: Duration = Duration::from_millis(5);

/// The paths of all objects below a URL.
fn paths(url: &Path) -> BTreeSet<PathBuf> {
    let (folders, objects): (Vec<_>, Vec<_>) = files::list(url).unwrap().into_iter().partition(|entry| entry.is_folder);
    folders.iter().flat_map(|folder| paths(&folder.path)).chain(objects.into_iter().map(|object| object.path)).collect()
}

/// All objects below a URL, by path. None may be removed during the listing.
fn objects(url: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |path: PathBuf| {
        let Place::Store(object) = Place::of(&path).unwrap() else { panic!("no store") };
        let mut bytes = Vec::new();
        object.open().unwrap().0.read_to_end(&mut bytes).unwrap();
        (path, bytes)
    };
    paths(url).into_iter().map(read).collect()
}

fn names(url: &str) -> Vec<String> {
    paths(url.as_ref()).iter().map(|path| path.strip_prefix(url).unwrap().display().to_string()).collect()
}

fn log(logger: &mut dyn Logger, steps: std::ops::Range<u64>) {
    for step in steps {
        logger.log_metrics(&[("loss", 1.0 / (step + 1) as f64)].into(), Some(step)).unwrap();
    }
}

#[test]
fn a_run_is_continued_on_another_machine() {
    let uninterrupted = tempfile::tempdir().unwrap();
    let mut logger = CsvLogger::new(uninterrupted.path()).name("").version("run").jsonl(true);
    log(&mut logger, 0..100);
    logger.finalize(Status::Success).unwrap();

    let url = "memory://continued/logs";
    let first = tempfile::tempdir().unwrap();
    let run = run_dir(first.path(), url, NEVER);
    let mut params = Hyperparams::new();
    params.insert("lr", 0.1).unwrap();
    let mut loggers: [Box<dyn Logger>; 2] =
        [Box::new(TensorBoardLogger::in_dir(run.clone()).sub_dir("deep")), Box::new(CsvLogger::in_dir(run.clone()).jsonl(true))];
    let positions = loggers.each_mut().map(|logger| {
        logger.log_hyperparams(&params, &Metrics::new()).unwrap();
        log(&mut **logger, 0..40);
        let position = logger.position().unwrap();
        log(&mut **logger, 40..70);
        logger.finalize(Status::Interrupted).unwrap();
        position
    });
    assert_eq!(run.log_dir().unwrap(), first.path().join("exp/version_0"));
    drop((loggers, run, first));

    let second = tempfile::tempdir().unwrap();
    let run = run_dir(second.path(), url, NEVER).resume("version_0").unwrap();
    let mut loggers: [Box<dyn Logger>; 2] =
        [Box::new(TensorBoardLogger::in_dir(run.clone()).sub_dir("deep")), Box::new(CsvLogger::in_dir(run.clone()).jsonl(true))];
    for (logger, position) in loggers.iter_mut().zip(positions) {
        logger.open().unwrap();
        logger.resume(position).unwrap();
        log(&mut **logger, 40..100);
        logger.finalize(Status::Success).unwrap();
    }
    let there = objects(Path::new(url));
    for file in ["metrics.csv", "metrics.jsonl"] {
        let here = fs_err::read(uninterrupted.path().join("run").join(file)).unwrap();
        assert_eq!(there[&Path::new(url).join("exp/version_0").join(file)], here, "{file}");
    }
    // The store has exactly the local files. Files that were discarded locally are deleted in the store.
    let mut here = BTreeMap::new();
    for folder in ["exp/version_0", "exp/version_0/deep"] {
        for entry in fs_err::read_dir(second.path().join(folder)).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file())
        {
            let name = entry.strip_prefix(second.path()).unwrap();
            here.insert(Path::new(url).join(name), fs_err::read(&entry).unwrap());
        }
    }
    assert_eq!(there, here);
    assert!(here.len() >= 5, "{:?}", here.keys());
}

#[test]
fn versions_are_counted_in_the_store_and_a_missing_run_is_reported() {
    let url = "memory://versions/logs";
    for expected in ["version_0", "version_1", "version_2"] {
        // Each iteration simulates another machine.
        let machine = tempfile::tempdir().unwrap();
        let mut logger = CsvLogger::in_dir(run_dir(machine.path(), url, NEVER));
        logger.open().unwrap();
        assert_eq!(Logger::version(&logger), expected);
        logger.finalize(Status::Success).unwrap();
    }
    assert_eq!(names(url), ["exp/version_0/metrics.csv", "exp/version_1/metrics.csv", "exp/version_2/metrics.csv"]);
    let machine = tempfile::tempdir().unwrap();
    let error = run_dir(machine.path(), url, NEVER).resume("version_3").unwrap_err();
    assert!(matches!(error, Error::RunGone { .. }), "{error}");
}

#[test]
fn changed_logs_are_uploaded_at_intervals_without_other_files() {
    let machine = tempfile::tempdir().unwrap();
    let url = "memory://intervals/logs";
    let run = run_dir(machine.path(), url, ALWAYS);
    let folder = run.log_dir().unwrap().to_owned();
    fs_err::create_dir_all(folder.join("checkpoints")).unwrap();
    for (name, text) in [("checkpoints/last.ckpt", "weights"), (".saving-1", "half"), ("a.log", "1"), ("b.log", "2")] {
        fs_err::write(folder.join(name), text).unwrap();
    }
    let wait_for = |expected: &[&str]| {
        while names(url) != expected {
            sleep(Duration::from_millis(1));
        }
    };
    wait_for(&["exp/version_0/a.log", "exp/version_0/b.log"]);
    fs_err::remove_file(folder.join("b.log")).unwrap();
    wait_for(&["exp/version_0/a.log"]);
    // An unfinished run uploads its remaining files on drop.
    let late = run_dir(machine.path(), url, NEVER).with_version("late");
    fs_err::write(late.log_dir().unwrap().join("c.log"), "3").unwrap();
    drop(late);
    wait_for(&["exp/late/c.log", "exp/version_0/a.log"]);
}

#[test]
fn a_url_is_checked_when_it_is_used() {
    let error = RunDir::new("s3://me:secret@bucket/x").version().unwrap_err();
    assert_eq!(error.to_string(), "`s3://…` cannot be used: it names no bucket");
    assert!(error.hint().is_some());
    assert_eq!(RunDir::new("s3://bucket/runs").save_dir(), Path::new(".stormfire/logs/s3/bucket/runs"));
    let folder = tempfile::tempdir().unwrap();
    let run = RunDir::new(format!("file://{}", folder.path().display()));
    assert_eq!(run.log_dir().unwrap(), folder.path().join("lightning_logs/version_0"));
    assert!(run.upload());
}
