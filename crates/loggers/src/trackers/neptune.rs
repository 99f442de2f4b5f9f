//! Neptune's format for offline runs.

mod operation;
mod queue;
mod read_back;
mod replay;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use operation::{Entry, Operation, Picture};
use queue::Queue;
pub use read_back::{NeptuneRun, Point, StoredFile};
pub use replay::Replayed;
use serde_json::Value;
use stormfire_store::files::link_or_copy;
use stormfire_store::folder::absolute;

use crate::parts::identity::now_s;
use crate::parts::model_log::ModelLog;
use crate::parts::position;
use crate::value::number;
use crate::{
    Artifact, Audio, CheckpointInfo, Figure, FigureFormat, Graph, Hyperparams, Image, LogModel, Logger, Metrics, Result, Scalar, Status,
    Table, Text,
};

/// Writes a run in the offline format of the Neptune client 1.x.
///
/// **Neptune's service ended in March 2026.** Nothing can be sent to it, and this logger sends nothing. Its constructor
/// logs a warning. Its files can be read by Neptune's own client (1.14), by [`NeptuneRun`], and by `stormfire convert`,
/// which replays a run into another logger. For a new project, choose another logger.
///
/// The folder is `.neptune/offline/run__ID__PID__RANDOM` below `save_dir`. The attributes have the names of Lightning's
/// logger:
///
/// | value | attribute |
/// |---|---|
/// | hyperparameters | `training/hyperparams/KEY`, nested keys joined with `/` |
/// | metrics | `training/NAME`, a series. NaN and the infinities are skipped with one warning, as in Neptune's client. |
/// | images, drawings in PNG, texts | `training/TAG`, a series |
/// | sounds, tables, drawings in SVG | `training/TAG/STEP`, a file |
/// | a model | `training/model/checkpoints/NAME`. Its file is linked into the folder, so it stays if the original is removed. |
/// | another artifact | `training/artifacts/FOLDER/NAME`, a copy |
/// | status, best checkpoint, graph | `training/status`, `training/model/best_model_path`, `best_model_score`, `summary` |
///
/// ```
/// use stormfire_loggers::{Logger, NeptuneLogger, NeptuneRun, Status};
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let mut logger = NeptuneLogger::new(folder).run_name("first").tag("mnist");
/// logger.log_metrics(&[("loss", 0.5)].into(), Some(49))?;
/// logger.finalize(Status::Success)?;
/// let run = NeptuneRun::read(logger.log_dir().unwrap_or_default())?;
/// assert_eq!(run.metrics()["training/loss"][0].value, 0.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct NeptuneLogger {
    save_dir: PathBuf,
    run_name: Option<String>,
    tags: Vec<String>,
    prefix: String,
    id: String,
    folder: PathBuf,
    /// The folder belongs to a run that will be resumed: nothing is created in it.
    is_waiting: bool,
    queue: Option<Queue>,
    /// Metrics with a skipped value.
    left_out: BTreeSet<String>,
    models: ModelLog,
}

impl NeptuneLogger {
    /// A new run below `save_dir`. Creates nothing yet. A warning reports that the service has ended.
    pub fn new(save_dir: impl Into<PathBuf>) -> Self {
        tracing::warn!(
            "Neptune's service ended in March 2026: the run is written to the disk and cannot be sent; `stormfire convert` sends it to another tracker"
        );
        Self::below(save_dir.into())
    }

    fn below(save_dir: PathBuf) -> Self {
        let mut logger = Self {
            save_dir,
            run_name: None,
            tags: Vec::new(),
            prefix: "training".to_owned(),
            id: String::new(),
            folder: PathBuf::new(),
            is_waiting: false,
            queue: None,
            left_out: BTreeSet::new(),
            models: ModelLog::new(LogModel::None),
        };
        logger.take_new_folder();
        logger
    }

