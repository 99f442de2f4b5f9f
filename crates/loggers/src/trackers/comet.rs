//! The Comet logger.

mod batch;
mod carrier;
mod histogram;
mod journal;
mod message;
mod offline;
mod resume;
mod setup;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use carrier::Destination;
use journal::{Facts, Journal};
use message::{FileKind, FileNote, Message};
use serde_json::Value;
use stormfire_store::folder::absolute;

use crate::logger::LONGEST_CALL;
use crate::network::address::{check_server, without_login};
use crate::network::outbox;
use crate::parts::model_log::ModelLog;
use crate::parts::random::random_hex;
use crate::{
    Artifact, Audio, CheckpointInfo, ConsoleStream, DEFAULT_NAME, Delivery, Figure, FigureFormat, Graph, Histogram, Hyperparams, Image,
    LogModel, Logger, Metrics, Patience, Result, Secret, Status, Table, Text,
};

/// Sends a run to [Comet](https://www.comet.com), or writes an archive for `comet upload`.
///
/// With an API key (an argument or `COMET_API_KEY`) the logger is online, without one it is offline, as in Lightning.
/// `offline` overrides this. These environment variables are the defaults of the settings with the same names:
/// `COMET_WORKSPACE`, `COMET_PROJECT_NAME`, `COMET_EXPERIMENT_KEY`, `COMET_URL_OVERRIDE`, `COMET_OFFLINE_DIRECTORY`.
///
/// * **Online**, records wait on the disk until the server has accepted them (`.stormfire/comet/KEY` below `save_dir`).
///   A slow or unreachable server does not slow down the run. The requests are those of Comet's own client.
/// * **Offline**, messages are appended to the folder `KEY`. [`finalize`](Logger::finalize) creates `KEY.zip` in the
///   same folder. [`CometLogger::pack`] does so for a killed run.
/// * **Metrics**: `epoch` becomes the epoch of the other metrics, as in Lightning. `prefix_` precedes the names.
///   Numbers are the shortest decimals that read back equal, as in `metrics.csv`.
/// * **Nested hyperparameters** have their keys joined by `|`.
/// * **Media**: images and figures are graphics, tables are CSV files, sounds are WAV files. An artifact of the kind
///   `model` is a model with the name of the artifact, any other artifact is a file.
/// * **Checkpoints** become models if [`log_model`](CometLogger::log_model) enables it.
/// * **A resumed run** continues the same experiment. Records that the server has are not sent again.
///
/// ```
/// use stormfire_loggers::{CometLogger, Hyperparams, Logger, Metrics, Status};
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let mut logger = CometLogger::new().offline(true).save_dir(folder).project("mnist").experiment_name("first");
/// let mut params = Hyperparams::new();
/// params.insert("lr", 1e-3)?;
/// logger.log_hyperparams(&params, &Metrics::new())?;
/// logger.log_metrics(&[("loss", 0.5), ("epoch", 0.0)].into(), Some(49))?;
/// logger.finalize(Status::Success)?;
/// let archive = folder.join(format!("{}.zip", logger.version()));
/// assert!(archive.exists(), "send it with `comet upload`");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[expect(clippy::struct_excessive_bools, reason = "each says one thing about the run")]
pub struct CometLogger {
    api_key: Option<Secret>,
    offline: Option<bool>,
    server: String,
    workspace: Option<String>,
    project: String,
    key: String,
    /// Whether the key was given. Otherwise it is random.
    own_key: bool,
    experiment_name: Option<String>,
    tags: Vec<String>,
    prefix: String,
    save_dir: Option<PathBuf>,
    strict: bool,
    /// Time that the end of a run waits without progress of the delivery.
    patience: Patience,
    /// The experiment of the key will be resumed: it is not changed before.
    is_waiting: bool,
    limit: u64,
    journal: Option<Journal>,
    /// Whether the name, tags and other properties were sent.
    begun: bool,
    models: ModelLog,
    epoch: Option<i64>,
}

impl Default for CometLogger {
    fn default() -> Self {
        Self::new()
    }
}

