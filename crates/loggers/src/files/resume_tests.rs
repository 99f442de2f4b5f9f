//! A run that is killed and resumed any number of times leaves the same files as an uninterrupted one.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use prost::Message;

use crate::files::tensorboard::event::{Event, What};
use crate::files::tensorboard::record;
use crate::{CsvLogger, Hyperparams, Logger, Metrics, RunDir, Status, TensorBoardLogger, Value};

#[derive(Debug, Clone)]
enum Call {
    Metrics(Metrics, Option<u64>),
    Group(Metrics, Option<u64>),
    Hyperparams(Hyperparams, Metrics),
    Save,
}

impl Call {
    fn run(&self, logger: &mut dyn Logger) {
        match self {
            Self::Metrics(metrics, step) => logger.log_metrics(metrics, *step),
            Self::Group(metrics, step) => logger.log_scalars("group", metrics, *step),
            Self::Hyperparams(params, metrics) => logger.log_hyperparams(params, metrics),
            Self::Save => logger.save(),
        }
        .unwrap();
    }
}

/// One process of a run.
#[derive(Debug, Clone)]
struct Life {
    /// Number of calls before the position. `after` is the number after it.
    before: usize,
    after: usize,
    /// Without a position, the next process goes back to an older one.
    takes_position: bool,
    /// Whether the contents of its memory reach the file.
    saves: bool,
    /// The incomplete last record that the kill left.
    torn: &'static str,
    opens_first: bool,
}

const VALUES: [f64; 7] = [0.1, 0.1_f32 as f64, f64::NAN, f64::NEG_INFINITY, -1e-9, 1e300, 2.0 / 3.0];

fn metrics() -> impl Strategy<Value = Metrics> {
    let metric = (prop_oneof![Just("epoch".to_owned()), (0..6).prop_map(|name| format!("m{name}")), "[a-z],\"x\""], 0..VALUES.len());
    prop::collection::vec(metric, 1..4).prop_map(|metrics| metrics.into_iter().map(|(name, value)| (name, VALUES[value])).collect())
}

/// Calls with mostly increasing steps.
fn calls() -> impl Strategy<Value = Vec<Call>> {
    let hyperparams = |number: usize| {
        let mut params = Hyperparams::new();
        params.insert(format!("p{number}"), (number as f64 + 1.0) / 10.0).unwrap();
        Call::Hyperparams(params, if number == 0 { [("m0", f64::NAN)].into() } else { Metrics::new() })
    };
    let call = prop_oneof![
        8 => (metrics(), 0..3_u64).prop_map(|(metrics, ahead)| Call::Metrics(metrics, Some(ahead))),
        2 => (metrics(), 0..3_u64).prop_map(|(metrics, ahead)| Call::Group(metrics, Some(ahead))),
        1 => metrics().prop_map(|metrics| Call::Metrics(metrics, None)),
        1 => (0..3_usize).prop_map(hyperparams),
        2 => Just(Call::Save),
    ];
    prop::collection::vec(call, 1..40).prop_map(|mut calls| {
        let mut now = 0;
        for call in &mut calls {
            if let Call::Metrics(_, Some(step)) | Call::Group(_, Some(step)) = call {
                now += *step;
                *step = now;
            }
        }
        calls
    })
}

fn lives() -> impl Strategy<Value = Vec<Life>> {
    let torn = prop_oneof![Just(""), Just("7"), Just("7,0.123"), Just("\x09\0\0\0\0\0\0\0half")];
    let life = (0..12_usize, 0..12_usize, any::<bool>(), any::<bool>(), torn, any::<bool>());
    let life = life.prop_map(|(before, after, takes_position, saves, torn, opens_first)| Life {
        before,
        after,
        takes_position,
        saves,
        torn,
        opens_first,
    });
    prop::collection::vec(life, 1..5)
}

fn run(logger: &mut dyn Logger, calls: &[Call]) {
    for call in calls {
        call.run(logger);
    }
}

type New = fn(RunDir) -> Box<dyn Logger>;