    fn take_new_folder(&mut self) {
        let (id, name) = queue::names();
        (self.folder, self.id, self.is_waiting) = (self.runs().join(name), id, false);
    }

    /// The folder of all runs.
    fn runs(&self) -> PathBuf {
        self.save_dir.join(".neptune/offline")
    }

    /// Sets the name of the run, `sys/name`. Default: none.
    pub fn run_name(mut self, name: impl Into<String>) -> Self {
        self.run_name = Some(name.into());
        self
    }

    /// Adds a tag.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Sets the namespace of all attributes. Default: `training`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets which checkpoints are stored in the folder. Default: none.
    pub fn log_model(mut self, which: LogModel) -> Self {
        self.models = ModelLog::new(which);
        self
    }

    fn queue(&mut self) -> Result<&mut Queue> {
        let queue = if let Some(queue) = self.queue.take() {
            queue
        } else {
            if self.is_waiting {
                self.take_new_folder();
            }
            self.folder = absolute(&self.folder)?;
            Queue::create(&self.folder, &self.id)?
        };
        Ok(self.queue.insert(queue))
    }

    /// The queue. Writes the properties of the run at the first call.
    fn begin(&mut self) -> Result<&mut Queue> {
        let name = self.run_name.clone();
        let tags = self.tags.clone();
        let queue = self.queue()?;
        if queue.is_new() {
            let sys = |name: &str| vec!["sys".to_owned(), name.to_owned()];
            if let Some(value) = name {
                queue.put(Operation::AssignString { path: sys("name"), value })?;
            }
            if !tags.is_empty() {
                queue.put(Operation::AddStrings { path: sys("tags"), values: tags })?;
            }
            queue.put(Operation::AssignBool { path: sys("failed"), value: false })?;
        }
        Ok(queue)
    }

    fn put(&mut self, operation: Operation) -> Result<()> {
        self.begin()?.put(operation)
    }

    fn path(&self, name: &str) -> Vec<String> {
        let parts = self.prefix.split('/').chain(name.split('/'));
        parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    fn assign(&mut self, name: &str, value: Scalar) -> Result<()> {
        let path = self.path(name);
        self.put(match value {
            Scalar::Bool(value) => Operation::AssignBool { path, value },
            Scalar::Int(value) => Operation::AssignInt { path, value },
            Scalar::Float(value) if value.is_finite() => Operation::AssignFloat { path, value },
            Scalar::Text(value) => Operation::AssignString { path, value },
            // As `stringify_unsupported` of Neptune's client.
            Scalar::Null => Operation::AssignString { path, value: "None".to_owned() },
            Scalar::Float(value) => Operation::AssignString { path, value: value.to_string() },
        })
    }

    /// Stores a file from bytes. An attribute contains one file, so each step has a separate attribute.
    fn upload_bytes(&mut self, name: &str, step: Option<u64>, extension: &str, bytes: &[u8]) -> Result<()> {
        let name = step.map_or_else(|| name.to_owned(), |step| format!("{name}/{step}"));
        let path = self.path(&name);
        let queue = self.begin()?;
        let (place, tmp_file_name) = queue.upload(&path, extension);
        fs_err::write(place, bytes)?;
        queue.put(uploaded(path, extension, tmp_file_name))
    }

    /// Stores a file as an attribute. A model's file is never modified, so a link suffices.
    fn upload_file(&mut self, name: &str, file: &Path, link: bool) -> Result<()> {
        let extension = file.extension().unwrap_or_default().to_string_lossy().into_owned();
        let path = self.path(name);
        let queue = self.begin()?;
        let (place, tmp_file_name) = queue.upload(&path, &extension);
        if link {
            // A resumed run counts its files again from the checkpoint, so a link of that name may exist.
            link_or_copy(file, &place)?;
        } else {
            fs_err::copy(file, &place)?;
        }
        queue.put(uploaded(path, &extension, tmp_file_name))
    }

    fn picture(&mut self, tag: &str, png: &[u8], step: Option<u64>) -> Result<()> {
        let value = Picture { data: BASE64_STANDARD.encode(png), name: Some(tag.to_owned()), description: None };
        let path = self.path(tag);
        self.put(Operation::LogImages { path, values: vec![entry(value, step)] })
    }
}

fn uploaded(path: Vec<String>, extension: &str, tmp_file_name: String) -> Operation {
    let (ext, tmp_file_name) = (extension.to_owned(), Some(tmp_file_name));
    Operation::UploadFile { path, ext, file_path: None, tmp_file_name, clean_after_upload: false }
}

fn entry<T>(value: T, step: Option<u64>) -> Entry<T> {
    Entry { value, step: step.map(|step| step as f64), ts: now_s() }
}

impl fmt::Debug for NeptuneLogger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NeptuneLogger").field("folder", &self.folder).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Logger for NeptuneLogger {
    /// The name of the run. Default: `offline-name`, as in Lightning.
    fn name(&self) -> &str {
        self.run_name.as_deref().unwrap_or("offline-name")
    }