impl CometLogger {
    /// An experiment with a new key, in the project `lightning_logs`. Creates and sends nothing yet.
    pub fn new() -> Self {
        let from = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let key = from("COMET_EXPERIMENT_KEY");
        Self {
            api_key: Secret::from_env(carrier::API_KEY),
            offline: None,
            server: from("COMET_URL_OVERRIDE")
                .map_or_else(|| "https://www.comet.com/clientlib/".to_owned(), |address| without_login(&address, "Comet")),
            workspace: from("COMET_WORKSPACE"),
            project: from("COMET_PROJECT_NAME").unwrap_or_else(|| DEFAULT_NAME.to_owned()),
            own_key: key.is_some(),
            key: key.unwrap_or_else(|| random_hex(32)),
            experiment_name: None,
            tags: Vec::new(),
            prefix: String::new(),
            save_dir: None,
            strict: false,
            patience: Patience::default(),
            is_waiting: false,
            limit: outbox::LIMIT,
            journal: None,
            begun: false,
            models: ModelLog::new(LogModel::None),
            epoch: None,
        }
    }

    /// The key of the experiment, which is also the [`version`](Logger::version).
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The path of the archive. `None` online or before the first value.
    pub fn archive(&self) -> Option<PathBuf> {
        self.journal.as_ref()?.archive()
    }

    /// Creates the archive of a killed offline run from its folder `KEY`. Returns its path, `KEY.zip` next to the
    /// folder. The folder stays. An incomplete message at its end is skipped.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the folder does not contain a run, or the archive cannot be written.
    pub fn pack(folder: impl AsRef<Path>) -> Result<PathBuf> {
        offline::pack(folder.as_ref())
    }

    /// Records a fact that is not a hyperparameter, such as a result. A later value of the key replaces it.
    pub fn log_other(&mut self, key: impl Into<String>, value: impl Into<Value>) -> Result<()> {
        let (key, value) = (key.into(), value.into());
        self.tell(|message_id| Message::LogOther { key, value, message_id })
    }

    fn is_offline(&self) -> bool {
        self.offline.unwrap_or(self.api_key.is_none())
    }

    fn facts(&self) -> Result<Facts> {
        carrier::check_key(&self.key)?;
        check_server("CometLogger", "server", &self.server)?;
        let api_key = if self.is_offline() { None } else { Some(self.api_key.clone().ok_or_else(|| carrier::missing_key(&self.project))?) };
        Ok(Facts {
            key: self.key.clone(),
            own_key: self.own_key,
            project: self.project.clone(),
            workspace: self.workspace.clone(),
            tags: self.tags.clone(),
            server: carrier::server(&self.server).to_owned(),
            api_key,
            strict: self.strict,
            patience: self.patience.clone(),
            limit: self.limit,
        })
    }

    /// The folder for archives, or for waiting records.
    fn base(&self) -> PathBuf {
        match (&self.save_dir, self.is_offline()) {
            (Some(folder), true) => folder.clone(),
            (None, true) => std::env::var_os("COMET_OFFLINE_DIRECTORY").map_or_else(|| ".cometml-runs".into(), PathBuf::from),
            (folder, false) => folder.clone().unwrap_or_default().join(".stormfire/comet"),
        }
    }

    fn journal(&mut self) -> Result<&mut Journal> {
        let journal = match self.journal.take() {
            Some(journal) => journal,
            None => Journal::open(&absolute(&self.base())?.join(&self.key), &self.facts()?)?,
        };
        Ok(self.journal.insert(journal))
    }

    /// The journal. Sends the properties of the run at the first call.
    fn begin(&mut self) -> Result<&mut Journal> {
        if !self.begun {
            let (name, tags) = (self.experiment_name.clone(), self.tags.clone());
            let journal = self.journal()?;
            journal.push_tags(&tags)?;
            let other = |key: &str, value: Value| (key.to_owned(), value);
            let name = name.map(|name| other("Name", name.into()));
            for (key, value) in name.into_iter().chain([other("Created from", "stormfire".into())]) {
                journal.push(|message_id| Message::LogOther { key, value, message_id })?;
            }
            self.begun = true;
        }
        self.journal()
    }

    fn tell(&mut self, message: impl FnOnce(u64) -> Message) -> Result<()> {
        self.begin()?.push(message)
    }

