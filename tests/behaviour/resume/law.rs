//! The law of resuming: `fit(n)` equals `fit(k)`, a restart, and `fit(n - k)`.
//!
//! Each plan runs four times: without saves, with checkpoints (which must change nothing), resumed from one of these,
//! and resumed again from a checkpoint of the resumed fit. burn's random generator is global, so the test has a
//! separate process.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
};

use burn::{prelude::*, tensor::TensorData};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use stormfire::{
    checkpoint::Checkpoint,
    loggers::{Call, CsvLogger, MemoryLogger, TensorBoardLogger, WandbLogger},
    module::moment::Progress,
    prelude::*,
};
use stormfire_values::read::DistantCpu;

use super::{
    data::Data,
    net::Net,
    observer::{Busy, Observer, Seen, bits, is_measured},
    plan::{Accumulate, Cut, Logs, Monitor, Plan, Watch, plans},
};
use crate::{
    child::{folder, part, play},
    files::{Events, names, read_csv, read_events_of_the_continued, read_wandb},
    repeatability::{Weights, weights},
    rig::run_of,
};

/// The variable with the number of plans, and the default.
const CASES: (&str, u64) = ("STORMFIRE_LAW_CASES", 60);
/// The variable with the seed, and the default. Another seed generates other plans.
const SEED: (&str, u64) = ("STORMFIRE_LAW_SEED", 1);

fn number((variable, default): (&str, u64)) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn a_resumed_fit_equals_an_uninterrupted_one() {
    play(part("resume::law::random_plans", tempfile::tempdir().unwrap().path()));
}

/// Helper test for a child process: runs the plans.
#[test]
#[ignore = "a part of `a_resumed_fit_equals_an_uninterrupted_one`"]
fn random_plans() {
    if folder().is_none() {
        return;
    }
    let config = Config {
        cases: u32::try_from(number(CASES)).unwrap(),
        rng_seed: RngSeed::Fixed(number(SEED)),
        failure_persistence: None,
        max_shrink_iters: 60,
        ..Config::default()
    };
    match TestRunner::new(config).run(&plans(), |plan| law(&plan)) {
        Ok(()) => {}
        Err(TestError::Fail(reason, plan)) => panic!("{reason}\n{plan:?}"),
        Err(error) => panic!("{error}"),
    }
}

/// All visible results of a fit.
#[derive(Debug, PartialEq)]
struct Left {
    weights: Weights,
    progress: Progress,
    stop: Stop,
    seen: Vec<Seen>,
    /// Name, bits of the value, step.
    rows: Vec<(String, u64, Option<u64>)>,
    /// Tables, curves, histograms and texts.
    pictures: Vec<String>,
    files: Option<Files>,
}

#[derive(Debug, PartialEq)]
struct Files {
    /// The lines, reduced to comparable values.
    csv: Vec<String>,
    json_lines: Vec<String>,
    wandb: Vec<String>,
    events: Events,
    checkpoints: Vec<String>,
}

impl Files {
    fn read(folder: &Path, watch: &Watch) -> Self {
        let run = run_of(folder);
        let lines = |name: &str| std::fs::read_to_string(run.join(name)).unwrap().lines().map(String::from).collect::<Vec<_>>();
        let csv = if watch.monitors.contains(&Monitor::Throughput) {
            let table = read_csv(&run);
            let cells = |row: Vec<String>| table.columns.iter().cloned().zip(row).filter(|(_, cell)| !cell.is_empty()).collect::<Vec<_>>();
            table.rows.iter().cloned().map(|row| comparable_row(cells(row))).collect()
        } else {
            lines("metrics.csv")
        };
        let (mut json_lines, mut wandb) = (Vec::new(), Vec::new());
        if watch.logs == Logs::ManyLoggers {
            let row = |line: &String| serde_json::from_str::<BTreeMap<String, Value>>(line).unwrap();
            let row = |line: &String| comparable_row(row(line).into_iter().map(|(name, value)| (name, value.to_string())));
            json_lines = lines("metrics.jsonl").iter().map(row).collect();
            wandb = read_wandb(folder).into_iter().map(comparable_row).collect();
        }
        let events = read_events_of_the_continued(&run).into_iter();
        let events = events.filter_map(|(step, tag, value)| Some((step, tag.clone(), comparable(&tag, value, None)?))).collect();
        Self { csv, json_lines, wandb, events, checkpoints: names_below(&run.join("checkpoints")) }
    }
}