    /// The id of the run.
    fn version(&self) -> String {
        self.id.clone()
    }

    fn save_dir(&self) -> Option<PathBuf> {
        Some(self.save_dir.clone())
    }

    fn log_dir(&self) -> Option<PathBuf> {
        Some(self.folder.clone())
    }

    fn log_dirs(&self) -> Result<Option<Vec<PathBuf>>> {
        let entries = std::fs::read_dir(self.runs()).into_iter().flatten().flatten();
        Ok(Some(entries.map(|entry| entry.path()).collect()))
    }

    fn another(&self) -> Option<Box<dyn Logger>> {
        let mut another = Self::below(self.save_dir.clone());
        (another.run_name, another.tags, another.prefix) = (self.run_name.clone(), self.tags.clone(), self.prefix.clone());
        another.models = self.models.another();
        Some(Box::new(another))
    }

    fn will_resume(&mut self, position: &Value) {
        let Ok((id, position)) = crate::value::json::from_value::<(String, queue::Position)>(position.clone()) else { return };
        if position.folder.is_dir() {
            (self.id, self.folder, self.is_waiting) = (id, position.folder, true);
        }
    }

    fn open(&mut self) -> Result<()> {
        if self.is_waiting { Ok(()) } else { self.queue().map(drop) }
    }

    fn log_metrics(&mut self, metrics: &Metrics, step: Option<u64>) -> Result<()> {
        for (name, value) in metrics.iter() {
            if value.is_finite() {
                let values = vec![entry(number::shortest(value), step)];
                let path = self.path(name);
                self.put(Operation::LogFloats { path, values })?;
            } else if self.left_out.insert(name.to_owned()) {
                tracing::warn!("Neptune's format does not support {value}, the value of `{name}`; such values are skipped");
            }
        }
        Ok(())
    }

    /// Skips initial metrics, because their first real values will follow.
    fn log_hyperparams(&mut self, params: &Hyperparams, _initial_metrics: &Metrics) -> Result<()> {
        params.flatten("/").into_iter().try_for_each(|(name, value)| self.assign(&format!("hyperparams/{name}"), value))
    }

    fn log_image(&mut self, tag: &str, image: &Image, step: Option<u64>) -> Result<()> {
        self.picture(tag, &image.to_png()?, step)
    }

    fn log_text(&mut self, tag: &str, text: &Text, step: Option<u64>) -> Result<()> {
        let values = vec![entry(text.markdown.clone(), step)];
        let path = self.path(tag);
        self.put(Operation::LogStrings { path, values })
    }

    fn log_audio(&mut self, tag: &str, audio: &Audio, step: Option<u64>) -> Result<()> {
        self.upload_bytes(tag, step, "wav", &audio.to_wav()?)
    }