    fn tell_file(&mut self, mut note: FileNote, bytes: &[u8]) -> Result<()> {
        note.epoch = self.epoch;
        self.begin()?.push_bytes(note, bytes)
    }
}

impl fmt::Debug for CometLogger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { api_key, project, key, save_dir, .. } = self;
        let mut shown = f.debug_struct("CometLogger");
        shown.field("api_key", api_key).field("project", project).field("key", key).field("save_dir", save_dir);
        shown.finish_non_exhaustive()
    }
}

impl Logger for CometLogger {
    /// The name of the project.
    fn name(&self) -> &str {
        &self.project
    }

    /// The key of the experiment.
    fn version(&self) -> String {
        self.key.clone()
    }

    /// Includes the [`patience`](Self::patience) for an unreachable server.
    fn longest_call(&self) -> Duration {
        LONGEST_CALL + self.patience.time()
    }

    fn save_dir(&self) -> Option<PathBuf> {
        self.save_dir.clone()
    }

    fn another(&self) -> Option<Box<dyn Logger>> {
        let mut another = Self::new();
        (another.api_key, another.offline, another.server) = (self.api_key.clone(), self.offline, self.server.clone());
        (another.workspace, another.project, another.tags) = (self.workspace.clone(), self.project.clone(), self.tags.clone());
        (another.experiment_name, another.prefix) = (self.experiment_name.clone(), self.prefix.clone());
        (another.save_dir, another.strict, another.patience) = (self.save_dir.clone(), self.strict, self.patience.clone());
        another.limit = self.limit;
        another.models = self.models.another();
        // A given key belongs to the first run.
        (another.key, another.own_key) = (random_hex(32), false);
        Some(Box::new(another))
    }

    fn will_resume(&mut self, position: &Value) {
        if let Some(key) = resume::key_of(position)
            && (!self.own_key || self.key == key)
        {
            (self.key, self.is_waiting) = (key, true);
        }
    }

    fn check(&self) -> Result<()> {
        self.facts().map(drop)
    }

    fn open(&mut self) -> Result<()> {
        let folder = if self.is_offline() { self.base() } else { self.save_dir.clone().unwrap_or_default() };
        self.save_dir = Some(absolute(&folder)?);
        if self.is_waiting { self.facts().map(drop) } else { self.journal().map(drop) }
    }

