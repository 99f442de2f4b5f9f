//! Finds the runs below a folder.

use std::path::{Path, PathBuf};

/// Levels of folders below the given one.
const DEPTH: usize = 8;
/// Maximum number of folders that are visited.
const MOST_FOLDERS: usize = 20_000;

/// The start of the names of event files.
const EVENTS: &str = "events.out.tfevents.";

/// The files of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Files {
    pub(super) tables: Vec<PathBuf>,
    pub(super) lines: Vec<PathBuf>,
    pub(super) events: Vec<PathBuf>,
    /// The event files of sub-runs: groups of scalars, each in a folder.
    pub(super) groups: Vec<(String, PathBuf)>,
}

/// The folders of all runs in and below a folder, by name.
pub(super) fn runs(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = MOST_FOLDERS;
    visit(root, DEPTH, false, &mut left, &mut found);
    found.sort_by_cached_key(|folder| natural(folder));
    found
}

fn visit(folder: &Path, depth: usize, has_events_above: bool, left: &mut usize, found: &mut Vec<PathBuf>) {
    if *left == 0 {
        return;
    }
    *left -= 1;
    let Some(listing) = Listing::of(folder) else { return };
    // Event files alone below those of a run belong to that run.
    let is_group = has_events_above && listing.is_events_only();
    if listing.is_run() && !is_group {
        found.push(folder.to_owned());
    }
    if depth > 0 {
        for inner in &listing.folders {
            visit(inner, depth - 1, has_events_above || listing.has_events, left, found);
        }
    }
}

/// The files of the run in a folder.
pub(super) fn files(folder: &Path) -> Files {
    let mut files = Files::default();
    let Some(listing) = Listing::of(folder) else { return files };
    for path in listing.files {
        match path.file_name().and_then(|name| name.to_str()) {
            Some("metrics.csv") => files.tables.push(path),
            Some("metrics.jsonl") => files.lines.push(path),
            Some(name) if name.starts_with(EVENTS) => files.events.push(path),
            _ => {}
        }
    }
    if !files.events.is_empty() {
        for inner in listing.folders {
            let Some(inside) = Listing::of(&inner).filter(Listing::is_events_only) else { continue };
            let name = inner.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let events = inside.files.into_iter().filter(|path| is_events(path));
            files.groups.extend(events.map(|path| (name.clone(), path)));
        }
    }
    files
}

/// The files of a run that is given by one of its files.
pub(super) fn single(path: &Path) -> Option<Files> {
    let path = path.to_owned();
    let is = |extension: &str| path.extension().is_some_and(|found| found == extension);
    if is("csv") {
        Some(Files { tables: vec![path], ..Files::default() })
    } else if is("jsonl") || is("ndjson") {
        Some(Files { lines: vec![path], ..Files::default() })
    } else if is_events(&path) {
        Some(Files { events: vec![path], ..Files::default() })
    } else {
        None
    }
}

fn is_events(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(EVENTS))
}

/// The content of a folder.
struct Listing {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    has_events: bool,
}

impl Listing {
    fn of(folder: &Path) -> Option<Self> {
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        for entry in std::fs::read_dir(folder).ok()?.flatten() {
            let (name, path) = (entry.file_name(), entry.path());
            // Behind symbolic links. A pipe with the name of a log would never end.
            let Ok(kind) = std::fs::metadata(&path) else { continue };
            let is_skipped = name.to_string_lossy().starts_with('.') || name == "checkpoints" || name == "target" || name == "node_modules";
            if kind.is_dir() && !is_skipped {
                folders.push(path);
            } else if kind.is_file() {
                files.push(path);
            }
        }
        files.sort();
        folders.sort();
        let has_events = files.iter().any(|path| is_events(path));
        Some(Self { files, folders, has_events })
    }

    fn has(&self, name: &str) -> bool {
        self.files.iter().any(|path| path.file_name().is_some_and(|found| found == name))
    }

    fn is_run(&self) -> bool {
        self.has_events || ["metrics.csv", "metrics.jsonl", "trainer.yaml", "hparams.yaml"].iter().any(|name| self.has(name))
    }

    fn is_events_only(&self) -> bool {
        self.has_events && !["metrics.csv", "metrics.jsonl", "trainer.yaml", "hparams.yaml"].iter().any(|name| self.has(name))
    }
}

/// A key for the order of people: `version_9` before `version_10`.
fn natural(path: &Path) -> Vec<(String, u64)> {
    let text = path.to_string_lossy().into_owned();
    let mut key = Vec::new();
    let (mut word, mut digits) = (String::new(), String::new());
    for c in text.chars() {
        if c.is_ascii_digit() && digits.len() < 18 {
            digits.push(c);
        } else {
            if !digits.is_empty() {
                key.push((std::mem::take(&mut word), digits.parse().unwrap_or(0)));
                digits.clear();
            }
            word.push(c);
        }
    }
    key.push((word, digits.parse().unwrap_or(0)));
    key
}
