mod states;

use std::fmt::Write as _;
use std::fs::{OpenOptions, create_dir_all, write};
use std::io::Write as _;
use std::path::Path;
use std::time::SystemTime;

use stormfire_loggers::{CsvLogger, Histogram, Hyperparams, Image, Logger, Metrics, Status, TensorBoardLogger, Text};
use tempfile::tempdir;

use super::*;

const KEEP: Keep = Keep { buckets: 1 << 16, media: MediaLimits { per_tag: 2, bytes: 1 << 20 }, samples_above: 1 << 18, all_messages: true };

fn opened(folder: &Path) -> Run {
    let mut run = Run::open(folder, "run".to_owned(), KEEP);
    run.read_all();
    run
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// The values of a metric, one per step.
fn values(run: &Run, name: &str) -> Vec<(f64, Option<f64>)> {
    run.curve(name).map(|curve| curve.buckets().iter().map(|bucket| (bucket.from, bucket.mean())).collect()).unwrap_or_default()
}

#[test]
fn a_table_is_followed_while_it_is_written() {
    let folder = tempdir().unwrap();
    let table = folder.path().join("metrics.csv");
    write(&table, "step,epoch,lo").unwrap();
    let mut run = opened(folder.path());
    assert!(run.names().is_empty(), "the header is incomplete");
    append(&table, "ss\n0,0,1.5\n1,0,2");
    run.read_all();
    assert_eq!(values(&run, "loss"), [(0.0, Some(1.5))]);
    append(&table, ".5\n2,0,NaN\n3,,");
    run.read_all();
    assert_eq!(values(&run, "loss"), [(0.0, Some(1.5)), (1.0, Some(2.5)), (2.0, None)]);
    assert_eq!(run.curve("loss").unwrap().broken(), 1);
    assert_eq!(run.curve("epoch").unwrap().last(), Some((2.0, 0.0)));
    // Nothing new, and the same again.
    run.read_all();
    assert_eq!(run.curve("loss").unwrap().len(), 3);
}

#[test]
fn the_last_row_may_change() {
    let folder = tempdir().unwrap();
    let mut logger = CsvLogger::new(folder.path()).name("").version("run");
    let path = folder.path().join("run");
    let mut log = |step: u64, values: &[(&str, f64)]| {
        logger.log_metrics(&values.iter().copied().collect::<Metrics>(), Some(step)).unwrap();
        logger.save().unwrap();
    };
    log(0, &[("a", 1.0)]);
    let mut run = opened(&path);
    assert_eq!(values(&run, "a"), [(0.0, Some(1.0))]);
    log(0, &[("a", 2.0)]);
    run.read_all();
    assert_eq!(values(&run, "a"), [(0.0, Some(1.5))], "the mean of both, not both");
    log(0, &[("late", 7.0)]);
    log(1, &[("a", 3.0)]);
    run.read_all();
    assert_eq!((values(&run, "a"), values(&run, "late")), (vec![(0.0, Some(1.5)), (1.0, Some(3.0))], vec![(0.0, Some(7.0))]));
}

#[test]
fn columns_that_appear_later_and_a_finished_table_are_read_without_a_duplicate() {
    let folder = tempdir().unwrap();
    let mut logger = CsvLogger::new(folder.path()).name("").version("run");
    let mut run = Run::open(&folder.path().join("run"), "run".to_owned(), KEEP);
    for step in 0..6000_u64 {
        logger.log_metrics(&[("loss", 0.123_456_789), ("other", 1e-9)].into(), Some(step)).unwrap();
        if step % 60 == 59 {
            logger.log_metrics(&[(format!("late_{}", step / 60), step as f64)].into(), Some(step)).unwrap();
            logger.save().unwrap();
            run.read_all();
            assert_eq!(run.curve("loss").unwrap().len(), step + 1);
            assert_eq!(run.last(&format!("late_{}", step / 60)), Some(step as f64));
        }
    }
    logger.finalize(Status::Success).unwrap();
    run.read_all();
    assert_eq!((run.curve("loss").unwrap().len(), run.names().len()), (6000, 102));
    assert!((0..100).all(|column| run.curve(&format!("late_{column}")).unwrap().len() == 1));
    assert!(run.problems().is_empty(), "{:?}", run.problems());
}

#[test]
fn a_resumed_or_replaced_log_is_read_again() {
    let folder = tempdir().unwrap();
    let table = folder.path().join("metrics.csv");
    write(&table, "step,a\n0,1\n1,2\n2,3\n").unwrap();
    let mut run = opened(folder.path());
    assert_eq!(values(&run, "a").len(), 3);
    // Truncated and continued to a greater length before the next check.
    write(&table, "step,a\n0,1\n1,5\n2,6\n3,7\n4,8\n").unwrap();
    run.read_all();
    assert_eq!(values(&run, "a"), [(0.0, Some(1.0)), (1.0, Some(5.0)), (2.0, Some(6.0)), (3.0, Some(7.0)), (4.0, Some(8.0))]);
    write(&table, "step,b\n0,1\n").unwrap();
    run.read_all();
    assert_eq!(run.names().into_iter().collect::<Vec<_>>(), ["b"]);
    std::fs::remove_file(&table).unwrap();
    run.read_all();
    assert_eq!(run.names().len(), 1, "the last state stays");
}

#[test]
fn lines_of_json_of_other_programs_are_read() {
    let folder = tempdir().unwrap();
    let lines = [
        r#"{"hparams":{"lr":"high"}}"#,
        r#"{"step":3,"loss":0.5,"epoch":1,"tags":["x"],"name":"x","best":null,"on":true}"#,
        r#"{"step":4,"loss":"NaN","up":"Infinity","down":"-Infinity","inner":{"a":{"b":2}}}"#,
        "no json",
        r#"{"_step":5,"metrics":{"loss":0.25,"ü \"x\"":1e300}}"#,
        r#"{"step":6,"loss":0.125}"#,
        r#"{"step":7,"loss":0."#,
    ];
    write(folder.path().join("metrics.jsonl"), lines.join("\n")).unwrap();
    let run = opened(folder.path());
    let names: Vec<_> = run.names().into_iter().map(str::to_owned).collect();
    assert_eq!(names, ["down", "epoch", "inner/a/b", "loss", "up", "ü \"x\""]);
    assert_eq!(values(&run, "loss"), [(3.0, Some(0.5)), (4.0, None), (5.0, Some(0.25)), (6.0, Some(0.125))]);
    assert_eq!(run.problems().len(), 1, "{:?}", run.problems());
}

#[test]
fn names_of_any_kind_are_distinguished() {
    let folder = tempdir().unwrap();
    let long = "ü".repeat(150);
    let names = ["a,b", "say \"x\"", "two\nlines", "val/acc", " a", &long, "<script>"];
    let mut csv = CsvLogger::new(folder.path()).name("").version("run").jsonl(true);
    let mut events = TensorBoardLogger::new(folder.path()).name("").version("events");
    for logger in [&mut csv as &mut dyn Logger, &mut events] {
        for (value, name) in (1_u8..).zip(names) {
            logger.log_metrics(&[(name, f64::from(value))].into(), Some(0)).unwrap();
        }
        logger.log_metrics(&[("next", 0.0)].into(), Some(1)).unwrap();
        logger.finalize(Status::Success).unwrap();
    }
    for version in ["run", "events"] {
        let run = opened(&folder.path().join(version));
        for (value, name) in (1_u8..).zip(names) {
            assert_eq!(values(&run, name), [(0.0, Some(f64::from(value)))], "{name:?} of {version}");
        }
        assert!(run.problems().is_empty(), "{:?}", run.problems());
    }
}

#[test]
fn event_files_are_followed_with_groups_media_and_resumes() {
    let folder = tempdir().unwrap();
    let new = || TensorBoardLogger::new(folder.path()).name("").version("run");
    let mut logger = new();
    let mut params = Hyperparams::new();
    params.insert("lr", 0.5).unwrap();
    logger.log_hyperparams(&params, &Metrics::new()).unwrap();
    for step in 0..5 {
        logger.log_metrics(&[("loss", step as f64)].into(), Some(step)).unwrap();
        logger.log_scalars("val/loss", &[("train", 1.0), ("x_y", 2.0)].into(), Some(step)).unwrap();
        logger.log_text("note", &Text::new(format!("text {step}")), Some(step)).unwrap();
    }
    logger.log_image("digit", &Image::new(1, 1, 1, vec![7]).unwrap(), Some(4)).unwrap();
    logger.log_histogram("weights", &Histogram::from_samples([1.0, 2.0, 2.5]).unwrap(), Some(4)).unwrap();
    let position = logger.position().unwrap();
    logger.log_metrics(&[("loss", 99.0)].into(), Some(5)).unwrap();
    logger.save().unwrap();
    let mut run = opened(&folder.path().join("run"));
    assert_eq!(run.names().into_iter().collect::<Vec<_>>(), ["loss", "val/loss/train", "val/loss/x_y"]);
    assert_eq!(run.last("loss"), Some(99.0));
    assert_eq!(run.state(SystemTime::now()), State::Running);
    let tags: Vec<_> = run.media().map(|(name, tag)| (name, tag.kind.name(), tag.count, tag.kept.len(), tag.last_step)).collect();
    let tag = |name, kind, count, kept| (name, kind, count, kept, 4);
    assert_eq!(tags, [tag("digit", "image", 1, 1), tag("note", "text", 5, 2), tag("weights", "histogram", 1, 1)]);
    drop(logger);
    let mut logger = new();
    logger.resume(position).unwrap();
    logger.log_metrics(&[("loss", 5.0)].into(), Some(5)).unwrap();
    logger.finalize(Status::Interrupted).unwrap();
    run.read_all();
    assert_eq!(values(&run, "loss"), (0..6).map(|step| (f64::from(step), Some(f64::from(step)))).collect::<Vec<_>>());
    assert_eq!((run.state(SystemTime::now()), run.hparams()), (State::Failed, vec![("lr".to_owned(), "0.5".to_owned())]));
    assert_eq!(run.media().count(), 3, "a media tag is not read twice");
    assert!(run.problems().is_empty(), "{:?}", run.problems());
}

#[test]
fn a_damaged_event_file_loses_only_what_is_damaged() {
    let folder = tempdir().unwrap();
    let mut logger = TensorBoardLogger::new(folder.path()).name("").version("run");
    for step in 0..100 {
        logger.log_metrics(&[("loss", step as f64)].into(), Some(step)).unwrap();
    }
    logger.finalize(Status::Success).unwrap();
    let path = logger.path().unwrap().to_owned();
    let whole = std::fs::read(&path).unwrap();
    for damage in [200, 201, 202, 203, 204, 210, 230] {
        let mut bytes = whole.clone();
        bytes[damage] ^= 0x55;
        write(&path, &bytes).unwrap();
        let run = opened(&folder.path().join("run"));
        let left = run.curve("loss").unwrap().len();
        assert!((98..100).contains(&left), "{left} of 100 after damage at {damage}");
        assert_eq!((run.last("loss"), run.problems().len()), (Some(99.0), 1));
    }
    // A file whose end is zeros, as after a power failure.
    let mut bytes = whole.clone();
    bytes.truncate(whole.len() - 40);
    bytes.extend([0; 4096]);
    write(&path, &bytes).unwrap();
    let mut run = opened(&folder.path().join("run"));
    (0..5).for_each(|_| run.read_all());
    let problems = run.problems().join("\n").replace(&path.display().to_string(), "[file]");
    insta::assert_snapshot!(problems, @"`[file]` has 1 damaged rows or records, which are left out");
}

#[test]
fn a_large_log_has_a_preview_of_its_whole_length_and_then_every_extreme() {
    let folder = tempdir().unwrap();
    let rows = 60_000_u32;
    let value = |step: u32| if step == 40_001 { 50.0 } else { f64::from(step % 7) };
    let mut table = String::from("step,epoch,loss\n");
    let mut lines = String::new();
    let mut events = TensorBoardLogger::new(folder.path()).name("").version("events");
    for step in 0..rows {
        writeln!(table, "{step},{},{}", step / 1000, value(step)).unwrap();
        writeln!(lines, "{{\"step\":{step},\"loss\":{}}}", value(step)).unwrap();
        if step % 3 == 0 {
            events.log_metrics(&[("loss", value(step))].into(), Some(step.into())).unwrap();
        }
    }
    events.finalize(Status::Success).unwrap();
    for (name, text) in [("csv/metrics.csv", table), ("json/metrics.jsonl", lines)] {
        let path = folder.path().join(name);
        create_dir_all(path.parent().unwrap()).unwrap();
        write(path, text).unwrap();
    }
    for (name, count, most) in [("csv", rows, 50.0), ("json", rows, 50.0), ("events", rows / 3, 6.0)] {
        let mut run = Run::open(&folder.path().join(name), name.to_owned(), KEEP);
        run.refresh();
        run.poll(1 << 8);
        assert!(run.is_sampled(), "{name}");
        let preview = run.curve("loss").unwrap();
        assert!(preview.len() < u64::from(count) / 4, "{name}");
        assert!(preview.buckets()[0].from == 0.0 && preview.last().unwrap().0 > 0.999 * f64::from(rows), "{name}");
        assert!(preview.buckets().windows(2).all(|pair| pair[1].from - pair[0].to < f64::from(rows) / 4.0), "{name}");
        run.read_all();
        let curve = run.curve("loss").unwrap();
        assert_eq!((run.is_sampled(), curve.len(), curve.max().unwrap().1), (false, u64::from(count), most), "{name}");
        assert!(curve.buckets().len() <= 2048 && run.problems().is_empty(), "{name}: {:?}", run.problems());
    }
}

#[test]
fn runs_are_found_with_their_versions_and_sub_runs() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    for version in [2, 10, 1] {
        let mut logger = CsvLogger::new(root).version(format!("version_{version}"));
        logger.log_metrics(&[("a", 1.0)].into(), Some(0)).unwrap();
        logger.finalize(Status::Success).unwrap();
    }
    let mut nested = TensorBoardLogger::new(root).version("version_1/trial ü");
    nested.log_scalars("losses", &[("train", 1.0)].into(), Some(0)).unwrap();
    nested.log_metrics(&[("b", 1.0)].into(), Some(0)).unwrap();
    nested.finalize(Status::Success).unwrap();
    create_dir_all(root.join("lightning_logs/version_2/checkpoints/metrics.csv")).unwrap();
    create_dir_all(root.join(".stormfire/spool")).unwrap();
    write(root.join(".stormfire/spool/metrics.csv"), "step\n").unwrap();
    let mut runs = Runs::open(&[root.to_owned()], KEEP).unwrap();
    runs.read_all();
    let names: Vec<_> = runs.list().iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names, ["version_1", "version_1/trial ü", "version_2", "version_10"]);
    assert_eq!(runs.list()[1].names().into_iter().collect::<Vec<_>>(), ["b", "losses/train"]);
    // A new run appears.
    create_dir_all(root.join("lightning_logs/version_11")).unwrap();
    write(root.join("lightning_logs/version_11/trainer.yaml"), "seed: 1\n").unwrap();
    runs.refresh();
    assert_eq!((runs.list().len(), runs.list()[4].trainer()), (5, &[("seed".to_owned(), "1".to_owned())][..]));
    let one = Runs::open(&[root.join("lightning_logs/version_2")], KEEP).unwrap();
    assert_eq!(one.list()[0].name, "version_2");
    let file = Runs::open(&[root.join("lightning_logs/version_2/metrics.csv")], KEEP).unwrap();
    assert_eq!(file.list()[0].name, "metrics.csv");
    let error = |path: &str| {
        let error = Runs::open(&[root.join(path)], KEEP).unwrap_err();
        format!("{error}\n{}", error.hint()).replace(&root.display().to_string(), "[root]")
    };
    insta::assert_snapshot!([error("nothing"), error("lightning_logs/version_2/checkpoints"), error("lightning_logs/version_11/trainer.yaml")].join("\n"), @"
    `[root]/nothing` does not exist
    name a folder with runs, such as `lightning_logs`, or start the training first
    `[root]/lightning_logs/version_2/checkpoints` contains no run
    a run has `metrics.csv`, `metrics.jsonl` or event files; name the `default_root_dir` of the Trainer
    `[root]/lightning_logs/version_11/trainer.yaml` is not a log
    name the folder of a run, `metrics.csv`, a `.jsonl` file or an event file
    ");
}

