use std::path::{Path, PathBuf};

use serde_json::json;

use super::*;
use crate::{Hyperparams, Image, Logger, Metrics, MlflowLogger, Status, Text};

fn logger(root: &Path) -> MlflowLogger {
    MlflowLogger::new().tracking_uri(format!("file:{}", root.display())).experiment("exp: 1").run_name("12e3")
}

fn run_dir(root: &Path, logger: &MlflowLogger) -> PathBuf {
    root.join(logger.experiment_id().unwrap()).join(logger.run_id().unwrap())
}

fn read(path: PathBuf) -> String {
    fs_err::read_to_string(path).unwrap()
}

/// The lines of a metric without their times.
fn lines(run: &Path, key: &str) -> Vec<String> {
    let text = read(run.join("metrics").join(key));
    text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
}

fn params(value: &serde_json::Value) -> Hyperparams {
    Hyperparams::from_serialize(value).unwrap()
}

#[test]
fn a_run_is_a_folder_as_mlflow_makes_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("ml runs");
    let mut logger = logger(&root).tag("team", "x");
    logger.log_hyperparams(&params(&json!({"lr": 0.1, "net": {"width": 32}, "text": "a\nb"})), &Metrics::new()).unwrap();
    logger.log_metrics(&[("val/loss", 0.1), ("nan", f64::NAN), ("small", 1e-9)].into(), Some(3)).unwrap();
    logger.log_metrics(&[("val/loss", f64::NEG_INFINITY)].into(), None).unwrap();
    logger.log_text("note", &Text::new("hello"), Some(3)).unwrap();
    logger.finalize(Status::Interrupted).unwrap();
    let run = run_dir(&root, &logger);
    assert_eq!(lines(&run, "val/loss"), ["0.1 3", "-inf 0"]);
    assert_eq!((lines(&run, "nan"), lines(&run, "small")), (vec!["nan 3".to_owned()], vec!["1e-9 3".to_owned()]));
    assert_eq!((read(run.join("params/net/width")).as_str(), read(run.join("params/text")).as_str()), ("32", "a\nb"));
    assert_eq!((read(run.join("tags/team")).as_str(), read(run.join("tags/mlflow.runName")).as_str()), ("x", "12e3"));
    assert_eq!(read(run.join("artifacts/texts/note/step_3.md")), "hello");
    let meta = meta::read(&run).unwrap();
    assert_eq!((&meta["status"], &meta["run_name"], meta["end_time"].is_u64()), (&json!(5), &json!("12e3"), true));
    assert!(meta["artifact_uri"].as_str().unwrap().ends_with(&format!(
        "ml%20runs/{}/{}/artifacts",
        logger.experiment_id().unwrap(),
        logger.version()
    )));
    assert!(root.join("0/meta.yaml").is_file());
    assert_eq!(Logger::save_dir(&logger), Some(root.clone()));
    // Another run of the same experiment is in the same folder.
    let mut second = super::tests::logger(&root);
    second.open().unwrap();
    assert_eq!(second.experiment_id(), logger.experiment_id());
    assert_ne!(second.run_id(), logger.run_id());
}

