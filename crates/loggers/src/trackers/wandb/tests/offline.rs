use std::path::Path;

use prost::Message;
use serde_json::{Value, json};

use super::super::proto::{Kind, Record};
use super::super::{WandbLogger, frame};
use super::logger;
use crate::ConsoleStream;
use crate::{
    Artifact, Audio, CheckpointInfo, Figure, Graph, Histogram, Hyperparams, Image, LogModel, Logger, Metrics, Node, Reduce, Status, Table,
    Text,
};

fn records(folder: &Path) -> Vec<Kind> {
    let file = fs_err::read(folder.join("wandb/latest-run/run-run1.wandb")).unwrap();
    let records: Vec<Record> = frame::tests::read(&file).iter().map(|bytes| Record::decode(bytes.as_slice()).unwrap()).collect();
    let numbers: Vec<i64> = records.iter().map(|record| record.num).collect();
    assert_eq!(numbers, (1..).take(numbers.len()).collect::<Vec<i64>>());
    records.into_iter().filter_map(|record| record.kind).collect()
}

/// The rows without their times.
fn rows(folder: &Path) -> Vec<Value> {
    let row = |kind: Kind| {
        let Kind::History(history) = kind else { return None };
        let mut row = serde_json::Map::new();
        for item in history.item {
            if !matches!(item.nested_key[0].as_str(), "_timestamp" | "_runtime") {
                row.insert(item.nested_key.concat(), serde_json::from_str(&item.value_json).unwrap_or(Value::Null));
            }
        }
        assert_eq!(row["_step"], history.step.unwrap().num);
        Some(row.into())
    };
    records(folder).into_iter().filter_map(row).collect()
}

fn summary(folder: &Path, name: &str) -> Option<String> {
    let mut summaries = records(folder).into_iter().filter_map(|kind| if let Kind::Summary(summary) = kind { Some(summary) } else { None });
    let last = summaries.next_back()?;
    Some(last.update.into_iter().find(|item| item.nested_key == [name])?.value_json)
}

fn exits(folder: &Path) -> Vec<i32> {
    records(folder).into_iter().filter_map(|kind| if let Kind::Exit(exit) = kind { Some(exit.exit_code) } else { None }).collect()
}

fn offline(folder: &Path) -> WandbLogger {
    logger(folder).offline(true)
}

#[test]
fn a_step_is_one_row_however_often_it_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = offline(folder.path()).aggregate("n", Reduce::Sum).prefix("p");
    logger.log_metrics(&[("loss", 0.5), ("n", 1.0)].into(), Some(7)).unwrap();
    for _ in 0..3 {
        logger.save().unwrap();
        assert_eq!(rows(folder.path()).len(), 1);
    }
    logger.log_metrics(&[("loss", 1.0), ("n", 2.0), ("nan", f64::NAN)].into(), Some(7)).unwrap();
    logger.save().unwrap();
    assert_eq!(rows(folder.path()), [json!({"_step": 0, "p-loss": 0.75, "p-n": 3, "p-nan": null, "trainer/global_step": 7})]);
    logger.log_metrics(&[("loss", 2.0)].into(), None).unwrap();
    logger.log_metrics(&[("loss", 3.0)].into(), None).unwrap();
    logger.finalize(Status::Interrupted).unwrap();
    assert_eq!(rows(folder.path())[1..], [json!({"_step": 1, "p-loss": 2}), json!({"_step": 2, "p-loss": 3})]);
    assert_eq!((summary(folder.path(), "p-nan").as_deref(), summary(folder.path(), "p-loss").as_deref()), (Some("NaN"), Some("3")));
    assert_eq!(exits(folder.path()), [255]);
    // A test after the fit.
    logger.log_metrics(&[("test", 1.0)].into(), Some(8)).unwrap();
    logger.finalize(Status::Success).unwrap();
    assert_eq!((rows(folder.path()).len(), exits(folder.path()).as_slice()), (4, [0].as_slice()));
}

