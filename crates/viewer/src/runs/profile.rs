//! The times of a run's actions, from the trace that its profiler wrote.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Maximum number of lines of a trace that are read.
const MOST: usize = 5_000_000;

/// An action with its times.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// Its name.
    pub name: String,
    /// Number of calls.
    pub calls: u64,
    /// Seconds of all calls together.
    pub seconds: f64,
}

#[derive(Deserialize)]
struct Event {
    ph: String,
    name: String,
    #[serde(default)]
    dur: f64,
}

/// The newest trace in the folder of a run.
pub(super) fn find(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let traces = entries.filter(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_json = Path::new(&name).extension().is_some_and(|extension| extension == "json");
        is_json && name.contains("-trace")
    });
    traces.max_by_key(|entry| entry.metadata().and_then(|metadata| metadata.modified()).ok()).map(|entry| entry.path())
}

/// The actions of a trace, longest first. Its end may be missing.
pub(super) fn read(path: &Path) -> Vec<Action> {
    let Ok(file) = File::open(path) else { return Vec::new() };
    let mut actions: HashMap<String, Action> = HashMap::new();
    for line in BufReader::new(file).split(b'\n').take(MOST).map_while(Result::ok) {
        let line = line.trim_ascii();
        let line = line.strip_prefix(b"[").unwrap_or(line);
        let line = line.strip_suffix(b",").unwrap_or(line);
        let line = line.strip_prefix(b",").unwrap_or(line);
        let Ok(Event { ph, name, dur }) = serde_json::from_slice(line) else { continue };
        if ph == "X" {
            let action = actions.entry(name.clone()).or_insert(Action { name, calls: 0, seconds: 0.0 });
            action.calls += 1;
            action.seconds += dur / 1e6;
        }
    }
    let mut actions: Vec<Action> = actions.into_values().collect();
    actions.sort_by(|a, b| b.seconds.total_cmp(&a.seconds).then_with(|| a.name.cmp(&b.name)));
    actions
}
