//! The folder of MLflow's file store.

mod meta;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stormfire_store::append::Append;
use stormfire_store::folder;
use stormfire_store::replacement::{self, Replacement};

use super::artifacts::copy;
use super::entry::{Entry, RunStatus};
use super::media::image_time;
use super::server_run::Note;
use super::tracking_uri::{file_uri, local_path};
use crate::parts::position;
use crate::{Error, Result};

/// Maximum number of bytes in memory that wait for [`FileStore::save`].
const PENDING: usize = 1 << 20;

/// A run: one file per metric, parameter and tag.
pub(super) struct FileStore {
    root: PathBuf,
    run_dir: PathBuf,
    artifacts: Option<PathBuf>,
    meta: Value,
    logger: String,
    strict: bool,
    /// Unwritten lines, by metric.
    pending: BTreeMap<String, Vec<u8>>,
    pending_bytes: usize,
    /// The length of each metric's file.
    lengths: BTreeMap<String, u64>,
    /// Metrics that were written since the last sync to the disk.
    unsynced: BTreeSet<String>,
    /// Names without a possible file that were already reported.
    refused: BTreeSet<String>,
    /// Whether this process created the run and nothing was recorded yet.
    untouched: bool,
}

/// A position in a run.
#[derive(Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) run: String,
    metrics: BTreeMap<String, u64>,
    params: BTreeSet<String>,
    /// The time of the newest image before the position, in milliseconds since 1970.
    time: u64,
}

impl FileStore {
    /// Creates a run, or opens the one in the note.
    pub(super) fn open(root: &Path, note: &Note, logger: &str, strict: bool) -> Result<Self> {
        let root = std::path::absolute(root)?;
        if let Some(run) = &note.existing {
            let experiment = meta::experiment_of(&root, run)?;
            return Self::existing(&root, &experiment, run, logger, strict);
        }
        let (experiment, location) = meta::experiment(&root, &note.experiment, note.artifact_location.as_deref(), note.start)?;
        let run_dir = root.join(&experiment).join(&note.id);
        for folder in ["metrics", "params", "tags", "artifacts"] {
            fs_err::create_dir_all(run_dir.join(folder))?;
        }
        let name = note.run_name.clone().unwrap_or_else(|| format!("run-{}", &note.id[..8.min(note.id.len())]));
        let meta = json!({
            "artifact_uri": format!("{}/{}/artifacts", location.trim_end_matches('/'), note.id),
            "deleted_time": null,
            "end_time": null,
            "entry_point_name": "",
            "experiment_id": experiment,
            "lifecycle_stage": "active",
            "run_id": note.id,
            "run_name": name,
            "source_name": "",
            "source_type": 4,
            "source_version": "",
            "start_time": note.start,
            "status": RunStatus::Running.number(),
            "tags": [],
            "user_id": note.user,
        });
        meta::write(&run_dir, &meta)?;
        let mut store = Self::at(&root, run_dir, meta, logger, strict);
        for (key, value) in &note.tags {
            store.tag(key, value)?;
        }
        store.tag("mlflow.runName", &name)?;
        store.untouched = true;
        Ok(store)
    }

    fn existing(root: &Path, experiment: &str, run: &str, logger: &str, strict: bool) -> Result<Self> {
        let run_dir = root.join(experiment).join(run);
        let Some(meta) = meta::read(&run_dir) else { return Err(Error::RunGone { folder: run_dir }) };
        let mut store = Self::at(root, run_dir, meta, logger, strict);
        for folder in ["", "params", "tags"] {
            replacement::remove_leftovers(&store.run_dir.join(folder));
        }
        for (key, path) in files_below(&store.run_dir.join("metrics"))? {
            store.lengths.insert(key, cut_half_line(&path)?);
        }
        Ok(store)
    }

    fn at(root: &Path, run_dir: PathBuf, meta: Value, logger: &str, strict: bool) -> Self {
        let uri = meta::text(&meta, "artifact_uri").unwrap_or_else(|| file_uri(&run_dir.join("artifacts")));
        Self {
            root: root.to_owned(),
            artifacts: local_path(&uri),
            run_dir,
            meta,
            logger: logger.to_owned(),
            strict,
            pending: BTreeMap::new(),
            pending_bytes: 0,
            lengths: BTreeMap::new(),
            unsynced: BTreeSet::new(),
            refused: BTreeSet::new(),
            untouched: false,
        }
    }

