use std::time::Duration;

use serde_json::{Value, json};

use super::MlflowLogger;
use super::fake::Fake;
use crate::{
    Artifact, Audio, CheckpointInfo, Delivery, Error, Figure, Graph, Histogram, Hyperparams, Image, LogModel, Logger, Metrics, Node,
    Secret, Status, Table, Text,
};

pub(super) fn logger(fake: &Fake, folder: &std::path::Path) -> MlflowLogger {
    MlflowLogger::new().tracking_uri(&fake.http.address).save_dir(folder).patience(Duration::from_mins(1))
}

pub(super) fn loss(logger: &mut MlflowLogger, steps: std::ops::Range<u64>) {
    for step in steps {
        logger.log_metrics(&[("loss", step as f64 / 3.0)].into(), Some(step)).unwrap();
        logger.save().unwrap();
    }
}

pub(super) fn deliver(logger: &mut MlflowLogger) -> Delivery {
    logger.sink().unwrap().settle().unwrap().unwrap()
}

fn params(value: &Value) -> Hyperparams {
    Hyperparams::from_serialize(value).unwrap()
}

#[test]
fn a_run_is_made_and_filled_with_the_requests_of_mlflows_client() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    let mut logger = logger(&fake, folder.path()).experiment("an exp").run_name("run A").tag("team", "x").parent_run("p1").prefix("a");
    logger.open().unwrap();
    assert!(fake.http.received().is_empty() && !folder.path().join("mlruns").exists());
    assert_eq!((logger.name(), logger.version()), ("an exp", "run A".to_owned()));
    logger.log_hyperparams(&params(&json!({"lr": 0.1, "net": {"width": 32}})), &Metrics::new()).unwrap();
    logger.log_metrics(&[("loss (mean)", f64::NAN), ("up", f64::INFINITY), ("acc", 0.5)].into(), Some(3)).unwrap();
    logger.log_metrics(&[("acc", 0.1_f32.into())].into(), None).unwrap();
    logger.set_tag("mlflow.note.content", "a note").unwrap();
    logger.finalize(Status::Success).unwrap();

    let requests = fake.http.received();
    let shown: Vec<String> =
        requests.iter().map(|request| format!("{} {}", request.method, request.path.replace("/api/2.0/mlflow/", ""))).collect();
    insta::assert_snapshot!(shown.join("\n"), @"
    GET experiments/get-by-name?experiment_name=an%20exp
    POST experiments/create
    POST runs/create
    POST runs/log-batch
    POST runs/update
    ");
    assert_eq!(requests[1].json(), json!({"name": "an exp"}));
    let create = requests[2].json();
    assert_eq!((&create["experiment_id"], &create["run_name"]), (&json!("1"), &json!("run A")));
    assert!(create["start_time"].as_u64() > Some(1_600_000_000_000));
    let batch = requests[3].json();
    assert_eq!(batch["params"], json!([{"key": "lr", "value": "0.1"}, {"key": "net/width", "value": "32"}]));
    let time = &batch["metrics"][0]["timestamp"];
    let last = &batch["metrics"][3]["timestamp"];
    assert_eq!(
        batch["metrics"],
        json!([
            {"key": "a-loss _mean_-a5e08f9a2618", "value": "NaN", "timestamp": time, "step": 3},
            {"key": "a-up", "value": "Infinity", "timestamp": time, "step": 3},
            {"key": "a-acc", "value": 0.5, "timestamp": time, "step": 3},
            {"key": "a-acc", "value": f64::from(0.1_f32), "timestamp": last, "step": 0},
        ])
    );
    let run = fake.run();
    for (key, value) in [("team", "x"), ("mlflow.parentRunId", "p1"), ("mlflow.source.type", "LOCAL"), ("mlflow.note.content", "a note")] {
        assert_eq!(run.tags.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert!(run.tags.contains_key("mlflow.user") && run.tags.contains_key("mlflow.source.name"));
    assert_eq!((run.status.as_str(), run.end.is_some()), ("FINISHED", true));
    assert_eq!(
        (logger.version(), logger.run_id(), logger.experiment_id()),
        ("run-0".to_owned(), Some("run-0".to_owned()), Some("1".to_owned()))
    );
    drop(logger);
    let spools = fs_err::read_dir(folder.path().join(".stormfire/mlflow")).unwrap().count();
    assert_eq!(spools, 0);
}

#[test]
fn the_limits_of_a_request_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    let mut logger = logger(&fake, folder.path());
    let many: Metrics = (0..2500).map(|number| (format!("m{number}"), f64::from(number))).collect();
    logger.log_metrics(&many, Some(1)).unwrap();
    let mut params = Hyperparams::new();
    for number in 0..250 {
        params.insert(format!("p{number}"), "\u{1}".repeat(9000)).unwrap();
    }
    logger.log_hyperparams(&params, &Metrics::new()).unwrap();
    for number in 0..250 {
        logger.set_tag(&format!("t{number}"), "x").unwrap();
    }
    logger.finalize(Status::Success).unwrap();
    let run = fake.run();
    assert_eq!((run.metrics.len(), run.params.len()), (2500, 250));
    assert!(run.tags.len() > 250 && run.params.values().all(|value| value.len() == 6000));
    assert_eq!(logger.delivery().unwrap().refused, 0);
}

#[test]
fn a_changed_parameter_is_refused_and_the_rest_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    let mut logger = logger(&fake, folder.path());
    logger.log_hyperparams(&params(&json!({"lr": 0.1, "seed": 1})), &Metrics::new()).unwrap();
    logger.log_hyperparams(&params(&json!({"a": 1, "lr": 0.2, "seed": 1, "z": 1})), &Metrics::new()).unwrap();
    loss(&mut logger, 0..3);
    logger.finalize(Status::Success).unwrap();
    let run = fake.run();
    assert_eq!(run.params.keys().collect::<Vec<_>>(), ["a", "lr", "seed", "z"]);
    assert_eq!((run.params["lr"].as_str(), run.steps("loss")), ("0.1", vec![0, 1, 2]));
    assert_eq!(logger.delivery().unwrap().refused, 1);

    let mut strict = super::tests::logger(&fake, folder.path()).existing_run("run-0").strict(true);
    strict.log_hyperparams(&params(&json!({"lr": 0.3})), &Metrics::new()).unwrap();
    let error = strict.finalize(Status::Success).unwrap_err();
    let Error::Undelivered { reason, .. } = &error else { panic!("{error}") };
    insta::assert_snapshot!(reason.replace(&fake.http.address, "[server]"), @r#"
    POST [server]/api/2.0/mlflow/runs/log-batch: status 400: {"error_code":"INVALID_PARAMETER_VALUE","message":"Changing param values is not allowed. Param with key='lr'"}
    "#);
}

#[test]
fn an_older_server_gets_shorter_values() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    let mut logger = logger(&fake, folder.path());
    logger.set_tag("a", "b").unwrap();
    deliver(&mut logger);
    fake.with(|state| state.runs[0].longest = Some(250));
    logger.log_hyperparams(&params(&json!({"long": "é".repeat(600), "short": 1})), &Metrics::new()).unwrap();
    logger.finalize(Status::Success).unwrap();
    let run = fake.run();
    assert_eq!((run.params["long"].clone(), run.params["short"].as_str()), ("é".repeat(250), "1"));
    assert_eq!(logger.delivery().unwrap().refused, 0);
}

