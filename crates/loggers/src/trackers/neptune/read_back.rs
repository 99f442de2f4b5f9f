//! Reads a run back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

use super::operation::{Entry, Operation};
use super::queue;
use crate::{Hyperparams, Result};

/// The attribute with the status of a run in Lightning's logger.
pub(super) const STATUS: &str = "training/status";

/// A point of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Point<T = f64> {
    /// The logged value.
    pub value: T,
    /// The step. `None` if no step was given, so that Neptune counted.
    pub step: Option<f64>,
    /// Seconds since 1970.
    pub time: f64,
}

/// A file of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Its path in the folder of the run, or its original path.
    pub path: PathBuf,
    /// Its extension, without a dot.
    pub extension: String,
}

/// A run that Neptune's client 1.x or [`NeptuneLogger`](crate::NeptuneLogger) has written to the disk offline. It
/// contains the result of all operations. Names of attributes are paths with `/`.
///
/// [`NeptuneRun::replay`] passes everything to another logger.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NeptuneRun {
    assigned: Map<String, Value>,
    tags: BTreeMap<String, Vec<String>>,
    metrics: BTreeMap<String, Vec<Point>>,
    texts: BTreeMap<String, Vec<Point<String>>>,
    images: BTreeMap<String, Vec<Point<Vec<u8>>>>,
    files: BTreeMap<String, StoredFile>,
    not_understood: usize,
}

impl NeptuneRun {
    /// Reads the folder of a run, such as `.neptune/offline/run__ID__PID__RANDOM`. An incomplete operation at the end
    /// is skipped.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the folder does not contain a run, or a file in it is damaged.
    pub fn read(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let mut run = Self::default();
        queue::read(folder, |operation| run.apply(folder, operation))?;
        Ok(run)
    }

    /// The folders of the runs below a folder, sorted by name: the folder itself, if it contains a run, or those in it,
    /// in its `offline` folder, or in its `.neptune/offline` folder.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the folder contains no run, or cannot be read.
    pub fn find(folder: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
        let folder = folder.as_ref();
        if queue::is_run(folder)? {
            return Ok(vec![folder.to_owned()]);
        }
        let mut found = Vec::new();
        for place in ["", "offline", ".neptune/offline"].map(|below| folder.join(below)).iter().filter(|place| place.is_dir()) {
            for entry in fs_err::read_dir(place)? {
                let path = entry?.path();
                if path.is_dir() && queue::is_run(&path)? {
                    found.push(path);
                }
            }
        }
        if found.is_empty() {
            return Err(queue::no_run(folder));
        }
        found.sort();
        Ok(found)
    }

    /// Single values of every kind, in the order in which they were first set. Times are milliseconds since 1970.
    pub const fn assigned(&self) -> &Map<String, Value> {
        &self.assigned
    }

    /// The run's name.
    pub fn name(&self) -> Option<&str> {
        self.assigned.get("sys/name").and_then(Value::as_str).filter(|name| !name.is_empty())
    }

    /// The run's tags, in order.
    pub fn tags(&self) -> &[String] {
        self.tags.get("sys/tags").map_or(&[], Vec::as_slice)
    }

    /// The settings: single values below a namespace `hyperparams` or `parameters`, with their nesting, and all other
    /// values with their whole path, except those of `sys` and `training/status`.
    pub fn hyperparams(&self) -> Hyperparams {
        let mut values = Map::new();
        for (path, value) in self.assigned.iter().filter(|(path, _)| !path.starts_with("sys/") && *path != STATUS) {
            let parts: Vec<&str> = path.split('/').collect();
            let settings = parts.iter().position(|part| matches!(*part, "hyperparams" | "parameters"));
            insert(&mut values, &parts[settings.map_or(0, |at| at + 1)..], value);
        }
        // A map of plain values is always a map of hyperparameters.
        Hyperparams::from_serialize(&values).unwrap_or_default()
    }

    /// Series of numbers.
    pub const fn metrics(&self) -> &BTreeMap<String, Vec<Point>> {
        &self.metrics
    }

    /// Series of strings, such as printed output.
    pub const fn texts(&self) -> &BTreeMap<String, Vec<Point<String>>> {
        &self.texts
    }

    /// Series of images. Each is a complete file, almost always PNG.
    pub const fn images(&self) -> &BTreeMap<String, Vec<Point<Vec<u8>>>> {
        &self.images
    }