#[test]
fn a_run_says_who_it_is_and_how_its_metrics_are_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = offline(folder.path()).entity("me").group("g").job_type("train").run_name("name").notes("n").tag("a").tag("b");
    let mut params = Hyperparams::new();
    params.insert("net", json!({"width": 32})).unwrap();
    logger.log_hyperparams(&params, &Metrics::new()).unwrap();
    logger.log_hyperparams(&params, &Metrics::new()).unwrap();
    params.insert("lr", 0.1).unwrap();
    logger.log_hyperparams(&params, &Metrics::new()).unwrap();
    logger.log_summary("best", "yes").unwrap();
    logger.log_console(ConsoleStream::Stderr, "two\nlines").unwrap();
    logger.log_system(&[("cpu", 12.5)].into()).unwrap();
    logger.save().unwrap();
    let kinds = records(folder.path());
    let Some(Kind::Run(run)) = kinds.get(1) else { panic!("{kinds:?}") };
    let texts = [&run.run_id, &run.entity, &run.project, &run.run_group, &run.job_type, &run.display_name, &run.notes];
    assert_eq!(texts, ["run1", "me", "a project", "g", "train", "name", "n"]);
    assert_eq!(run.tags, ["a", "b"]);
    let metrics = kinds.iter().filter_map(|kind| if let Kind::Metric(metric) = kind { Some(metric) } else { None });
    let drawn: Vec<_> = metrics.map(|metric| (metric.name.as_str(), metric.glob_name.as_str(), metric.step_metric.as_str())).collect();
    assert_eq!(drawn, [("trainer/global_step", "", ""), ("", "*", "trainer/global_step")]);
    let configs: Vec<_> = kinds.iter().filter_map(|kind| if let Kind::Config(config) = kind { Some(config) } else { None }).collect();
    assert_eq!(configs.len(), 2);
    let last: Vec<_> = configs[1].update.iter().map(|item| (item.key.as_str(), item.value_json.as_str())).collect();
    assert_eq!(last, [("net", r#"{"width":32}"#), ("lr", "0.1")]);
    let lines = kinds
        .iter()
        .filter_map(|kind| if let Kind::Console(console) = kind { Some((console.stream, console.line.as_str())) } else { None });
    assert_eq!(lines.collect::<Vec<_>>(), [(0, "two\n"), (0, "lines\n")]);
    assert!(
        kinds.iter().any(|kind| matches!(kind, Kind::Stats(stats) if stats.item[0].key == "cpu" && stats.item[0].value_json == "12.5"))
    );
    assert_eq!(summary(folder.path(), "best").as_deref(), Some("\"yes\""));
}

#[test]
fn every_medium_is_a_file_that_its_row_names() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = offline(folder.path());
    logger.log_image("val/image", &Image::new(2, 1, 1, vec![0, 255]).unwrap(), Some(1)).unwrap();
    logger.log_text("text", &Text::new("a < b"), Some(1)).unwrap();
    logger.log_audio("sound", &Audio::new(8000, 1, vec![0.5; 8]).unwrap(), Some(1)).unwrap();
    logger.log_figure("figure", &Figure::svg("<svg/>"), Some(1)).unwrap();
    logger.log_table("table", &Table::new(["a"]).row([1.into()]).unwrap(), Some(1)).unwrap();
    logger.log_histogram("histogram", &Histogram::from_samples([1.0, 2.0]).unwrap(), Some(1)).unwrap();
    logger.log_metrics(&[("loss", 1.0)].into(), Some(1)).unwrap();
    logger.log_graph(&Graph::new([Node::new("a", "Linear"), Node::new("b", "Relu").input("a")])).unwrap();
    let report = folder.path().join("report.txt");
    fs_err::write(&report, "abc").unwrap();
    logger.log_file(&report, "reports/report.txt").unwrap();
    logger.log_artifact(&Artifact::new(&report).alias("final").metadata("pages", 1)).unwrap();
    logger.finalize(Status::Success).unwrap();
    // The run has copies.
    fs_err::remove_file(&report).unwrap();

    let run = logger.log_dir().unwrap();
    let (rows, kinds) = (rows(folder.path()), records(folder.path()));
    assert_eq!(rows.len(), 2, "{rows:?}");
    let kind = |row: usize, name: &str| rows[row][name]["_type"].as_str().unwrap_or_default().to_owned();
    let expected = ["image-file", "html-file", "audio-file", "html-file", "table-file", "histogram"];
    assert_eq!(["val/image", "text", "sound", "figure", "table", "histogram"].map(|name| kind(0, name)), expected);
    assert_eq!((kind(1, "graph"), rows[0]["loss"].as_f64()), ("graph-file".to_owned(), Some(1.0)));
    let named: Vec<String> =
        kinds.iter().filter_map(|kind| if let Kind::Files(files) = kind { Some(files.files[0].path.clone()) } else { None }).collect();
    for value in rows.iter().flat_map(|row| row.as_object().unwrap().values()) {
        if let Some(path) = value["path"].as_str() {
            assert!(named.iter().any(|name| name == path), "{path} in {named:?}");
            assert_eq!(fs_err::metadata(run.join("files").join(path)).unwrap().len(), value["size"].as_u64().unwrap());
        }
    }
    assert_eq!(fs_err::read_to_string(run.join("files/reports/report.txt")).unwrap(), "abc");
    let artifacts: Vec<_> =
        kinds.iter().filter_map(|kind| if let Kind::Artifact(artifact) = kind { Some(artifact) } else { None }).collect();
    assert_eq!(artifacts.iter().map(|artifact| artifact.name.as_str()).collect::<Vec<_>>(), ["run-run1-table", "report.txt"]);
    let path = rows[0]["table"]["artifact_path"].as_str().unwrap();
    assert_eq!(path, format!("wandb-client-artifact://{}/table.table.json", artifacts[0].client_id));
    for artifact in artifacts {
        let content = &artifact.manifest.as_ref().unwrap().contents[0];
        assert_eq!(fs_err::metadata(&content.local_path).unwrap().len().cast_signed(), content.size);
    }
}

#[test]
fn checkpoints_are_versions_of_one_artifact() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = offline(folder.path()).log_model(LogModel::AtEnd);
    for (name, is_best) in [("a.ckpt", true), ("b.ckpt", false)] {
        let path = folder.path().join(name);
        fs_err::write(&path, name).unwrap();
        logger.after_save_checkpoint(&CheckpointInfo::new(&path).scored("val_loss", 0.5, is_best)).unwrap();
    }
    logger.finalize(Status::Success).unwrap();
    logger.finalize(Status::Success).unwrap();
    let models =
        records(folder.path()).into_iter().filter_map(|kind| if let Kind::Artifact(artifact) = kind { Some(artifact) } else { None });
    let seen: Vec<_> = models
        .map(|model| {
            let content = &model.manifest.unwrap().contents[0];
            let text = fs_err::read_to_string(&content.local_path).unwrap();
            (model.name, model.aliases.join(" "), content.path.clone(), text)
        })
        .collect();
    let text = |text: &str| text.to_owned();
    let name = || (text("model-run1"), text("model.ckpt"));
    let expected =
        [("latest best", "a.ckpt"), ("latest", "b.ckpt")].map(|(aliases, content)| (name().0, text(aliases), name().1, text(content)));
    assert_eq!(seen, expected);
}