/// The names in a folder and its subfolders, including empty ones.
fn names_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for name in names(folder) {
        found.extend(names_below(&folder.join(&name)).into_iter().map(|below| format!("{name}/{below}")));
        found.push(name);
    }
    found
}

/// Returns a value unless it depends on the clock or on the start of the process. For some of these, `blank` shows that
/// they exist.
fn comparable<T>(name: &str, value: T, blank: T) -> Option<T> {
    match name {
        "train/time" | "train/data_wait_time" | "train/batches" | "train/samples" => Some(blank),
        "_timestamp" | "_runtime" => None,
        _ if is_measured(name) => None,
        // W&B stores a table in an artifact with a random name.
        _ if name.ends_with("_table") => Some(blank),
        _ => Some(value),
    }
}

/// The comparable part of a row, by name.
fn comparable_row(row: impl IntoIterator<Item = (String, String)>) -> String {
    let row = row.into_iter().filter_map(|(name, value)| Some((name.clone(), comparable(&name, value, String::new())?)));
    format!("{:?}", row.collect::<BTreeMap<_, _>>())
}

/// The comparable part of a checkpoint.
#[derive(Debug, PartialEq)]
struct SavedFile {
    manifest: Value,
    tensors: BTreeMap<String, TensorData>,
}

fn forget_measured(log: &mut Value) {
    if let Some(metrics) = log["metrics"].as_array_mut() {
        metrics.retain(|metric| !metric[0].as_str().is_some_and(is_measured));
    }
    if let Some(names) = log["of_epoch"].as_array_mut() {
        names.retain(|name| !name.as_str().is_some_and(is_measured));
    }
}

fn read(path: &Path) -> Option<SavedFile> {
    let (manifest, tensors) = Checkpoint::read(path).ok()?.into_parts();
    let mut manifest = serde_json::to_value(manifest).unwrap();
    for changes in ["saved_at", "loggers"] {
        manifest[changes].take();
    }
    manifest.as_object_mut().unwrap().remove("restarts");
    manifest["place"]["last_validation"].take();
    forget_measured(&mut manifest["log"]);
    if let Some(metrics) = manifest["metrics"].as_object_mut() {
        metrics.retain(|name, _| !is_measured(name));
    }
    if let Some(unfinished) = manifest.get_mut("unfinished_epoch") {
        unfinished["loggers"].take();
        unfinished["place"]["last_validation"].take();
        forget_measured(&mut unfinished["log"]);
        // The requests of the whole checkpoint apply instead.
        unfinished["place"]["requests"].take();
    }
    // A fit never removes the file that it resumes from.
    manifest["names"].take();
    let callbacks = manifest["callbacks"].as_object_mut().unwrap();
    let all = callbacks.len();
    callbacks.retain(|key, _| !ModelCheckpoint::is_key(key));
    if callbacks.len() < all {
        // After the checkpoint, the fit continued and removed files that the checkpoint names.
        manifest["place"]["requests"]["checkpoints"].take();
    }
    Some(SavedFile { manifest, tensors })
}