fn uninterrupted(folder: &Path, new: New, calls: &[Call]) {
    let mut logger = new(RunDir::new(folder).with_name("").with_version("run"));
    logger.open().unwrap();
    run(&mut *logger, calls);
    logger.finalize(Status::Success).unwrap();
}

/// The newest position, as the string in a checkpoint, and the number of calls before it.
type Kept = Option<(usize, String)>;

fn begin(folder: &Path, new: New, kept: &Kept, opens_first: bool) -> Box<dyn Logger> {
    let dir = RunDir::new(folder).with_name("");
    let mut logger = new(if kept.is_some() { dir.resume("run").unwrap() } else { dir.with_version("run") });
    if opens_first {
        logger.open().unwrap();
    }
    if let Some((_, position)) = kept {
        logger.resume(serde_json::from_str(position).unwrap()).unwrap();
    }
    logger
}

fn broken(folder: &Path, new: New, calls: &[Call], lives: &[Life]) {
    let mut kept: Kept = None;
    for life in lives {
        let mut logger = begin(folder, new, &kept, life.opens_first);
        let start = kept.as_ref().map_or(0, |(start, _)| *start);
        let middle = calls.len().min(start + life.before);
        run(&mut *logger, &calls[start..middle]);
        if life.takes_position || kept.is_none() {
            kept = Some((middle, logger.position().unwrap().to_string()));
        }
        let end = calls.len().min(middle + life.after);
        run(&mut *logger, &calls[middle..end]);
        if life.saves {
            drop(logger);
        } else {
            std::mem::forget(logger);
        }
        let logs: Vec<_> = files(folder).into_iter().filter(|file| file.extension().is_none_or(|kind| kind != "yaml")).collect();
        let is_newest = |number: usize| logs.get(number + 1).is_none_or(|next| next.parent() != logs[number].parent());
        for (_, file) in logs.iter().enumerate().filter(|(number, file)| is_newest(*number) || file.ends_with("metrics.csv")) {
            let mut file = std::fs::OpenOptions::new().append(true).open(file).unwrap();
            std::io::Write::write_all(&mut file, life.torn.as_bytes()).unwrap();
        }
    }
    let mut logger = begin(folder, new, &kept, false);
    let start = kept.map_or(0, |(start, _)| start);
    run(&mut *logger, &calls[start..]);
    logger.finalize(Status::Success).unwrap();
}

/// The files of the run and of its groups, sorted by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| {
        let mut entries: Vec<_> = fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries
    };
    let (folders, mut files): (Vec<_>, Vec<_>) = entries(&folder.join("run")).into_iter().partition(|path| path.is_dir());
    files.extend(folders.iter().flat_map(|folder| entries(folder)));
    files
}

fn text(folder: &Path, file: &str) -> Option<String> {
    fs_err::read_to_string(folder.join("run").join(file)).ok()
}

/// The events as TensorBoard's reader finds them, without those that depend on the time or the number of processes.
fn events(folder: &Path) -> Vec<Event> {
    let mut events = Vec::new();
    for file in files(folder).iter().filter(|file| file.to_string_lossy().contains("tfevents")) {
        let read = record::tests::read(&fs_err::read(file).unwrap()).map_err(<[u8]>::len).unwrap();
        events.extend(read.iter().map(|data| Event::decode(&data[..]).unwrap()));
    }
    events.retain_mut(|event| {
        event.wall_time = 0.0;
        if let Some(What::Summary(summary)) = &mut event.what {
            // Two of the hparams messages contain their time. Their tags suffice here.
            summary.values.iter_mut().for_each(|value| value.metadata = None);
            return true;
        }
        false
    });
    events
}

/// The events as text, because scalars may be NaN, which is not equal to itself.
fn shown(events: &[Event]) -> String {
    format!("{events:#?}")
}

/// A table that is large enough for its header to grow in place.
fn bulk() -> impl Iterator<Item = Call> {
    let wide: Metrics = (0..100).map(|column| (format!("wide_{column}"), 1.0 / 3.0)).collect();
    (0..150).map(move |step| Call::Metrics(wide.clone(), Some(1000 + step)))
}

