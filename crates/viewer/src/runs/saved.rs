//! The checkpoints of a run with their scores. Their tensors are not read.

use std::cmp::Reverse;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;
use serde_json::{Map, Value};

/// Maximum number of checkpoints of a run. Further ones are not shown.
const MOST: usize = 1000;
/// Levels of folders below the folder of the checkpoints.
const DEPTH: usize = 4;
/// Maximum size of the header of a file in bytes, as in the crate of the checkpoints.
const LARGEST_HEADER: u64 = 100_000_000;

/// A checkpoint of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Saved {
    /// The file, relative to the folder of the run.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Number of completed epochs.
    pub epoch: Option<u64>,
    /// Number of training batches after which an optimizer had stepped.
    pub global_step: Option<u64>,
    /// The time of the save, in RFC 3339.
    pub saved_at: String,
    /// Whether it contains only weights.
    pub weights_only: bool,
    /// The monitored metric with its value.
    pub score: Option<(String, f64)>,
    /// Whether a `ModelCheckpoint` considers it its best one.
    pub is_best: bool,
}

/// The facts about the run in its newest checkpoint.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct About {
    /// Names and values: device, precision, seed, versions and others.
    pub facts: Vec<(String, String)>,
    /// The hyperparameters.
    pub hparams: Value,
}

/// The files of one run, read once each.
#[derive(Debug, Default)]
pub(super) struct SavedFiles {
    known: Vec<Known>,
    pub(super) list: Vec<Saved>,
    pub(super) about: About,
}

#[derive(Debug)]
struct Known {
    path: PathBuf,
    bytes: u64,
    modified: Option<SystemTime>,
    header: Option<Header>,
}

/// The parts of the manifest that are shown.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Header {
    stormfire_version: String,
    burn_version: String,
    weights_only: bool,
    run_id: String,
    restarts: u64,
    saved_at: String,
    module: String,
    device: String,
    precision: String,
    seed: Option<u64>,
    progress: Value,
    hparams: Value,
    metrics: Map<String, Value>,
    callbacks: Map<String, Value>,
}

#[derive(Deserialize)]
struct Safetensors {
    #[serde(rename = "__metadata__")]
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    stormfire: String,
}

impl SavedFiles {
    /// Reads new and changed files.
    pub(super) fn refresh(&mut self, run: &Path) {
        let mut found = Vec::new();
        list(&run.join("checkpoints"), DEPTH, &mut found);
        let is_same = found.len() == self.known.len()
            && found.iter().zip(&self.known).all(|(a, b)| (&a.0, a.1, a.2) == (&b.path, b.bytes, b.modified));
        if is_same {
            return;
        }
        let mut old = std::mem::take(&mut self.known);
        for (path, bytes, modified) in found {
            let known = old.iter().position(|known| (&known.path, known.bytes, known.modified) == (&path, bytes, modified));
            self.known.push(known.map_or_else(|| Known { header: read(&path).ok(), path, bytes, modified }, |at| old.swap_remove(at)));
        }
        self.summarize(run);
    }

    fn summarize(&mut self, run: &Path) {
        let headers = self.known.iter().filter_map(|known| known.header.as_ref());
        let newest = headers.clone().max_by_key(|header| order(header));
        // The newest state of a callback lists all files that are kept.
        let stateful = headers.filter(|header| !header.callbacks.is_empty()).max_by_key(|header| order(header));
        let states: Vec<State<'_>> = stateful.map(|header| states(&header.callbacks)).unwrap_or_default();
        let mut list: Vec<Saved> = self.known.iter().filter_map(|known| saved(run, known, &states)).collect();
        list.sort_by_key(|saved| Reverse((saved.global_step, saved.saved_at.clone())));
        self.list = list;
        self.about = newest.map(about).unwrap_or_default();
    }
}

