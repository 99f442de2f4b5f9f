use serde_json::{Value, json};

use super::super::WandbLogger;
use super::server::Wandb;
use super::{KEY, logger};
use crate::ConsoleStream;
use crate::{Artifact, CheckpointInfo, Hyperparams, Image, LogModel, Logger, Metrics, Status, Table};

fn online(folder: &std::path::Path, wandb: &Wandb) -> WandbLogger {
    logger(folder).base_url(&wandb.server.address).api_key(KEY).strict(true)
}

#[test]
fn a_run_arrives_whole() {
    let (folder, wandb) = (tempfile::tempdir().unwrap(), Wandb::start());
    let mut logger = online(folder.path(), &wandb).group("g").tag("t").run_name("name");
    let mut params = Hyperparams::new();
    params.insert("lr", 0.1).unwrap();
    logger.log_hyperparams(&params, &Metrics::new()).unwrap();
    logger.log_metrics(&[("loss", 0.5), ("nan", f64::NAN)].into(), Some(10)).unwrap();
    logger.save().unwrap();
    logger.log_image("image", &Image::new(1, 1, 1, vec![0]).unwrap(), Some(10)).unwrap();
    logger.log_table("table", &Table::new(["a"]).row([1.into()]).unwrap(), Some(10)).unwrap();
    logger.log_metrics(&[("loss", 0.25)].into(), Some(20)).unwrap();
    logger.log_summary("best", 0.25).unwrap();
    logger.log_console(ConsoleStream::Stdout, "out").unwrap();
    logger.log_console(ConsoleStream::Stderr, "err").unwrap();
    logger.log_system(&[("cpu", 50.0)].into()).unwrap();
    let model = folder.path().join("model.ckpt");
    fs_err::write(&model, "weights").unwrap();
    logger.log_artifact(&Artifact::new(&model).kind("model").alias("best").metadata("score", 0.5)).unwrap();
    logger.log_file(&model, "saved/model.ckpt").unwrap();
    logger.finalize(Status::Failed).unwrap();
    assert_eq!(logger.delivery().map(|delivery| (delivery.spooled, delivery.refused)), Some((0, 0)));

    assert_eq!(wandb.column("loss"), [0.5, 0.25]);
    assert_eq!(wandb.column("trainer/global_step"), [10.0, 20.0]);
    let kept = wandb.kept();
    assert!(kept.lines["wandb-history.jsonl"][&0].contains(r#""nan":NaN,"#));
    let summary: Value = serde_json::from_str(&kept.lines["wandb-summary.json"][&0].replace("NaN", "null")).unwrap();
    assert_eq!((&summary["best"], &summary["loss"], &summary["_step"]), (&json!(0.25), &json!(0.25), &json!(1)));
    assert_eq!(kept.files["/wandb-summary.json?signature=x"], kept.lines["wandb-summary.json"][&0].as_bytes());
    let output: Vec<&str> = kept.lines["output.log"].values().map(|line| line.split_once(' ').unwrap().0).collect();
    assert!(!output[0].starts_with("ERROR") && output[1] == "ERROR", "{output:?}");
    let event: Value = serde_json::from_str(&kept.lines["wandb-events.jsonl"][&0]).unwrap();
    assert_eq!((&event["system.cpu"], &event["_wandb"]), (&json!(50), &json!(true)));
    assert_eq!((kept.exit, kept.files["/saved/model.ckpt?signature=x"].as_slice()), (Some(1), b"weights".as_slice()));
    let image = kept.files.iter().find(|(name, _)| name.contains("media/images/image_0_")).unwrap().1;
    assert!(image.starts_with(b"\x89PNG"));
    let manifest: Value = serde_json::from_slice(&kept.files["/wandb_manifest.json?signature=x"]).unwrap();
    assert_eq!(manifest["contents"]["model.ckpt"]["size"], 7);

    let names: Vec<&str> = kept.operations.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..3], ["RunResumeStatus", "UpsertBucket", "UpsertBucket"]);
    let config: Value = serde_json::from_str(kept.operations[2].1["config"].as_str().unwrap()).unwrap();
    assert_eq!(config["lr"]["value"], 0.1);
    assert_eq!(config["_wandb"]["value"]["m"][0]["1"], "trainer/global_step");
    let first = &kept.operations[1].1;
    assert_eq!((&first["groupName"], &first["displayName"], &first["tags"]), (&json!("g"), &json!("name"), &json!(["t"])));
    let artifact = kept.operations.iter().filter(|(name, _)| name == "CreateArtifact").nth(1).unwrap();
    assert_eq!(artifact.1["input"]["metadata"], r#"{"score":0.5}"#);
    assert!(folder.path().join("model.ckpt").exists());
}

#[test]
fn a_killed_run_overwrites_what_it_had_sent_after_its_checkpoint() {
    let (folder, wandb) = (tempfile::tempdir().unwrap(), Wandb::start());
    let mut killed = online(folder.path(), &wandb);
    for step in 0..5 {
        killed.log_metrics(&[("loss", step as f64)].into(), Some(step)).unwrap();
    }
    let position = killed.position().unwrap();
    for step in 5..9 {
        killed.log_metrics(&[("loss", -1.0)].into(), Some(step)).unwrap();
    }
    killed.save().unwrap();
    while wandb.kept().lines.get("wandb-history.jsonl").is_none_or(|lines| lines.len() < 8) {
        std::thread::yield_now();
    }
    // A kill leaves the spool unchanged.
    std::mem::forget(killed);

    let mut continued = online(folder.path(), &wandb);
    continued.resume(position).unwrap();
    for step in 5..12 {
        continued.log_metrics(&[("loss", step as f64)].into(), Some(step)).unwrap();
    }
    continued.finalize(Status::Success).unwrap();
    assert_eq!(wandb.column("loss"), (0..12).map(f64::from).collect::<Vec<_>>());
    assert_eq!(wandb.column("_step"), (0..12).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn a_position_finds_its_place_without_the_spool() {
    let (folder, wandb) = (tempfile::tempdir().unwrap(), Wandb::start());
    wandb.kept().bucket = json!({"historyLineCount": 3, "historyTail": r#"["{\"_step\":6}"]"#, "summaryMetrics": r#"{"old":1}"#});
    wandb.kept().lines.insert("wandb-history.jsonl".to_owned(), (0..3).map(|line| (line, r#"{"loss":0}"#.to_owned())).collect());
    let mut killed = online(folder.path(), &wandb);
    killed.log_metrics(&[("loss", 1.0)].into(), Some(1)).unwrap();
    killed.log_metrics(&[("loss", 2.0)].into(), Some(2)).unwrap();
    killed.save().unwrap();
    while wandb.kept().lines["wandb-history.jsonl"].len() < 4 {
        std::thread::yield_now();
    }
    // The answer arrives a moment after the server has the line.
    let spool = folder.path().join(".stormfire/wandb/run1");
    while !fs_err::read_to_string(spool.join("remote.json")).is_ok_and(|text| text.contains(r#""history":4"#)) {
        std::thread::yield_now();
    }
    let position = killed.position().unwrap();
    std::mem::forget(killed);
    let elsewhere = tempfile::tempdir().unwrap();
    let mut continued = online(elsewhere.path(), &wandb);
    continued.resume(position).unwrap();
    continued.log_metrics(&[("loss", 3.0)].into(), Some(3)).unwrap();
    continued.finalize(Status::Success).unwrap();
    assert_eq!(wandb.column("loss"), [0.0, 0.0, 0.0, 1.0, 2.0, 3.0]);
    assert_eq!(wandb.column("_step"), [7.0, 8.0, 9.0]);
    assert!(wandb.kept().lines["wandb-summary.json"][&0].contains(r#""old":1"#));
}

#[test]
fn a_run_that_continues_after_its_end_is_started_again() {
    let (folder, wandb) = (tempfile::tempdir().unwrap(), Wandb::start());
    let mut logger = online(folder.path(), &wandb);
    logger.log_metrics(&[("fit", 1.0)].into(), Some(1)).unwrap();
    logger.finalize(Status::Success).unwrap();
    logger.finalize(Status::Success).unwrap();
    logger.log_metrics(&[("test", 2.0)].into(), Some(1)).unwrap();
    logger.finalize(Status::Interrupted).unwrap();
    assert_eq!((wandb.column("test"), wandb.kept().exit), (vec![2.0], Some(255)));
    let upserts = wandb.kept().operations.iter().filter(|(name, _)| name == "UpsertBucket").count();
    assert_eq!(upserts, 2);
}

#[test]
fn a_kill_does_not_take_the_open_row() {
    let (folder, wandb) = (tempfile::tempdir().unwrap(), Wandb::start());
    let mut killed = online(folder.path(), &wandb);
    for (step, loss) in [(1, 1.0), (2, 2.0), (2, 4.0)] {
        killed.log_metrics(&[("loss", loss)].into(), Some(step)).unwrap();
        killed.save().unwrap();
    }
    std::mem::forget(killed);
    // Without a checkpoint, the run continues after its existing lines.
    let mut next = online(folder.path(), &wandb);
    next.log_metrics(&[("loss", 5.0)].into(), Some(3)).unwrap();
    next.finalize(Status::Success).unwrap();
    assert_eq!((wandb.column("loss"), wandb.column("_step")), (vec![1.0, 3.0, 5.0], vec![0.0, 1.0, 2.0]));
}

#[test]
fn a_checkpoint_that_is_removed_before_it_is_sent_still_arrives() {
    let (folder, wandb) = (tempfile::tempdir().unwrap(), Wandb::start());
    wandb.server.down();
    let mut logger = online(folder.path(), &wandb).log_model(LogModel::All);
    let path = folder.path().join("epoch=1.ckpt");
    fs_err::write(&path, "weights").unwrap();
    logger.after_save_checkpoint(&CheckpointInfo::new(&path).scored("val_loss", 0.5, true)).unwrap();
    logger.save().unwrap();
    fs_err::remove_file(&path).unwrap();
    wandb.server.up();
    logger.finalize(Status::Success).unwrap();
    let kept = wandb.kept();
    assert_eq!(kept.files["/model.ckpt?signature=x"], b"weights");
    let created = &kept.operations.iter().find(|(name, _)| name == "CreateArtifact").unwrap().1["input"];
    assert_eq!((&created["artifactCollectionName"], &created["artifactTypeName"]), (&json!("model-run1"), &json!("model")));
}
