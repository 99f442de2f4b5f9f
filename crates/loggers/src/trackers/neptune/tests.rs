use serde_json::json;

use super::*;
use crate::{Call, MemoryLogger, Node};

fn filled(folder: &Path) -> NeptuneLogger {
    let model = folder.join("epoch=1.ckpt");
    fs_err::write(&model, b"weights").unwrap();
    let mut logger = NeptuneLogger::new(folder).run_name("first").tag("a").tag("b");
    let params = Hyperparams::from_serialize(&json!({"lr": 0.1, "net": {"width": 32, "bias": true, "none": null}})).unwrap();
    logger.log_hyperparams(&params, &Metrics::new()).unwrap();
    logger.log_metrics(&[("loss", f64::from(0.1_f32)), ("bad", f64::NAN)].into(), Some(3)).unwrap();
    logger.log_metrics(&[("loss", 0.05), ("bad", 1.0)].into(), Some(4)).unwrap();
    logger.log_image("img", &Image::new(1, 1, 3, vec![1, 2, 3]).unwrap(), Some(4)).unwrap();
    logger.log_text("note", &Text::new("hi"), Some(5)).unwrap();
    logger.log_audio("tone", &Audio::new(8000, 1, vec![0.0]).unwrap(), Some(6)).unwrap();
    logger.log_figure("plot", &Figure::svg("<svg/>"), None).unwrap();
    logger.log_table("t", &Table::new(["a"]).row([json!(1)]).unwrap(), Some(7)).unwrap();
    logger.log_graph(&Graph::new([Node::new("net", "Linear")])).unwrap();
    logger.log_artifact(&Artifact::new(&model).kind("model").alias("best")).unwrap();
    logger.after_save_checkpoint(&CheckpointInfo::new("x.ckpt").scored("loss", 0.05, true)).unwrap();
    fs_err::remove_file(&model).unwrap();
    logger
}

#[test]
fn a_run_reads_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = filled(folder.path());
    logger.finalize(Status::Interrupted).unwrap();
    let run = NeptuneRun::read(logger.log_dir().unwrap()).unwrap();
    assert_eq!((run.name(), run.tags()), (Some("first"), ["a".to_owned(), "b".to_owned()].as_slice()));
    let loss: Vec<_> = run.metrics()["training/loss"].iter().map(|point| (point.value, point.step)).collect();
    assert_eq!(loss, [(0.1, Some(3.0)), (0.05, Some(4.0))]);
    assert_eq!(run.metrics()["training/bad"].len(), 1);
    let params = run.hyperparams();
    assert_eq!(params.get("lr"), Some(&json!(0.1)));
    assert_eq!(params.get("net"), Some(&json!({"width": 32, "bias": true, "none": "None"})));
    assert_eq!(run.assigned()["training/status"], "interrupted");
    let files: Vec<&str> = run.files().keys().map(String::as_str).collect();
    let expected = ["training/model/checkpoints/epoch=1", "training/model/summary", "training/plot", "training/t/7", "training/tone/6"];
    assert_eq!(files, expected);
    assert_eq!(fs_err::read(&run.files()["training/model/checkpoints/epoch=1"].path).unwrap(), b"weights");
    assert!(run.images()["training/img"][0].value.starts_with(b"\x89PNG"));
    assert_eq!(run.not_understood(), 0);
}

#[test]
fn another_logger_gets_everything_with_the_values_of_one_step_together() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = filled(folder.path());
    logger.finalize(Status::Failed).unwrap();
    let run = NeptuneRun::read(logger.log_dir().unwrap()).unwrap();
    let mut memory = MemoryLogger::new();
    let done = run.replay(&mut memory).unwrap();
    assert_eq!((done.metrics, done.texts, done.images, done.files), (3, 1, 1, 5));
    assert!(done.left_out.is_empty(), "{done}");
    let calls = memory.calls();
    let rows: Vec<_> = calls.iter().filter(|call| matches!(call, Call::Metrics { .. })).cloned().collect();
    let row = |metrics: Metrics, step| Call::Metrics { metrics, step: Some(step) };
    assert_eq!(rows, [row([("loss", 0.1)].into(), 3), row([("bad", 1.0), ("loss", 0.05)].into(), 4)]);
    assert_eq!(calls.last(), Some(&Call::Finalize(Status::Failed)));
}

#[test]
fn a_killed_run_continues_in_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut killed = NeptuneLogger::new(folder.path());
    killed.log_metrics(&[("loss", 1.0)].into(), Some(0)).unwrap();
    let position = killed.position().unwrap();
    killed.log_metrics(&[("loss", 0.5)].into(), Some(1)).unwrap();
    killed.save().unwrap();
    let place = killed.log_dir().unwrap();
    std::mem::forget(killed);
    let data = place.join("data-1.log");
    let mut torn = fs_err::read(&data).unwrap();
    torn.extend(b"{\"obj\": {\"ty");
    fs_err::write(&data, torn).unwrap();
    assert_eq!(NeptuneRun::read(&place).unwrap().metrics()["training/loss"].len(), 2);

    let mut continued = NeptuneLogger::new(folder.path());
    continued.open().unwrap();
    continued.resume(position.clone()).unwrap();
    assert_eq!(continued.log_dir(), Some(place.clone()));
    assert_eq!(fs_err::read_dir(place.parent().unwrap()).unwrap().count(), 1);
    continued.log_metrics(&[("loss", 0.25)].into(), Some(1)).unwrap();
    continued.save().unwrap();
    let values: Vec<f64> = NeptuneRun::read(&place).unwrap().metrics()["training/loss"].iter().map(|point| point.value).collect();
    assert_eq!(values, [1.0, 0.25]);
    assert_eq!(fs_err::read_to_string(place.join("last_put_version")).unwrap(), "3");

    fs_err::remove_dir_all(&place).unwrap();
    let mut elsewhere = NeptuneLogger::new(folder.path());
    elsewhere.resume(position).unwrap();
    assert_ne!(elsewhere.log_dir(), Some(place));
}