    /// Files. A file pattern stands for the existing files that match it.
    pub const fn files(&self) -> &BTreeMap<String, StoredFile> {
        &self.files
    }

    /// Number of operations of an unsupported kind, such as a tracked data set.
    pub const fn not_understood(&self) -> usize {
        self.not_understood
    }

    fn apply(&mut self, folder: &Path, operation: Operation) {
        match operation {
            Operation::AssignString { path, value } => self.assign(&path, value),
            Operation::AssignFloat { path, value } => self.assign(&path, value),
            Operation::AssignInt { path, value } | Operation::AssignDatetime { path, value } => self.assign(&path, value),
            Operation::AssignBool { path, value } => self.assign(&path, value),
            Operation::AddStrings { path, values } => {
                let known = self.tags.entry(path.join("/")).or_default();
                for value in values {
                    if !known.contains(&value) {
                        known.push(value);
                    }
                }
            }
            Operation::RemoveStrings { path, values } => {
                self.tags.entry(path.join("/")).or_default().retain(|value| !values.contains(value));
            }
            Operation::ClearStringSet { path } => drop(self.tags.remove(&path.join("/"))),
            Operation::LogFloats { path, values } => extend(&mut self.metrics, &path, values, Some),
            Operation::LogStrings { path, values } => extend(&mut self.texts, &path, values, Some),
            Operation::LogImages { path, values } => {
                extend(&mut self.images, &path, values, |picture| BASE64_STANDARD.decode(picture.data).ok());
            }
            Operation::ClearFloatLog { path } => drop(self.metrics.remove(&path.join("/"))),
            Operation::ClearStringLog { path } => drop(self.texts.remove(&path.join("/"))),
            Operation::ClearImageLog { path } => drop(self.images.remove(&path.join("/"))),
            Operation::UploadFile { path, ext, file_path, tmp_file_name, .. } => {
                let place = file_path.map(PathBuf::from).or_else(|| Some(queue::upload_of(folder, &tmp_file_name?)));
                if let Some(place) = place {
                    self.files.insert(path.join("/"), StoredFile { path: place, extension: ext });
                }
            }
            Operation::UploadFileSet { path, file_globs, .. } => self.add_files(&path.join("/"), &file_globs),
            Operation::DeleteAttribute { path } => self.delete(&path.join("/")),
            Operation::Unknown => self.not_understood += 1,
        }
    }

    fn assign(&mut self, path: &[String], value: impl Into<Value>) {
        self.assigned.insert(path.join("/"), value.into());
    }

    /// Finds only complete names. A pattern with `*` would need its original working folder.
    fn add_files(&mut self, attribute: &str, names: &[String]) {
        for place in names.iter().map(Path::new) {
            let Some(name) = place.file_name().filter(|_| place.exists()) else {
                self.not_understood += 1;
                continue;
            };
            let extension = place.extension().unwrap_or_default().to_string_lossy().into_owned();
            self.files.insert(format!("{attribute}/{}", name.to_string_lossy()), StoredFile { path: place.to_owned(), extension });
        }
    }

    fn delete(&mut self, attribute: &str) {
        self.assigned.shift_remove(attribute);
        self.tags.remove(attribute);
        self.metrics.remove(attribute);
        self.texts.remove(attribute);
        self.images.remove(attribute);
        self.files.remove(attribute);
    }
}

fn extend<A, B>(series: &mut BTreeMap<String, Vec<Point<B>>>, path: &[String], entries: Vec<Entry<A>>, value: impl Fn(A) -> Option<B>) {
    let points = entries.into_iter().filter_map(|entry| Some(Point { value: value(entry.value)?, step: entry.step, time: entry.ts }));
    series.entry(path.join("/")).or_default().extend(points);
}

/// Sets a nested value. If a single value is in the way, the rest of the path becomes one key.
fn insert(values: &mut Map<String, Value>, path: &[&str], value: &Value) {
    match path {
        [] => {}
        [name] => drop(values.insert((*name).to_owned(), value.clone())),
        [name, rest @ ..] => match values.entry(*name).or_insert_with(|| Map::new().into()) {
            Value::Object(inner) => insert(inner, rest, value),
            _ => drop(values.insert(path.join("/"), value.clone())),
        },
    }
}