/// A file with the header of a checkpoint.
pub(crate) fn checkpoint(path: &Path, manifest: &serde_json::Value) {
    let header = serde_json::json!({"__metadata__": {"format": "pt", "stormfire": manifest.to_string()}}).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    create_dir_all(path.parent().unwrap()).unwrap();
    write(path, bytes).unwrap();
}

#[test]
fn checkpoints_have_their_scores_also_in_a_moved_folder() {
    let folder = tempdir().unwrap();
    let saved = |step: u64, loss: serde_json::Value, state: serde_json::Value| {
        serde_json::json!({
            "saved_at": format!("2026-01-01T00:00:{step:02}Z"), "device": "cpu", "seed": 7,
            "progress": {"epoch": step / 10, "batches": step, "global_step": step},
            "metrics": {"val/loss, mode: x": loss}, "callbacks": {"ModelCheckpoint{monitor: val/loss, mode: x, mode: min, every: 1 epoch}": state},
        })
    };
    let place = |name: &str| format!("/elsewhere/run/checkpoints/{name}");
    let best = serde_json::json!({
        "monitor": "val/loss, mode: x", "best_model_path": place("val/b.ckpt"),
        "best_k_models": [{"path": place("val/a.ckpt"), "score": 0.5}, {"path": place("val/b.ckpt"), "score": 0.25}],
    });
    let at = |name: &str| folder.path().join("checkpoints").join(name);
    checkpoint(&at("val/a.ckpt"), &saved(10, 0.5.into(), serde_json::json!({})));
    checkpoint(
        &at("val/b.ckpt"),
        &saved(
            20,
            0.25.into(),
            serde_json::json!({"monitor": "val/loss, mode: x", "best_model_path": place("val/a.ckpt"), "best_k_models": []}),
        ),
    );
    checkpoint(&at("last.ckpt"), &saved(30, "NaN".into(), best));
    write(at("torn.ckpt"), "x").unwrap();
    write(folder.path().join("metrics.csv"), "step,a\n0,1\n").unwrap();
    let run = opened(folder.path());
    let list: Vec<_> = run
        .checkpoints()
        .iter()
        .map(|saved| {
            let (metric, score) = saved.score.clone().unwrap();
            (saved.path.display().to_string(), saved.global_step, metric, score.to_string(), saved.is_best)
        })
        .collect();
    let one = |name: &str, step, score: &str, is_best| {
        (format!("checkpoints/{name}"), Some(step), "val/loss, mode: x".to_owned(), score.to_owned(), is_best)
    };
    assert_eq!(list, [one("last.ckpt", 30, "NaN", false), one("val/b.ckpt", 20, "0.25", true), one("val/a.ckpt", 10, "0.5", false)]);
    assert!(run.about().facts.contains(&("device".to_owned(), "cpu".to_owned())));
}