    pub(super) fn run_id(&self) -> String {
        meta::text(&self.meta, "run_id").unwrap_or_default()
    }

    pub(super) fn experiment_id(&self) -> String {
        meta::text(&self.meta, "experiment_id").unwrap_or_default()
    }

    pub(super) fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// Records an entry.
    pub(super) fn apply(&mut self, entry: &Entry) -> Result<()> {
        self.untouched = false;
        match entry {
            Entry::Metrics { step, time, values } => {
                for (key, value) in values {
                    self.metric(key, *time, value.0, *step)?;
                }
                if self.pending_bytes > PENDING { self.save() } else { Ok(()) }
            }
            Entry::Param { key, value } => self.param(key, value),
            Entry::Tag { key, value } => self.tag(key, value),
            Entry::File { to, from, .. } => Ok(copy(from, &self.artifact(to)?)?),
            Entry::Status { status, end } => {
                self.meta["status"] = status.number().into();
                self.meta["end_time"] = (*end).into();
                self.save()?;
                meta::write(&self.run_dir, &self.meta)
            }
        }
    }

    /// Writes bytes to the artifacts.
    pub(super) fn put(&mut self, to: &str, bytes: &[u8]) -> Result<()> {
        self.untouched = false;
        let path = self.artifact(to)?;
        replace(&path, bytes)
    }

    fn artifact(&self, to: &str) -> Result<PathBuf> {
        let folder = self.artifacts.as_ref();
        folder
            .map(|folder| folder.join(to))
            .ok_or_else(|| Error::Unsupported { logger: self.logger.clone(), what: "artifacts in a remote place without a server" })
    }

    fn metric(&mut self, key: &str, time: u64, value: f64, step: u64) -> Result<()> {
        if !self.lengths.contains_key(key) {
            let path = self.run_dir.join("metrics").join(key);
            if !self.has_place(&path, key)? {
                return Ok(());
            }
            fs_err::OpenOptions::new().create(true).append(true).open(&path)?;
            self.lengths.insert(key.to_owned(), 0);
        }
        let lines = self.pending.entry(key.to_owned()).or_default();
        let before = lines.len();
        // The spelling of Python for non-finite numbers. Python and Rust also read each other's spelling.
        match value {
            value if value.is_nan() => writeln!(lines, "{time} nan {step}")?,
            value => writeln!(lines, "{time} {value:?} {step}")?,
        }
        self.pending_bytes += lines.len() - before;
        Ok(())
    }

    fn param(&mut self, key: &str, value: &str) -> Result<()> {
        let path = self.run_dir.join("params").join(key);
        if !self.has_place(&path, key)? {
            return Ok(());
        }
        match fs_err::read_to_string(&path) {
            Ok(first) if first == value => Ok(()),
            Ok(first) => self.refuse(key, &format!("the parameter `{key}` is `{first}`; MLflow does not let it become `{value}`")),
            Err(_) => replace(&path, value.as_bytes()),
        }
    }

    fn tag(&mut self, key: &str, value: &str) -> Result<()> {
        let path = self.run_dir.join("tags").join(key);
        if self.has_place(&path, key)? { replace(&path, value.as_bytes()) } else { Ok(()) }
    }

    /// Creates the folder of a file. Returns false if a file or folder of another name is in the way.
    fn has_place(&mut self, path: &Path, key: &str) -> Result<bool> {
        let inside = path.ancestors().skip(1).take_while(|folder| *folder != self.run_dir);
        if path.is_dir() || inside.into_iter().any(Path::is_file) {
            self.refuse(key, &format!("a file store cannot contain both `{key}` and a name that extends it with `/`"))?;
            return Ok(false);
        }
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        Ok(true)
    }

    fn refuse(&mut self, key: &str, reason: &str) -> Result<()> {
        if self.strict {
            return Err(Error::other(reason.to_owned()));
        }
        if self.refused.insert(key.to_owned()) {
            tracing::warn!(logger = self.logger, "{reason}; the value is skipped");
        }
        Ok(())
    }

    /// Hands all lines to the operating system.
    pub(super) fn save(&mut self) -> Result<()> {
        while let Some((key, lines)) = self.pending.pop_first() {
            let count = lines.len();
            let outcome = self.append(&key, &lines);
            if let Err(error) = outcome {
                // The lines are kept for another attempt, unless there are too many.
                if self.pending_bytes <= PENDING {
                    self.pending.insert(key, lines);
                } else {
                    self.pending_bytes -= count;
                }
                return Err(error);
            }
            self.pending_bytes -= count;
            self.unsynced.insert(key);
        }
        Ok(())
    }