#[test]
fn a_resumed_run_leaves_a_model_that_it_logs_again_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.ckpt");
    fs_err::write(&path, b"weights").unwrap();
    let model = Artifact::new(&path).kind("model");
    let mut killed = NeptuneLogger::new(folder.path());
    killed.log_metrics(&[("loss", 1.0)].into(), Some(0)).unwrap();
    let position = killed.position().unwrap();
    killed.log_artifact(&model).unwrap();
    std::mem::forget(killed);

    let mut resumed = NeptuneLogger::new(folder.path());
    resumed.resume(position).unwrap();
    resumed.log_artifact(&model).unwrap();
    resumed.save().unwrap();
    let run = NeptuneRun::read(resumed.log_dir().unwrap()).unwrap();
    let kept = &run.files()["training/model/checkpoints/last"].path;
    assert_eq!((fs_err::read(&path).unwrap(), fs_err::read(kept).unwrap()), (b"weights".to_vec(), b"weights".to_vec()));
}

#[test]
fn foreign_operations_are_read_or_counted() {
    let folder = tempfile::tempdir().unwrap();
    let line = |version: u64, obj: Value| json!({"obj": obj, "version": version, "at": 1.5}).to_string() + "\n";
    let first = line(1, json!({"type": "AssignInt", "path": ["parameters", "n"], "value": 3}))
        + &line(2, json!({"type": "LogFloats", "path": ["loss"], "values": [{"value": 1.0, "step": null, "ts": 2.0}]}))
        + &line(3, json!({"type": "AddStrings", "path": ["sys", "tags"], "values": ["a", "b"]}))
        + &line(4, json!({"type": "RemoveStrings", "path": ["sys", "tags"], "values": ["a"]}));
    let second = line(5, json!({"type": "TrackFilesToArtifact", "path": ["data"], "project_id": "x", "entries": []}))
        + &line(6, json!({"type": "AssignString", "path": ["note"], "value": "gone"}))
        + &line(7, json!({"type": "DeleteAttribute", "path": ["note"]}))
        + &line(8, json!({"type": "LogFloats", "path": ["loss"], "values": [{"value": 2.0, "step": null, "ts": 3.0}]}));
    fs_err::write(folder.path().join("data-1.log"), first).unwrap();
    fs_err::write(folder.path().join("data-5.log"), second).unwrap();
    let run = NeptuneRun::read(folder.path()).unwrap();
    assert_eq!((run.hyperparams().get("n"), run.assigned().len(), run.not_understood()), (Some(&json!(3)), 1, 1));
    assert_eq!(run.tags(), ["b"]);
    let mut memory = MemoryLogger::new();
    let done = run.replay(&mut memory).unwrap();
    assert_eq!(done.left_out, ["1 operations of an unsupported kind"]);
    assert!(memory.calls().contains(&Call::Metrics { metrics: [("loss", 2.0)].into(), step: Some(1) }));

    let outer = tempfile::tempdir().unwrap();
    assert_eq!(NeptuneRun::find(folder.path()).unwrap(), [folder.path()]);
    let error = NeptuneRun::find(outer.path()).unwrap_err().to_string();
    insta::assert_snapshot!(error.replace(&outer.path().display().to_string(), "[folder]"), @"`[folder]` contains no Neptune run: it has no `data-*.log`");
    let inner = outer.path().join(".neptune/offline/run__1");
    fs_err::create_dir_all(&inner).unwrap();
    fs_err::copy(folder.path().join("data-1.log"), inner.join("data-1.log")).unwrap();
    for place in [outer.path().to_owned(), outer.path().join(".neptune"), outer.path().join(".neptune/offline")] {
        assert_eq!(NeptuneRun::find(&place).unwrap(), std::slice::from_ref(&inner), "{}", place.display());
    }

    let missing = NeptuneRun::read(folder.path().join("nothing")).unwrap_err();
    fs_err::write(folder.path().join("data-9.log"), "no JSON\n").unwrap();
    let damaged = NeptuneRun::read(folder.path()).unwrap_err();
    let errors = format!("{missing}\n{damaged}").replace(&folder.path().display().to_string(), "[folder]");
    insta::assert_snapshot!(errors, @r"
    failed to read directory `[folder]/nothing`: No such file or directory (os error 2)
    a line of `[folder]/data-9.log` is not a Neptune operation: expected ident at line 1 column 2
    ");
}