#[test]
fn log_lines_have_levels_and_warnings_are_counted() {
    let folder = tempdir().unwrap();
    write(folder.path().join("metrics.csv"), "step,a\n0,1\n").unwrap();
    let log = folder.path().join("training.log");
    write(&log, "2026-11-22T13:11:57.640212Z  INFO fit: stormfire: starts\n2026-11-22T13:11:58.1Z  WARN my: \u{1b}[31mno digit\n").unwrap();
    let mut run = opened(folder.path());
    append(&log, "2026-11-22T13:12:58.1Z  WARN my: \u{1b}[31mno digit\n2026-11-22T13:12:59Z ERROR half");
    run.read_all();
    let lines: Vec<_> = run.messages().map(|message| (message.level, message.text.as_str())).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[2], (Level::Warn, "2026-11-22T13:12:58.1Z  WARN my: [31mno digit"));
    assert_eq!(run.warnings(), [Warning { level: Level::Warn, text: "my: [31mno digit".to_owned(), count: 2 }]);
}

#[test]
fn settings_and_times_are_read() {
    let folder = tempdir().unwrap();
    write(folder.path().join("hparams.yaml"), "lr: 0.1\nnet:\n  sizes: [1, 2]\n  name: \"yes\"\nnone: null\nrate: .nan\n").unwrap();
    let trace = "[\n{\"ph\":\"M\",\"name\":\"process_name\"},\n{\"ph\":\"X\",\"ts\":0,\"dur\":2000000.5,\"name\":\"step\"},\n\
                 {\"ph\":\"X\",\"ts\":1,\"dur\":500000,\"name\":\"save\"},\n{\"ph\":\"X\",\"ts\":2,\"dur\":1000000,\"name\":\"step\"},\n{\"ph\":\"X";
    write(folder.path().join("fit-trace.json"), trace).unwrap();
    let run = opened(folder.path());
    let hparams = run.hparams();
    let get = |name: &str| hparams.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
    assert_eq!((get("lr"), get("net.sizes"), get("net.name")), (Some("0.1"), Some("[1, 2]"), Some("yes")));
    assert_eq!((get("none"), get("rate")), (Some("null"), Some("NaN")));
    let actions: Vec<_> = run.profile().iter().map(|action| (action.name.clone(), action.calls, (action.seconds * 10.0).round())).collect();
    assert_eq!(actions, [("step".to_owned(), 2, 30.0), ("save".to_owned(), 1, 5.0)]);
}