/// The folder of the fits of a plan.
struct Place {
    folder: tempfile::TempDir,
    memory: MemoryLogger,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), memory: MemoryLogger::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Creates new objects and fits. The random generator has a different state each time, unless `chance` is
    /// given.
    fn fit(&self, plan: &Plan, observer: Observer, chance: Option<u64>, ckpt_path: Option<&Path>) -> Result<Left, TestCaseError> {
        Device::flex().seed(chance.unwrap_or(plan.seed ^ 0x5EED));
        let witness = Arc::clone(&observer.seen);
        let given = Arc::default();
        let mut trainer = trainer(plan, Arc::clone(&given)).default_root_dir(self.folder.path()).callback(observer);
        trainer = match plan.watch.logs {
            Logs::Memory => trainer.enable_checkpointing(false).logger(self.memory.clone()),
            Logs::DefaultLoggers => trainer,
            Logs::ManyLoggers => {
                // The loggers find the files of the others, and the run, without help.
                trainer
                    .logger(TensorBoardLogger::new(self.folder.path()))
                    .logger(CsvLogger::new(self.folder.path()).jsonl(true))
                    .logger(WandbLogger::new().offline(true).save_dir(self.folder.path()))
            }
        };
        let on_files = plan.watch.logs != Logs::Memory;
        if on_files {
            let saving = ModelCheckpoint::new().monitor(plan.learning.monitor).save_top_k(2).save_last(true);
            let in_folders = plan.watch.logs == Logs::ManyLoggers;
            trainer = trainer.callback(if in_folders { saving.filename("{epoch}-{step}-{own/value:.0f}") } else { saving });
        }
        if let Some(path) = ckpt_path {
            trainer = trainer.ckpt_path(path);
        }
        // A new process would start without the interrupt.
        stormfire::forget_interrupt();
        let fit = trainer.fit(Net::new(plan.learning, plan.fit.unfreeze.is_some()), Data { plan: &plan.data, given });
        let fit = fit.map_err(|error| TestCaseError::fail(format!("the fit from {ckpt_path:?} failed: {error:?}")))?;
        let files = on_files.then(|| Files::read(self.folder.path(), &plan.watch));
        let rows = self.memory.rows().into_iter();
        let rows = rows.filter_map(|(name, value, step)| Some((name.clone(), comparable(&name, bits(value), 0)?, step))).collect();
        let is_picture =
            |call: &Call| matches!(call, Call::Table { .. } | Call::PrecisionRecall { .. } | Call::Histogram { .. } | Call::Text { .. });
        let pictures = self.memory.calls().into_iter().filter(is_picture).map(|call| format!("{call:?}")).collect();
        // In training mode, a batch normalization does not apply its newest statistics at once. `valid` applies them.
        let weights = weights(&fit.module.valid());
        let seen = std::mem::take(&mut *witness.lock().unwrap());
        Ok(Left { weights, progress: fit.progress, stop: fit.stop, seen, rows, pictures, files })
    }
}

fn trainer(plan: &Plan, given: Arc<AtomicU64>) -> Trainer<Net> {
    let (fit, watch) = (&plan.fit, &plan.watch);
    let mut trainer = Trainer::new()
        .max_epochs(fit.epochs)
        .devices(fit.devices)
        .min_epochs(fit.min_epochs)
        .val_check_interval(fit.val_check_interval)
        .log_every_n_steps(watch.log_every_n_steps)
        .enable_progress_bar(false)
        .enable_model_summary(false)
        .callback(LearningRateMonitor::new())
        .callback(Busy { skip: fit.skip, stop: fit.stop, unfreeze: fit.unfreeze, given, ..Busy::default() });
    if let Some(precision) = fit.precision {
        trainer = trainer.precision(precision);
    }
    if plan.is_seeded {
        trainer = trainer.seed(plan.seed);
    }
    if let Some(steps) = fit.max_steps {
        trainer = trainer.max_steps(steps);
    }
    if let Some(batches) = fit.limit_train_batches {
        trainer = trainer.limit_train_batches(batches);
    }
    if let Some((algorithm, value)) = fit.clip {
        trainer = trainer.gradient_clip_algorithm(algorithm).gradient_clip_val(value);
    }
    trainer = match &fit.accumulate {
        Accumulate::Batches(batches) => trainer.accumulate_grad_batches(*batches),
        Accumulate::Schedule(factors) => trainer.callback(GradientAccumulationScheduler::new(factors.clone())),
    };
    for monitor in &watch.monitors {
        trainer = match monitor {
            Monitor::GradientNorm => trainer.callback(GradientNormMonitor::new()),
            Monitor::Throughput => trainer.callback(ThroughputMonitor::new()),
            Monitor::Average => trainer.callback(Ema::half_life("3 steps").average_buffers(plan.seed.is_multiple_of(2))),
            Monitor::StochasticAverage => {
                let first = usize::from(plan.seed.is_multiple_of(2));
                trainer.callback(StochasticWeightAveraging::new(0.02).start_epoch(first).annealing(2, "linear"))
            }
            Monitor::EqualAverage => trainer.callback(WeightAveraging::new().start_after("2 steps")),
            Monitor::Updates => trainer.callback(OptimizerMonitor::new()),
            Monitor::Pruning => trainer.callback(ModelPruning::new(0.2)),
            Monitor::Spikes => trainer.callback(SpikeDetection::new(SpikeAction::Skip).rtol(0.05).window(3)),
            Monitor::Backbone => trainer.callback(BackboneFinetuning::new("hidden").unfreeze_at_epoch(1)),
            Monitor::Stages => trainer.callback(Finetuning::new("hidden").unfreeze_at(1, "hidden")),
            Monitor::Texts => trainer.callback(Generate::new("text", |net: &Net| Ok(vec![net.shown()])).every("2 steps")),
        };
    }
    match watch.patience {
        Some(patience) => trainer.callback(EarlyStopping::new(plan.learning.monitor).patience(patience).strict(false)),
        None => trainer,
    }
}