    fn append(&mut self, key: &str, lines: &[u8]) -> Result<()> {
        let path = self.run_dir.join("metrics").join(key);
        let length = self.lengths.entry(key.to_owned()).or_default();
        if *length > 0 && !path.exists() {
            // The file was deleted in the meantime, with its content.
            *length = 0;
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            folder::recreate(folder)?;
        }
        let file = fs_err::OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&path)?;
        let mut file = Append::new(file.into_parts().0, path, *length);
        file.buffer().extend_from_slice(lines);
        file.flush(b"")?;
        *length = file.end();
        Ok(())
    }

    /// The position of the run. From now on everything recorded before survives a crash of the machine.
    pub(super) fn position(&mut self, time: u64) -> Result<Position> {
        self.save()?;
        for key in std::mem::take(&mut self.unsynced) {
            fs_err::File::open(self.run_dir.join("metrics").join(key))?.sync_data()?;
        }
        let params = files_below(&self.run_dir.join("params"))?.into_keys().collect();
        Ok(Position { run: self.run_id(), metrics: self.lengths.clone(), params, time })
    }

    /// Opens the run of a position and removes everything recorded after it. Returns false if the run is missing.
    pub(super) fn resume(&mut self, to: &Position) -> Result<bool> {
        let Ok(experiment) = meta::experiment_of(&self.root, &to.run) else {
            position::misfit(&self.root, &format!("the run `{}` is missing", to.run));
            return Ok(false);
        };
        let mut store = Self::existing(&self.root, &experiment, &to.run, &self.logger, self.strict)?;
        store.cut(to)?;
        let fresh = std::mem::replace(self, store);
        if fresh.untouched && fresh.run_dir != self.run_dir {
            fs_err::remove_dir_all(&fresh.run_dir)?;
        }
        Ok(true)
    }

    fn cut(&mut self, to: &Position) -> Result<()> {
        for (key, path) in files_below(&self.run_dir.join("metrics"))? {
            match to.metrics.get(&key) {
                None => {
                    fs_err::remove_file(path)?;
                    self.lengths.remove(&key);
                }
                Some(&length) if self.lengths.get(&key).is_some_and(|found| *found >= length) => {
                    fs_err::OpenOptions::new().write(true).open(&path)?.set_len(length)?;
                    self.lengths.insert(key, length);
                }
                Some(_) => position::misfit(&path, "it is shorter than at the checkpoint"),
            }
        }
        for (key, path) in files_below(&self.run_dir.join("params"))? {
            if !to.params.contains(&key) {
                fs_err::remove_file(path)?;
            }
        }
        let images = self.artifacts.as_ref().map(|folder| folder.join("images")).filter(|folder| folder.is_dir());
        for (name, path) in images.map_or_else(|| Ok(BTreeMap::new()), |images| files_below(&images))? {
            if image_time(&name).is_some_and(|time| time > to.time) {
                fs_err::remove_file(path)?;
            }
        }
        self.apply(&Entry::Status { status: RunStatus::Running, end: None })
    }
}

fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs_err::create_dir_all(folder)?;
    }
    Ok(Replacement::new(path)?.commit_bytes(bytes)?)
}

/// All files below a folder, by relative path with parts joined by `/`.
pub(super) fn files_below(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let (mut found, mut open) = (BTreeMap::new(), vec![(String::new(), folder.to_owned())]);
    while let Some((prefix, folder)) = open.pop() {
        for entry in fs_err::read_dir(folder)? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                open.push((format!("{name}/"), entry.path()));
            } else {
                found.insert(name, entry.path());
            }
        }
    }
    Ok(found)
}

/// Removes an incomplete last line. Returns the length of the file.
fn cut_half_line(path: &Path) -> Result<u64> {
    let mut file = BufReader::new(fs_err::File::open(path)?);
    let (mut whole, mut line) = (0, Vec::new());
    loop {
        line.clear();
        let length = file.read_until(b'\n', &mut line)? as u64;
        if !line.ends_with(b"\n") {
            if length > 0 {
                fs_err::OpenOptions::new().write(true).open(path)?.set_len(whole)?;
            }
            return Ok(whole);
        }
        whole += length;
    }
}