#[test]
fn options_of_the_program_differ_and_the_newest_count() {
    let folder = tempdir().unwrap();
    let run = |name: &str, config: &str, continued: Option<&str>| {
        let run = folder.path().join(name);
        std::fs::create_dir(&run).unwrap();
        write(run.join("metrics.csv"), "step,a\n0,1\n").unwrap();
        write(run.join("hparams.yaml"), "lr: 0.1\n").unwrap();
        write(run.join("config.yaml"), format!("# program\nmodel:\n  lr: 0.1\ndata:\n  batches: {config}\ntrainer:\n  devices: 1\n"))
            .unwrap();
        if let Some(text) = continued {
            write(run.join("config-2.yaml"), text).unwrap();
        }
        opened(&run)
    };
    let (a, b) = (run("a", "3", None), run("b", "5", Some("data:\n  batches: 7\n")));
    let empty = folder.path().join("c");
    std::fs::create_dir(&empty).unwrap();
    write(empty.join("metrics.csv"), "step,a\n0,1\n").unwrap();
    let settings = crate::compare::settings(&[&a, &b, &opened(&empty)]);
    let told: Vec<_> =
        settings.iter().map(|row| (row.name.as_str(), row.values[0].as_deref(), row.values[1].as_deref(), row.differs)).collect();
    assert_eq!(told, [("data.batches", Some("3"), Some("7"), true), ("lr", Some("0.1"), Some("0.1"), false)]);
}