fn check_csv(calls: &[Call], lives: &[Life]) {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let new: New = |run| Box::new(CsvLogger::in_dir(run).flush_logs_every_n_steps(3).jsonl(true));
    uninterrupted(one.path(), new, calls);
    broken(other.path(), new, calls, lives);
    for file in ["metrics.csv", "metrics.jsonl"] {
        assert_eq!(text(one.path(), file).unwrap(), text(other.path(), file).unwrap());
    }
    assert_eq!(text(one.path(), "hparams.yaml"), text(other.path(), "hparams.yaml"));
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(96))]

    #[test]
    fn a_table_is_continued_byte_for_byte(calls in calls(), lives in lives()) {
        check_csv(&calls, &lives);
    }

    #[test]
    fn the_same_events_are_read_after_a_kill(calls in calls(), lives in lives()) {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let new: New = |run| Box::new(TensorBoardLogger::in_dir(run));
        uninterrupted(one.path(), new, &calls);
        broken(other.path(), new, &calls, &lives);
        prop_assert_eq!(shown(&events(one.path())), shown(&events(other.path())));
        prop_assert_eq!(text(one.path(), "hparams.yaml"), text(other.path(), "hparams.yaml"));
    }
}

proptest! {
    #![proptest_config(config(12))]

    #[test]
    fn a_large_table_is_continued_byte_for_byte(calls in calls(), lives in lives()) {
        let calls: Vec<_> = bulk().chain(calls).collect();
        let lives: Vec<_> = lives.into_iter().enumerate().map(|(number, mut life)| {
            life.before += if number == 0 { 140 } else { 0 };
            life
        }).collect();
        check_csv(&calls, &lives);
    }
}

#[test]
fn columns_after_the_position_leave_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let new: New = |run| Box::new(CsvLogger::in_dir(run));
    let mut killed = begin(folder.path(), new, &None, false);
    killed.log_metrics(&[("a", 1.0)].into(), Some(0)).unwrap();
    killed.log_metrics(&[("a", 2.0)].into(), Some(1)).unwrap();
    let kept = Some((0, killed.position().unwrap().to_string()));
    killed.log_metrics(&[("typo", 3.0)].into(), Some(1)).unwrap();
    killed.log_metrics(&[("a", 4.0)].into(), Some(2)).unwrap();
    killed.finalize(Status::Failed).unwrap();
    drop(killed);
    let mut continued = begin(folder.path(), new, &kept, true);
    assert_eq!(text(folder.path(), "metrics.csv").unwrap(), "step,epoch,a\n0,,1\n1,,2\n");
    continued.log_metrics(&[("b", 3.0)].into(), Some(1)).unwrap();
    continued.finalize(Status::Success).unwrap();
    assert_eq!(text(folder.path(), "metrics.csv").unwrap(), "step,epoch,a,b\n0,,1,\n1,,2,3\n");
}