    fn log_figure(&mut self, tag: &str, figure: &Figure, step: Option<u64>) -> Result<()> {
        match figure.format() {
            FigureFormat::Png => self.picture(tag, figure.bytes(), step),
            FigureFormat::Svg => self.upload_bytes(tag, step, "svg", figure.bytes()),
        }
    }

    fn log_table(&mut self, tag: &str, table: &Table, step: Option<u64>) -> Result<()> {
        self.upload_bytes(tag, step, "csv", &table.to_csv()?)
    }

    fn log_artifact(&mut self, artifact: &Artifact) -> Result<()> {
        let is_model = artifact.is_model();
        let place = if is_model { "model/checkpoints".to_owned() } else { format!("artifacts/{}", artifact.folder()) };
        let name = artifact.name();
        // The attribute's name has no extension. The file keeps its own.
        let name = Path::new(name).file_stem().filter(|_| !artifact.path().is_dir()).map_or(name.into(), |stem| stem.to_string_lossy());
        for (file, below) in artifact.files()? {
            let attribute = if artifact.path().is_dir() { format!("{place}/{name}/{below}") } else { format!("{place}/{name}") };
            self.upload_file(&attribute, &file, is_model)?;
        }
        let mut known = artifact.known().clone();
        if !artifact.aliases().is_empty() {
            known.insert("aliases".to_owned(), artifact.aliases().into());
        }
        if known.is_empty() {
            Ok(())
        } else {
            self.assign(&format!("{place}_metadata/{name}"), Scalar::Text(Value::from(known).to_string()))
        }
    }

    fn log_graph(&mut self, graph: &Graph) -> Result<()> {
        self.upload_bytes("model/summary", None, "txt", graph.to_text().as_bytes())
    }

    fn save(&mut self) -> Result<()> {
        self.queue.as_mut().map_or(Ok(()), Queue::flush)
    }

    fn finalize(&mut self, status: Status) -> Result<()> {
        self.models.ended().iter().try_for_each(|model| self.log_artifact(model))?;
        let name = match status {
            Status::Success => "success",
            Status::Failed => "failed",
            Status::Interrupted => "interrupted",
        };
        if self.queue.as_ref().is_none_or(Queue::is_new) {
            return Ok(());
        }
        self.assign("status", Scalar::Text(name.to_owned()))?;
        self.put(Operation::AssignBool { path: vec!["sys".to_owned(), "failed".to_owned()], value: status == Status::Failed })?;
        self.save()
    }

    fn position(&mut self) -> Result<Value> {
        position::save(&(self.id.clone(), self.begin()?.position()?))
    }

    fn position_names_run(&self) -> bool {
        true
    }

    fn resume(&mut self, position: Value) -> Result<()> {
        let Some((id, position)) = position::load::<(String, queue::Position)>(position, &self.folder) else { return Ok(()) };
        match Queue::reopen(&position)? {
            Some(queue) => {
                if let Some(opened) = self.queue.replace(queue) {
                    opened.close()?;
                }
                (self.id, self.folder, self.is_waiting) = (id, position.folder, false);
            }
            None => position::misfit(&position.folder, "the folder of the Neptune run is missing or was truncated"),
        }
        Ok(())
    }

    fn knows_checkpoint(&mut self, checkpoint: &CheckpointInfo) -> Result<()> {
        self.models.known(checkpoint);
        Ok(())
    }

    fn after_save_checkpoint(&mut self, checkpoint: &CheckpointInfo) -> Result<()> {
        self.models.saved(checkpoint).iter().try_for_each(|model| self.log_artifact(model))?;
        if !checkpoint.is_best {
            return Ok(());
        }
        self.assign("model/best_model_path", Scalar::Text(checkpoint.path.display().to_string()))?;
        checkpoint.score.map_or(Ok(()), |score| self.assign("model/best_model_score", Scalar::Float(score)))
    }
}

impl Drop for NeptuneLogger {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.queue.take().map(Queue::close) {
            tracing::error!(%error, "the last operations could not be saved");
        }
    }
}