/// Rows that are long enough for records to cross blocks.
fn train(logger: &mut WandbLogger, steps: std::ops::Range<u64>) {
    for step in steps {
        let many: Metrics = (0..300).map(|name| (format!("metric/{name}"), step as f64 / 3.0)).collect();
        logger.log_metrics(&many, Some(step)).unwrap();
        logger.save().unwrap();
        logger.log_metrics(&[("loss", step as f64)].into(), Some(step)).unwrap();
    }
}

#[test]
fn a_killed_run_continues_in_its_file_as_if_uninterrupted() {
    let straight = tempfile::tempdir().unwrap();
    let mut logger = offline(straight.path());
    train(&mut logger, 0..30);
    logger.finalize(Status::Success).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let mut killed = offline(folder.path());
    train(&mut killed, 0..11);
    // In the middle of step 11.
    killed.log_metrics(&[("loss", 1.0)].into(), Some(11)).unwrap();
    let position = killed.position().unwrap();
    train(&mut killed, 11..20);
    killed.save().unwrap();
    drop(killed);
    let run = folder.path().join("wandb/latest-run");
    fs_err::write(run.join("run-run1.wandb.synced"), "").unwrap();

    let text = position.to_string();
    let mut continued = offline(folder.path());
    continued.open().unwrap();
    continued.resume(serde_json::from_str(&text).unwrap()).unwrap();
    assert!(!run.join("run-run1.wandb.synced").exists());
    let more: Metrics = (0..300).map(|name| (format!("metric/{name}"), 11.0 / 3.0)).collect();
    continued.log_metrics(&more, Some(11)).unwrap();
    continued.log_metrics(&[("loss", 21.0)].into(), Some(11)).unwrap();
    train(&mut continued, 12..30);
    continued.finalize(Status::Success).unwrap();
    assert_eq!(rows(folder.path()), rows(straight.path()));
    assert_eq!(records(folder.path()).len(), records(straight.path()).len());
    assert_eq!(fs_err::read_dir(folder.path().join("wandb")).unwrap().count(), 2, "one run and the link to it");
}

#[test]
fn a_position_of_a_lost_or_another_run_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = offline(folder.path());
    first.log_metrics(&[("loss", 1.0)].into(), Some(1)).unwrap();
    let position = first.position().unwrap();
    drop(first);
    offline(folder.path()).id("other").resume(position.clone()).unwrap();
    fs_err::remove_dir_all(folder.path().join("wandb")).unwrap();
    let mut lost = offline(folder.path());
    lost.resume(position).unwrap();
    lost.log_metrics(&[("loss", 2.0)].into(), Some(2)).unwrap();
    lost.finalize(Status::Success).unwrap();
    assert_eq!(rows(folder.path()).iter().map(|row| row["loss"].as_f64()).collect::<Vec<_>>(), [Some(1.0), Some(2.0)]);
}

#[test]
fn a_disabled_logger_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let settings = super::Settings::from_env(|name| (name == "WANDB_MODE").then(|| "disabled".to_owned()));
    let mut logger = WandbLogger::from_settings(settings).save_dir(folder.path());
    logger.open().unwrap();
    logger.log_metrics(&[("loss", 1.0)].into(), Some(1)).unwrap();
    logger.log_table("table", &Table::new(["a"]), Some(1)).unwrap();
    logger.log_artifact(&Artifact::new("nowhere")).unwrap();
    logger.finalize(Status::Success).unwrap();
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0);
}