    fn log_metrics(&mut self, metrics: &Metrics, step: Option<u64>) -> Result<()> {
        if let Some(epoch) = metrics.get("epoch").filter(|epoch| epoch.is_finite()) {
            self.epoch = Some(epoch as i64);
        }
        let (epoch, prefix) = (self.epoch, self.prefix.clone());
        let journal = self.begin()?;
        for (name, value) in metrics.iter().filter(|(name, _)| *name != "epoch") {
            let name = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}_{name}") };
            journal.push(|id| Message::metric(name, value, step, epoch, id))?;
        }
        Ok(())
    }

    /// Skips initial metrics, because their first real values will follow.
    fn log_hyperparams(&mut self, params: &Hyperparams, _initial_metrics: &Metrics) -> Result<()> {
        let journal = self.begin()?;
        if params.iter().any(|(_, value)| value.as_object().is_some_and(|inner| !inner.is_empty())) {
            let key = "hasNestedParams".to_owned();
            journal.push(|message_id| Message::LogOther { key, value: true.into(), message_id })?;
        }
        for (name, value) in params.flatten("|") {
            journal.push(|id| Message::param(name, &value, id))?;
        }
        Ok(())
    }

    /// Appears as the output of the experiment.
    fn log_console(&mut self, stream: ConsoleStream, lines: &str) -> Result<()> {
        let output = format!("{}\n", lines.trim_end_matches('\n'));
        let (local_timestamp, stderr) = (crate::parts::identity::now_ms(), stream == ConsoleStream::Stderr);
        self.tell(|message_id| Message::StandardOutput { local_timestamp, output, stderr, message_id })
    }

    fn log_image(&mut self, tag: &str, image: &Image, step: Option<u64>) -> Result<()> {
        let png = image.to_png()?;
        let note = FileNote::new(FileKind::Visualization, tag, step).about("extension", "png").about("figCounter", 0);
        self.tell_file(note, &png)
    }

    fn log_histogram(&mut self, tag: &str, histogram: &Histogram, step: Option<u64>) -> Result<()> {
        let json = histogram::of(histogram).to_string();
        self.tell_file(FileNote::new(FileKind::Histogram3d, tag, step), json.as_bytes())
    }

    /// A text sample, with the tag in its metadata.
    fn log_text(&mut self, tag: &str, text: &Text, step: Option<u64>) -> Result<()> {
        let mut note = FileNote::new(FileKind::TextSample, "auto-generated-in-the-backend", step);
        note.metadata.insert("tag".to_owned(), tag.into());
        self.tell_file(note, text.markdown.as_bytes())
    }

    fn log_audio(&mut self, tag: &str, audio: &Audio, step: Option<u64>) -> Result<()> {
        let wav = audio.to_wav()?;
        let note = FileNote::new(FileKind::Audio, format!("{tag}.wav"), step).about("sampleRate", audio.sample_rate());
        self.tell_file(note, &wav)
    }

    fn log_figure(&mut self, tag: &str, figure: &Figure, step: Option<u64>) -> Result<()> {
        let extension = if figure.format() == FigureFormat::Svg { "svg" } else { "png" };
        let note = FileNote::new(FileKind::Visualization, tag, step).about("extension", extension).about("figCounter", 0);
        self.tell_file(note, figure.bytes())
    }

    fn log_table(&mut self, tag: &str, table: &Table, step: Option<u64>) -> Result<()> {
        let csv = table.to_csv()?;
        self.tell_file(FileNote::new(FileKind::Asset, format!("{tag}.csv"), step), &csv)
    }

    fn log_artifact(&mut self, artifact: &Artifact) -> Result<()> {
        let is_model = artifact.is_model();
        let files = artifact.files()?;
        let journal = self.begin()?;
        for (path, below) in files {
            let mut note = if is_model {
                let group = if artifact.folder().is_empty() { artifact.name() } else { artifact.folder() };
                FileNote { group: Some(group.to_owned()), ..FileNote::new(FileKind::ModelElement, below, None) }
            } else {
                let parts = [artifact.folder(), if artifact.path().is_dir() { artifact.name() } else { "" }, &below];
                let name = parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("/");
                FileNote::new(FileKind::Asset, name, None)
            };
            note.metadata.clone_from(artifact.known());
            if !is_model {
                note.metadata.insert("kind".to_owned(), artifact.kind_name().into());
            }
            if !artifact.aliases().is_empty() {
                note.metadata.insert("aliases".to_owned(), artifact.aliases().into());
            }
            journal.push_file(note, &path, is_model)?;
        }
        Ok(())
    }

    fn log_graph(&mut self, graph: &Graph) -> Result<()> {
        let graph = graph.to_text();
        self.tell(|message_id| Message::Graph { graph, message_id })
    }

    fn delivery(&self) -> Option<Delivery> {
        self.journal.as_ref()?.delivery()
    }

    fn save(&mut self) -> Result<()> {
        self.journal.as_mut().map_or(Ok(()), Journal::flush)
    }

    /// Creates the archive, or waits for the server, for at most [`patience`](CometLogger::patience) (30 s by default)
    /// without progress.
    fn finalize(&mut self, status: Status) -> Result<()> {
        self.models.ended().iter().try_for_each(|model| self.log_artifact(model))?;
        match &mut self.journal {
            Some(journal) if self.begun => journal.end(status),
            _ => Ok(()),
        }
    }

    fn knows_checkpoint(&mut self, checkpoint: &CheckpointInfo) -> Result<()> {
        self.models.known(checkpoint);
        Ok(())
    }

    fn after_save_checkpoint(&mut self, checkpoint: &CheckpointInfo) -> Result<()> {
        self.models.saved(checkpoint).iter().try_for_each(|model| self.log_artifact(model))
    }

    fn position(&mut self) -> Result<Value> {
        self.take_position()
    }

    fn position_names_run(&self) -> bool {
        true
    }

    fn resume(&mut self, position: Value) -> Result<()> {
        self.go_back(position)
    }
}

impl Drop for CometLogger {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.journal.take().map(Journal::close) {
            tracing::error!(logger = self.project, %error, "the last records could not be saved");
        }
    }
}