/// Returns the number of the event that a cut means.
fn number_of((hook, call, at_request): Cut, seen: &[Seen]) -> Option<u64> {
    use Hook::{AfterBackward, BeforeBackward, BeforeOptimizerStep, BeforeZeroGrad, FitEnd};
    // A request inside of a batch takes effect after the batch.
    let is_possible = |hook| !matches!(hook, BeforeZeroGrad | BeforeBackward | AfterBackward | BeforeOptimizerStep | FitEnd);
    let mut possible: Vec<&Seen> = seen.iter().filter(|event| is_possible(event.hook)).collect();
    if at_request {
        let requests: Vec<&Seen> = seen.windows(2).filter(|pair| pair[1].is_asked && !pair[0].is_asked).map(|pair| &pair[1]).collect();
        if !requests.is_empty() {
            possible = requests;
        }
    }
    let mut hooks = Vec::new();
    for event in &possible {
        if !hooks.contains(&event.hook) {
            hooks.push(event.hook);
        }
    }
    let hook = (!hooks.is_empty()).then(|| hook.get(&hooks))?;
    possible.retain(|event| event.hook == *hook);
    Some(call.get(&possible).number)
}

/// Checks that two values are equal. Otherwise reports the first difference.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, continued: &[T], uninterrupted: &[T]) -> Result<(), TestCaseError> {
    if continued == uninterrupted {
        return Ok(());
    }
    let at = continued.iter().zip(uninterrupted).position(|(a, b)| a != b).unwrap_or_else(|| continued.len().min(uninterrupted.len()));
    let (found, expected) = (continued.get(at), uninterrupted.get(at));
    let lengths = (continued.len(), uninterrupted.len());
    Err(TestCaseError::fail(format!("{what}: number {at} of {lengths:?} is\n{found:?}\ninstead of\n{expected:?}")))
}

/// Checks that `continued` has the same events as `uninterrupted` from `begin` on.
fn compare(what: &str, continued: &Left, uninterrupted: &Left, begin: u64) -> Result<(), TestCaseError> {
    let expected: Vec<Seen> = uninterrupted.seen.iter().filter(|event| event.number >= begin).cloned().collect();
    if expected.iter().all(|event| matches!(event.hook, Hook::TrainEnd | Hook::FitEnd)) {
        // A fit without remaining training ends before it starts.
        let hooks: Vec<Hook> = continued.seen.iter().map(|event| event.hook).collect();
        same(&format!("{what}: events"), &hooks, &[Hook::FitEnd])?;
    } else {
        same(&format!("{what}: events"), &continued.seen, &expected)?;
    }
    same(&format!("{what}: rows"), &continued.rows, &uninterrupted.rows)?;
    same(&format!("{what}: pictures"), &continued.pictures, &uninterrupted.pictures)?;
    let rest = |left: &Left| (left.weights.clone(), left.progress.clone(), left.stop.clone());
    same(&format!("{what}: weights, progress, stop"), &[rest(continued)], &[rest(uninterrupted)])?;
    if let (Some(continued), Some(uninterrupted)) = (&continued.files, &uninterrupted.files) {
        same(&format!("{what}: lines of `metrics.csv`"), &continued.csv, &uninterrupted.csv)?;
        same(&format!("{what}: JSON lines"), &continued.json_lines, &uninterrupted.json_lines)?;
        same(&format!("{what}: W&B's rows"), &continued.wandb, &uninterrupted.wandb)?;
        same(&format!("{what}: TensorBoard's events"), &continued.events, &uninterrupted.events)?;
        same(&format!("{what}: checkpoints"), &continued.checkpoints, &uninterrupted.checkpoints)?;
    }
    Ok(())
}