fn saved(run: &Path, known: &Known, states: &[State<'_>]) -> Option<Saved> {
    let header = known.header.as_ref()?;
    let state = states.iter().find(|state| state.score(&known.path).is_some()).or(states.first());
    let is_best = states.iter().any(|state| state.best.is_some_and(|best| is_same_file(best, &known.path)));
    let score = state.and_then(|state| {
        let score = state.score(&known.path).or_else(|| float(header.metrics.get(state.monitor)?))?;
        Some((state.monitor.to_owned(), score))
    });
    Some(Saved {
        path: known.path.strip_prefix(run).unwrap_or(&known.path).to_owned(),
        bytes: known.bytes,
        epoch: header.progress["epoch"].as_u64(),
        global_step: header.progress["global_step"].as_u64(),
        saved_at: header.saved_at.clone(),
        weights_only: header.weights_only,
        score,
        is_best,
    })
}

fn order(header: &Header) -> (u64, u64, &str) {
    (header.restarts, header.progress["batches"].as_u64().unwrap_or(0), &header.saved_at)
}

fn about(header: &Header) -> About {
    let facts = [
        ("module", header.module.clone()),
        ("device", header.device.clone()),
        ("precision", header.precision.clone()),
        ("seed", header.seed.map(|seed| seed.to_string()).unwrap_or_default()),
        ("Stormfire", header.stormfire_version.clone()),
        ("burn", header.burn_version.clone()),
        ("run id", header.run_id.clone()),
        ("resumed", if header.restarts > 0 { format!("{} times", header.restarts) } else { String::new() }),
    ];
    let facts = facts.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name.to_owned(), value)).collect();
    About { facts, hparams: header.hparams.clone() }
}

/// The state of a `ModelCheckpoint` with a metric.
struct State<'a> {
    /// The metric.
    monitor: &'a str,
    best: Option<&'a str>,
    scores: Vec<(&'a str, f64)>,
}

impl State<'_> {
    fn score(&self, path: &Path) -> Option<f64> {
        self.scores.iter().find(|(saved, _)| is_same_file(saved, path)).map(|(_, score)| *score)
    }
}

fn states(callbacks: &Map<String, Value>) -> Vec<State<'_>> {
    let mut all = Vec::new();
    for state in callbacks.values() {
        let (Some(monitor), Some(models)) = (state["monitor"].as_str(), state["best_k_models"].as_array()) else { continue };
        let scores = models.iter().filter_map(|one| Some((one["path"].as_str()?, float(&one["score"])?))).collect();
        all.push(State { monitor, best: state["best_model_path"].as_str(), scores });
    }
    all
}

/// Whether a recorded path names this file. The folder of the run may have been moved, so the ends are compared.
fn is_same_file(recorded: &str, path: &Path) -> bool {
    let after = |text: &str| text.rsplit_once("checkpoints/").map(|(_, name)| name.to_owned());
    match (after(&recorded.replace('\\', "/")), after(&path.display().to_string().replace('\\', "/"))) {
        (Some(recorded), Some(path)) => recorded == path,
        _ => Path::new(recorded).file_name() == path.file_name(),
    }
}

/// A float of a manifest, which writes those that JSON lacks as strings.
fn float(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) if ["NaN", "inf", "-inf"].contains(&text.as_str()) => text.parse().ok(),
        other => other.as_f64(),
    }
}

type Entry = (PathBuf, u64, Option<SystemTime>);

fn list(folder: &Path, depth: usize, into: &mut Vec<Entry>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        if into.len() >= MOST {
            return;
        }
        let Ok(metadata) = entry.metadata() else { continue };
        let path = entry.path();
        if metadata.is_dir() && depth > 0 {
            list(&path, depth - 1, into);
        } else if metadata.is_file() && path.extension().is_some_and(|extension| extension == "ckpt") {
            into.push((path, metadata.len(), metadata.modified().ok()));
        }
    }
}

/// Reads the manifest at the start of a file.
fn read(path: &Path) -> io::Result<Header> {
    let invalid = |error: serde_json::Error| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut file = File::open(path)?;
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > LARGEST_HEADER {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header)?;
    let header: Safetensors = serde_json::from_slice(&header).map_err(invalid)?;
    serde_json::from_str(&header.metadata.stormfire).map_err(invalid)
}