#[test]
fn a_resumed_run_is_truncated_and_the_fresh_one_vanishes() {
    let folder = tempfile::tempdir().unwrap();
    let image = |step: u8| Image::new(1, 1, 1, vec![step]).unwrap();
    let mut killed = logger(folder.path());
    killed.log_hyperparams(&params(&json!({"lr": 1})), &Metrics::new()).unwrap();
    killed.log_metrics(&[("a", 0.5), ("b/c", 1.0)].into(), Some(0)).unwrap();
    killed.log_image("dogs", &image(0), Some(0)).unwrap();
    let position = killed.position().unwrap();
    killed.log_image("dogs", &image(1), Some(1)).unwrap();
    killed.log_hyperparams(&params(&json!({"late": 1})), &Metrics::new()).unwrap();
    killed.log_metrics(&[("a", 9.0), ("later", 1.0)].into(), Some(1)).unwrap();
    killed.finalize(Status::Failed).unwrap();
    let run = run_dir(folder.path(), &killed);
    // A kill in the middle of a line, and of a replacement.
    let mut torn = fs_err::OpenOptions::new().append(true).open(run.join("metrics/a")).unwrap();
    torn.write_all(b"17000 0.").unwrap();
    fs_err::write(run.join("params/.saving-x"), "").unwrap();

    let mut continued = logger(folder.path());
    continued.open().unwrap();
    continued.resume(position).unwrap();
    assert_eq!(run_dir(folder.path(), &continued), run);
    continued.log_hyperparams(&params(&json!({"late": 2})), &Metrics::new()).unwrap();
    continued.log_metrics(&[("a", 0.25)].into(), Some(1)).unwrap();
    continued.log_image("dogs", &image(1), Some(1)).unwrap();
    continued.save().unwrap();
    assert_eq!(meta::read(&run).unwrap()["status"], 1);
    continued.finalize(Status::Success).unwrap();
    assert_eq!((lines(&run, "a"), lines(&run, "b/c")), (vec!["0.5 0".to_owned(), "0.25 1".to_owned()], vec!["1.0 0".to_owned()]));
    assert_eq!((meta::read(&run).unwrap()["status"].clone(), read(run.join("params/late"))), (json!(3), "2".to_owned()));
    assert!(!run.join("metrics/later").exists() && !run.join("params/.saving-x").exists());
    assert_eq!(fs_err::read_dir(run.join("artifacts/images")).unwrap().count(), 4);
    let runs = fs_err::read_dir(run.parent().unwrap()).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
    assert_eq!(runs, 1);
}

#[test]
fn a_run_that_is_there_is_joined_and_half_a_line_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = logger(folder.path());
    first.log_metrics(&[("a", 1.0)].into(), Some(0)).unwrap();
    first.finalize(Status::Success).unwrap();
    let (run, id) = (run_dir(folder.path(), &first), first.run_id().unwrap());
    fs_err::OpenOptions::new().append(true).open(run.join("metrics/a")).unwrap().write_all(b"17 2.0 9").unwrap();
    let mut joined = logger(folder.path()).existing_run(&id);
    joined.log_metrics(&[("a", 3.0)].into(), Some(1)).unwrap();
    joined.save().unwrap();
    assert_eq!(lines(&run, "a"), ["1.0 0", "3.0 1"]);
    assert_eq!(meta::read(&run).unwrap()["status"], 1);
    assert!(matches!(logger(folder.path()).existing_run("0123").open(), Err(Error::RunGone { .. })));
}

#[test]
fn unsupported_values_are_left_out_and_the_rest_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = logger(folder.path());
    logger.log_metrics(&[("a", 1.0), ("a/b", 2.0), ("c/d", 3.0), ("c", 4.0)].into(), Some(0)).unwrap();
    logger.log_hyperparams(&params(&json!({"lr": 1, "lr/x": 2})), &Metrics::new()).unwrap();
    logger.log_hyperparams(&params(&json!({"lr": 2, "z": 3})), &Metrics::new()).unwrap();
    logger.finalize(Status::Success).unwrap();
    let run = run_dir(folder.path(), &logger);
    assert_eq!((lines(&run, "a").len(), lines(&run, "c/d").len()), (1, 1));
    assert_eq!((read(run.join("params/lr")).as_str(), read(run.join("params/z")).as_str()), ("1", "3"));
    let mut strict = super::tests::logger(folder.path()).existing_run(logger.run_id().unwrap()).strict(true);
    let error = strict.log_hyperparams(&params(&json!({"lr": 2})), &Metrics::new()).unwrap_err();
    assert_eq!(error.to_string(), "the parameter `lr` is `1`; MLflow does not let it become `2`");
}

#[test]
fn numbers_of_experiments_follow_from_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let first = meta::experiment(folder.path(), "a", None, 1).unwrap();
    assert_eq!(meta::experiment(folder.path(), "a", None, 2).unwrap(), first);
    assert_eq!(first.0.len(), 18);
    // A user renamed the experiment.
    let meta = read(folder.path().join(&first.0).join("meta.yaml")).replace("\"a\"", "b");
    fs_err::write(folder.path().join(&first.0).join("meta.yaml"), meta).unwrap();
    let other = meta::experiment(folder.path(), "a", Some("file:///elsewhere"), 3).unwrap();
    assert_eq!((other.0.parse::<u64>().unwrap(), other.1.as_str()), (first.0.parse::<u64>().unwrap() + 1, "file:///elsewhere"));
    assert_eq!(meta::experiment(folder.path(), "Default", None, 1).unwrap().0, "0");
}