/// The leaves of a JSON text with their paths, so that a reported difference is short.
fn flatten(path: &str, value: &Value, leaves: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| flatten(&format!("{path}/{name}"), value, leaves)),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, value)| flatten(&format!("{path}/{index}"), value, leaves)),
        leaf => leaves.push((path.into(), leaf.clone())),
    }
}

fn compare_saved(what: &str, continued: Option<&SavedFile>, uninterrupted: Option<&SavedFile>) -> Result<(), TestCaseError> {
    let (Some(continued), Some(uninterrupted)) = (continued, uninterrupted) else { return Ok(()) };
    let parts = |saved: &SavedFile| {
        let mut leaves = Vec::new();
        flatten("", &saved.manifest, &mut leaves);
        // The value of a metric that was not logged since the restart is on the host now.
        let is_shown = |path: &str| path.contains("/log/metrics/") || path.contains("/log/progress_bar/");
        leaves.retain(|(path, _)| !(is_shown(path) && path.ends_with("/dtype")));
        leaves.into_iter().map(|(path, leaf)| (path.trim_end_matches("/value").to_owned(), leaf)).collect::<Vec<_>>()
    };
    same(&format!("{what}: manifest"), &parts(continued), &parts(uninterrupted))?;
    let tensors = |saved: &SavedFile| saved.tensors.clone().into_iter().collect::<Vec<_>>();
    same(&format!("{what}: tensors"), &tensors(continued), &tensors(uninterrupted))
}

/// Returns the number of the first event after a checkpoint.
fn begin_of(path: &Path) -> Option<u64> {
    Checkpoint::read_manifest(path).ok()?.callbacks["Observer"].as_u64()
}

fn law(plan: &Plan) -> Result<(), TestCaseError> {
    let _distant = plan.watch.is_distant.then(DistantCpu::new);
    let reads = plan.watch.reads;
    let uninterrupted = Place::new().fit(plan, Observer { reads, ..Observer::default() }, Some(plan.seed), None)?;
    let Some(last) = uninterrupted.seen.iter().rfind(|event| event.hook == Hook::TrainEnd).map(|event| event.number) else { return Ok(()) };
    let Some(first_cut) = number_of(plan.cuts[0], &uninterrupted.seen) else { return Ok(()) };
    let later = uninterrupted.seen.partition_point(|event| event.number <= first_cut);
    let second_cut = number_of(plan.cuts[1], &uninterrupted.seen[later..]).unwrap_or(last);

    let place = Place::new();
    let [first, second, end] = ["first.ckpt", "second.ckpt", "end.ckpt"].map(|name| place.path(name));
    let observer = || Observer { reads, asks: vec![(second_cut, second.clone()), (last, end.clone())], ..Observer::default() };
    let mut cut = observer();
    if plan.watch.is_interrupted {
        cut.interrupt = Some((first_cut, first.clone()));
    } else {
        cut.asks.push((first_cut, first.clone()));
    }
    let saving = place.fit(plan, cut, Some(plan.seed), None)?;
    let (mut at_second, mut at_end) = (None, None);
    if !saving.stop.is_interrupted() {
        // A signal near the end changes only the hook that would have requested a checkpoint.
        compare("saving", &saving, &uninterrupted, 0)?;
        (at_second, at_end) = (read(&second), read(&end));
    }

    // A fit that resumes from the very end of another trains further. The checkpoint does not contain the stop that
    // ended the first fit.
    let trains_on = |begin: &u64| *begin <= last || !matches!(uninterrupted.stop, Stop::Requested(_));
    let Some(begin) = begin_of(&first).filter(trains_on) else { return Ok(()) };
    let _ = (std::fs::remove_file(&second), std::fs::remove_file(&end));
    let continued = place.fit(plan, observer(), None, Some(&first))?;
    compare("continued", &continued, &uninterrupted, begin)?;
    compare_saved("the second checkpoint", read(&second).as_ref(), at_second.as_ref())?;
    compare_saved("the last checkpoint", read(&end).as_ref(), at_end.as_ref())?;

    let Some(begin) = begin_of(&second).filter(trains_on) else { return Ok(()) };
    let at_end = read(&end);
    let again = place.fit(plan, observer(), None, Some(&second))?;
    compare("continued again", &again, &uninterrupted, begin)?;
    compare_saved("the last checkpoint of the second continuation", read(&end).as_ref(), at_end.as_ref())
}