#[test]
fn a_run_ends_as_it_did_and_runs_again_when_more_follows() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    let mut logger = logger(&fake, folder.path());
    for (status, expected) in [(Status::Failed, "FAILED"), (Status::Interrupted, "KILLED"), (Status::Success, "FINISHED")] {
        logger.finalize(status).unwrap();
        assert_eq!(fake.run().status, expected);
        loss(&mut logger, 0..1);
        deliver(&mut logger);
        assert_eq!((fake.run().status.as_str(), fake.run().end), ("RUNNING", None));
    }
}

#[test]
fn media_are_in_the_folders_that_mlflow_shows() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    let mut logger = logger(&fake, folder.path());
    let image = Image::new(300, 1, 1, vec![7; 300]).unwrap();
    logger.log_image("val/dogs", &image, Some(2)).unwrap();
    logger.log_text("note", &Text::new("# hello"), Some(2)).unwrap();
    logger.log_figure("curve", &Figure::svg("<svg/>"), None).unwrap();
    logger.log_table("rows", &Table::new(["a", "b"]).row([1.into(), "x".into()]).unwrap(), Some(2)).unwrap();
    logger.log_histogram("weights", &Histogram::from_samples([1.0, 2.0]).unwrap(), Some(2)).unwrap();
    logger.log_audio("beep", &Audio::new(8000, 1, vec![0.0]).unwrap(), Some(2)).unwrap();
    logger.log_graph(&Graph::new([Node::new("net", "Linear")])).unwrap();
    let path = folder.path().join("epoch=0.ckpt");
    fs_err::write(&path, "weights").unwrap();
    logger.log_artifact(&Artifact::new(&path).alias("latest").alias("best").metadata("score", 0.5)).unwrap();
    logger.log_artifact(&Artifact::new(&path).in_folder("plain")).unwrap();
    fs_err::create_dir_all(folder.path().join("tree/sub")).unwrap();
    fs_err::write(folder.path().join("tree/sub/a b.txt"), "A").unwrap();
    logger.log_artifact(&Artifact::new(folder.path().join("tree")).named("copy")).unwrap();
    let error = logger.log_artifact(&Artifact::new(folder.path().join("gone"))).unwrap_err();
    assert!(matches!(error, Error::Io(_)));
    logger.finalize(Status::Success).unwrap();

    let run = fake.run();
    let text = |name: &str| String::from_utf8(run.artifacts[name].clone()).unwrap();
    let images: Vec<&String> = run.artifacts.keys().filter(|name| name.starts_with("images/val~dogs%2Bstep%2B2%2Btimestamp%2B")).collect();
    assert_eq!(images.len(), 2);
    assert!(images[0].ends_with("%2Bcompressed.png"));
    assert_eq!(run.artifacts[images[1]], image.to_png().unwrap());
    assert_eq!(text("texts/note/step_2.md"), "# hello");
    assert_eq!(text("figures/curve.svg"), "<svg/>");
    assert_eq!(text("tables/rows/step_2.json"), r#"{"columns":["a","b"],"data":[[1,"x"]]}"#);
    assert!(run.artifacts["audio/beep/step_2.wav"].starts_with(b"RIFF"));
    assert_eq!(text("graph.txt"), "(net): Linear()\n");
    assert_eq!(text("epoch%3D0/epoch%3D0.ckpt"), "weights");
    assert_eq!(text("epoch%3D0/aliases.txt"), "['latest', 'best']");
    assert_eq!(text("epoch%3D0/metadata.yaml"), "score: 0.5\noriginal_filename: epoch=0.ckpt\n");
    assert_eq!((text("plain/epoch%3D0.ckpt").as_str(), text("copy/sub/a%20b.txt").as_str()), ("weights", "A"));
    assert_eq!(run.tags["mlflow.loggedImages"], "True");
    assert_eq!(run.tags["mlflow.loggedArtifacts"], r#"[{"path":"tables/rows/step_2.json","type":"table"}]"#);
    assert!(path.exists(), "only copies that were kept for sending are removed");
}

#[test]
fn checkpoints_are_kept_even_if_they_are_removed_before_the_server_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    let mut logger = logger(&fake, folder.path()).log_model(LogModel::All);
    for (step, score) in [(1, 0.5), (2, 0.25)] {
        let path = folder.path().join(format!("step={step}.ckpt"));
        fs_err::write(&path, format!("weights {step}")).unwrap();
        logger.after_save_checkpoint(&CheckpointInfo::new(&path).scored("val_loss", score, true)).unwrap();
        fs_err::remove_file(path).unwrap();
    }
    logger.finalize(Status::Success).unwrap();
    let run = fake.run();
    let text = |name: &str| String::from_utf8(run.artifacts[name].clone()).unwrap();
    assert_eq!((text("step%3D1/step%3D1.ckpt").as_str(), text("step%3D2/step%3D2.ckpt").as_str()), ("weights 1", "weights 2"));
    assert_eq!(text("step%3D2/aliases.txt"), "['best', 'latest']");
    assert_eq!(text("step%3D2/metadata.yaml"), "original_filename: step=2.ckpt\nmonitor: val_loss\nscore: 0.25\n");
    assert!(text("step%3D2/MLmodel").contains("step=2.ckpt"));
    let models: Value = serde_json::from_str(&run.tags["mlflow.log-model.history"]).unwrap();
    assert_eq!((&models[0]["artifact_path"], &models[1]["artifact_path"]), (&"step=1".into(), &"step=2".into()));
    assert_eq!((run.artifacts.len(), logger.delivery().unwrap().refused), (8, 0));
}