#[test]
fn a_position_that_does_not_fit_loses_nothing() {
    let position = |folder: &Path| -> Value {
        let mut logger = CsvLogger::new(folder).name("").version("run");
        logger.log_metrics(&[("a", 1.0)].into(), Some(0)).unwrap();
        logger.log_metrics(&[("a", 2.0), ("b", f64::NAN)].into(), Some(1)).unwrap();
        logger.position().unwrap()
    };
    for (left, expected) in [
        // The file is missing or shorter: the open row comes from the position.
        (None, "step,epoch,a,b\n1,,2,NaN\n2,,3,\n"),
        (Some("step,epoch,a,b\n"), "step,epoch,a,b\n1,,2,NaN\n2,,3,\n"),
        // Other columns: the existing rows stay.
        (Some("step,epoch,x,a\n0,,5,1\n1,,5,2\n9,,5,2\n"), "step,epoch,x,a\n0,,5,1\n1,,5,2\n9,,5,2\n2,,,3\n"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let position = position(folder.path());
        let table = folder.path().join("run/metrics.csv");
        left.map_or_else(|| fs_err::remove_file(&table), |left| fs_err::write(&table, left)).unwrap();
        let mut logger = CsvLogger::new(folder.path()).name("").version("run");
        logger.resume(position).unwrap();
        logger.log_metrics(&[("a", 3.0)].into(), Some(2)).unwrap();
        logger.finalize(Status::Success).unwrap();
        assert_eq!(text(folder.path(), "metrics.csv").unwrap(), expected, "from {left:?}");
    }
    let of_no_table = serde_json::json!({"table": {"rows": 0, "columns": [], "open": null}, "hparams": {}});
    for foreign in [Value::Null, Value::from(7), serde_json::json!({"files": []}), of_no_table] {
        let folder = tempfile::tempdir().unwrap();
        drop(position(folder.path()));
        let mut logger = CsvLogger::new(folder.path()).name("").version("run");
        logger.resume(foreign).unwrap();
        logger.finalize(Status::Success).unwrap();
        assert_eq!(text(folder.path(), "metrics.csv").unwrap(), "step,epoch,a,b\n0,,1,\n1,,2,NaN\n");
    }
}

#[test]
fn events_of_others_and_of_files_that_do_not_fit_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let new = || TensorBoardLogger::new(folder.path()).name("").version("run");
    let log = |logger: &mut TensorBoardLogger, step| {
        logger.log_metrics(&[("a", 0.0)].into(), Some(step)).unwrap();
        logger.save().unwrap();
    };
    let (mut first, mut second) = (new(), new());
    log(&mut first, 0);
    log(&mut second, 10);
    let positions = [first.position().unwrap(), second.position().unwrap()];
    drop((first, second));
    let (mut first, mut second) = (new(), new());
    first.resume(positions[0].clone()).unwrap();
    second.resume(positions[1].clone()).unwrap();
    log(&mut first, 1);
    log(&mut second, 11);
    drop((first, second));
    // The first run goes back once more.
    let mut first = new();
    first.open().unwrap();
    first.resume(positions[0].clone()).unwrap();
    log(&mut first, 2);
    drop(first);
    let steps = || events(folder.path()).iter().map(|event| event.step).collect::<Vec<_>>();
    assert_eq!(steps(), [0, 10, 11, 2]);

    let last = files(folder.path()).pop().unwrap();
    let raw = record::tests::read(&fs_err::read(last).unwrap()).unwrap();
    for record in &raw[1..3] {
        let event = Event::decode(&record[..]).unwrap();
        let Some(What::SessionLog(session)) = event.what else { panic!("no session event") };
        assert_eq!((session.status, event.step), (1, 1));
    }

    // A shorter file, a missing one, and a name that leads out of the folder.
    let outside = folder.path().join("events.out.tfevents.outside");
    fs_err::write(&outside, "not ours to cut").unwrap();
    let name = positions[0]["files"][0]["name"].clone();
    for extent in [
        serde_json::json!({"name": name, "bytes": 1_000_000}),
        serde_json::json!({"name": "events.out.tfevents.missing", "bytes": 0}),
        serde_json::json!({"name": "../events.out.tfevents.outside", "bytes": 0}),
        serde_json::json!({"name": outside, "bytes": 0}),
    ] {
        let mut position = positions[0].clone();
        position["files"].as_array_mut().unwrap().insert(0, extent);
        let before = steps();
        new().resume(position).unwrap();
        assert_eq!(steps(), before);
        assert_eq!(fs_err::read_to_string(&outside).unwrap(), "not ours to cut");
    }
}

#[test]
fn hyperparameters_logged_again_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut params = Hyperparams::new();
    params.insert("lr", 0.1).unwrap();
    let new: New = |run| Box::new(TensorBoardLogger::in_dir(run));
    let mut logger = begin(folder.path(), new, &None, false);
    logger.log_hyperparams(&params, &[("loss", f64::NAN)].into()).unwrap();
    let kept = Some((0, logger.position().unwrap().to_string()));
    drop(logger);
    let before = events(folder.path()).len();
    let mut logger = begin(folder.path(), new, &kept, true);
    logger.log_hyperparams(&params, &[("loss", f64::NAN)].into()).unwrap();
    logger.save().unwrap();
    assert_eq!(events(folder.path()).len(), before);
    logger.log_hyperparams(&params, &[("loss", 0.5)].into()).unwrap();
    logger.save().unwrap();
    assert!(events(folder.path()).len() > before);
}