#[cfg(unix)]
#[test]
fn runs_behind_links_are_found_and_pipes_are_not_read() {
    let (folder, elsewhere) = (tempdir().unwrap(), tempdir().unwrap());
    write(elsewhere.path().join("metrics.csv"), "step,a\n0,1\n").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("version_0")).unwrap();
    let pipe = folder.path().join("version_1");
    std::fs::create_dir(&pipe).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(pipe.join("metrics.csv")).status().unwrap().success());
    assert_eq!(super::find::runs(folder.path()), [folder.path().join("version_0")]);
}

#[test]
fn words_that_python_writes_for_numbers_are_numbers() {
    let folder = tempdir().unwrap();
    let rows = "{\"step\":1,\"loss\":NaN,\"acc\":0.5,\"a \\\" NaN\":1}\n{\"step\":2,\"loss\":-Infinity,\"acc\":Infinity}\n{\"step\":3,\"loss\":Nope}\n{\"step\":4}\n";
    write(folder.path().join("metrics.jsonl"), rows).unwrap();
    let run = opened(folder.path());
    assert!(run.curve("loss").is_some() && run.curve("a \" NaN").is_some());
    let problems = run.problems().join("\n").replace(&folder.path().display().to_string(), "[folder]");
    insta::assert_snapshot!(problems, @"`[folder]/metrics.jsonl` has 1 damaged rows or records, which are left out");
}