#[test]
fn a_secret_is_sent_and_shown_nowhere() {
    const SECRET: &str = "hush-hush-7";
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    fake.with(|state| state.authorization = Some("Bearer other".to_owned()));
    let address = fake.http.address.replace("http://", &format!("http://me:{SECRET}@"));
    let quick = |logger: MlflowLogger| logger.save_dir(folder.path()).strict(true).patience(Duration::from_millis(300));
    for mut logger in [
        quick(MlflowLogger::new().tracking_uri(&address)),
        quick(MlflowLogger::new().tracking_uri(&fake.http.address).bearer_token(SECRET)),
        quick(MlflowLogger::new().tracking_uri(&fake.http.address).basic_auth("me", Secret::new(SECRET))),
    ] {
        loss(&mut logger, 0..2);
        logger.position().unwrap();
        let error = logger.finalize(Status::Success).unwrap_err();
        assert!(error.to_string().contains("status 401"), "{error}");
        let shown = format!("{error} {error:?} {logger:?} {:?} {}", error.hint(), logger.position().unwrap());
        assert!(!shown.contains(SECRET), "{shown}");
    }
    let seen = fake.http.received().iter().filter_map(|request| request.header("authorization").map(str::to_owned)).collect::<Vec<_>>();
    assert!(seen.contains(&format!("Bearer {SECRET}")) && seen.iter().any(|seen| seen.starts_with("Basic ")));
    let mut files = 0;
    for (_, path) in super::file_store::files_below(folder.path()).unwrap() {
        let bytes = fs_err::read(path).unwrap();
        assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()));
        files += 1;
    }
    assert!(files >= 3);
}
