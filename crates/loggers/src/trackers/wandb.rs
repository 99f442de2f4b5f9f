//! The Weights & Biases logger.

mod artifact;
mod carrier;
mod clock;
mod entry;
mod frame;
mod items;
mod logger;
mod media;
mod offline;
mod online;
mod proto;
mod server_state;
mod settings;
mod setup;
mod sink;
#[cfg(test)]
pub(crate) mod tests;
mod upload;

use std::path::PathBuf;

use artifact::Bundle;
use entry::Entry;
use items::Items;
use media::Media;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use settings::Mode;
pub(crate) use settings::Settings;
use sink::Sink;
use stormfire_store::folder::absolute;
use stormfire_store::names;

use crate::parts::identity::now_s;
use crate::parts::model_log::ModelLog;
use crate::parts::notice::Notice;
use crate::parts::prefix::prefixed;
use crate::parts::rows::{Row, Rows, SavedOpen};
use crate::{Artifact, LogModel, Logger, Metrics, Result};

/// The default x-axis of W&B charts, as in Lightning.
const GLOBAL_STEP: &str = "trainer/global_step";

/// Logs to Weights & Biases: to the service (or your own server), or to a folder for `wandb sync`.
///
/// * **Online** requires an API key: [`api_key`](Self::api_key), `WANDB_API_KEY` or `~/.netrc`. Records stay on the
///   disk, in `save_dir/.stormfire/wandb/ID`, until the server has accepted them. A run that is resumed after a kill
///   overwrites the rows after its checkpoint on the server: they keep their line numbers.
/// * **Offline** ([`offline`](Self::offline) or `WANDB_MODE=offline`) writes `save_dir/wandb/offline-run-DATE_TIME-ID`
///   without network access. `wandb sync` uploads it. The folder contains copies of artifacts. Sync it after the end of
///   the run: while it is open, the end of the file is rewritten continuously.
/// * **One row per step.** Consecutive calls with the same step share a row, including those with media. Several values
///   of one name are reduced, by default to their mean ([`aggregate`](Self::aggregate)). The step is the column
///   `trainer/global_step`, the x-axis of all other columns. The row of the last step stays open until another step or
///   the end of the run, so online it appears then. Each call without a step has a separate row.
/// * **The summary** has the last value of each column, and the values of [`log_summary`](Self::log_summary).
/// * **Media** are files next to the rows. A text is shown unrendered, an SVG drawing as a page. Neighbouring buckets
///   of a histogram with more than 512 buckets are merged, because of W&B's limit.
/// * **The exit code** is 0 for a success, 1 for a failure, and 255 for an interrupted run, which W&B shows as killed.
///
/// The constructor reads these environment variables of W&B's own client: `WANDB_MODE` (`online`, `offline`,
/// `disabled`), `WANDB_API_KEY`, `WANDB_BASE_URL`, `WANDB_PROJECT`, `WANDB_ENTITY`, `WANDB_RUN_GROUP`,
/// `WANDB_JOB_TYPE`, `WANDB_NAME`, `WANDB_NOTES`, `WANDB_TAGS`, `WANDB_RUN_ID`, `WANDB_DIR`. Setters override them.
///
/// ```
/// use stormfire_loggers::{Logger, Status, WandbLogger};
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let mut logger = WandbLogger::new().offline(true).save_dir(folder).project("mnist").id("first");
/// logger.log_metrics(&[("loss", 0.5)].into(), Some(49))?;
/// logger.log_metrics(&[("val_loss", 0.75)].into(), Some(49))?;
/// logger.finalize(Status::Success)?;
/// let run = logger.log_dir().ok_or("no run")?;
/// assert!(run.join("run-first.wandb").exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct WandbLogger {
    settings: Settings,
    rows: Rows,
    state: State,
    models: ModelLog,
    sink: Option<Sink>,
    /// Seconds since 1970. The start of a resumed run is moved back by its earlier running time.
    started: f64,
    ended: Option<i32>,
    renamed: Notice,
}

/// The state of the log that later records depend on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    rows: u64,
    system: u64,
    console: u64,
    config: Map<String, Value>,
    summary: Items,
    /// The media of the open row.
    media: Items,
    /// The time of the last addition to the open row.
    touched: f64,
}

/// See [`Logger::position`].
#[derive(Serialize, Deserialize)]
struct Position {
    id: String,
    runtime: f64,
    state: State,
    open: Option<SavedOpen>,
    place: sink::Position,
}

impl std::fmt::Debug for WandbLogger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WandbLogger").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Default for WandbLogger {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for WandbLogger {
    /// If the run was not ended, this keeps its last row.
    fn drop(&mut self) {
        let kept = match (&self.sink, self.rows.peek()) {
            (Some(Sink::Online(_)), Some(row)) => self.close(&row),
            (Some(Sink::Offline(_)), _) => self.save(),
            _ => Ok(()),
        };
        if let Err(error) = kept {
            tracing::error!(run = self.settings.id, %error, "the last row could not be saved");
        }
    }
}

impl WandbLogger {
    /// A new run of the project `lightning_logs`, online, below the current folder, unless the environment overrides
    /// these. Creates and contacts nothing yet.
    pub fn new() -> Self {
        Self::from_settings(Settings::from_env(|variable| std::env::var(variable).ok()))
    }

    fn from_settings(settings: Settings) -> Self {
        let (rows, state) = (Rows::default(), State::default());
        let models = ModelLog::new(LogModel::None);
        Self { settings, rows, state, models, sink: None, started: 0.0, ended: None, renamed: Notice::default() }
    }

    /// Sets a value of the summary, by which runs are compared. A later row with that name overwrites it.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io), and with [`strict`](Self::strict) the failure of an earlier record.
    pub fn log_summary(&mut self, name: &str, value: impl Into<Value>) -> Result<()> {
        self.begin()?;
        let mut items = Items::default();
        items.set_json(self.named(name), &value.into());
        self.state.summary.update(&items);
        if self.settings.mode == Mode::Online { self.push(Entry::Summary(items)) } else { Ok(()) }
    }

    /// Stores a file with a name among the files of the run. The caller must leave the file in place until the run has
    /// ended.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if it cannot be read, and as [`log_summary`](Self::log_summary).
    pub fn log_file(&mut self, path: impl Into<PathBuf>, name: &str) -> Result<()> {
        self.begin()?;
        let path = path.into();
        fs_err::File::open(&path)?;
        // Two names that differ only in characters that file names cannot contain stay two files.
        let file = name.split('/').filter(|part| !matches!(*part, "" | ".")).map(names::part).collect::<Vec<_>>().join("/");
        self.push(Entry::File {
            name: if file.is_empty() { "file".to_owned() } else { file },
            path: std::path::absolute(path)?,
            media: false,
        })
    }

    /// Reports that the name of an artifact was changed.
    fn tell_name(&mut self, wanted: &str, bundle: &Bundle) {
        let why = "W&B takes letters, digits, `-`, `_` and `.` in the names of artifacts, and 128 of them";
        self.renamed.tell("wandb", wanted, &bundle.name, why);
    }

    fn named(&self, name: &str) -> String {
        let mut named = String::new();
        prefixed(&self.settings.prefix, name, &mut named);
        named
    }

    fn runtime(&self) -> f64 {
        // Microseconds suffice and are shorter.
        ((now_s() - self.started).max(0.0) * 1e6).round() / 1e6
    }

    /// Prepares to log a value.
    fn begin(&mut self) -> Result<()> {
        self.ended = None;
        self.place()
    }

    fn place(&mut self) -> Result<()> {
        if self.sink.is_none() {
            self.settings.check()?;
            if self.started == 0.0 {
                self.started = now_s();
            }
            self.settings.save_dir = absolute(&self.settings.save_dir)?;
            self.sink = Some(Sink::open(&self.settings, self.started)?);
        }
        Ok(())
    }

    fn push(&mut self, entry: Entry) -> Result<()> {
        self.sink.as_mut().map_or(Ok(()), |sink| sink.push(entry))
    }

    /// Adds metrics to the row of a step. Returns the number of the row.
    fn add(&mut self, metrics: &Metrics, step: Option<u64>) -> Result<u64> {
        self.begin()?;
        let complete = self.rows.push(step, metrics);
        if let Some(row) = complete {
            self.close(&row)?;
        }
        self.state.touched = now_s();
        Ok(self.state.rows)
    }

    fn close(&mut self, row: &Row) -> Result<()> {
        let items = self.items(row);
        self.state.media = Items::default();
        self.state.summary.update(&items);
        self.state.summary.set("_step", self.state.rows as f64);
        let line = self.state.rows;
        self.state.rows += 1;
        self.push(Entry::Row { line, items })
    }

    fn items(&self, row: &Row) -> Items {
        let mut items = self.state.media.clone();
        for (name, value) in row.metrics.iter() {
            items.set(self.named(name), value);
        }
        if let Some(step) = row.step {
            items.set(GLOBAL_STEP, step as f64);
        }
        items.set("_timestamp", self.state.touched);
        let runtime = (self.state.touched - self.started).max(0.0);
        items.set("_runtime", (runtime * 1e6).round() / 1e6);
        items
    }

    fn keep_models(&mut self, models: &[Artifact]) -> Result<()> {
        if models.is_empty() || self.settings.mode == Mode::Disabled {
            return Ok(());
        }
        self.begin()?;
        let Some(sink) = &mut self.sink else { return Ok(()) };
        models.iter().try_for_each(|model| {
            let mut bundle = Bundle::model(model, &self.settings.id)?;
            sink.keep_model(&mut bundle)?;
            sink.push(Entry::Artifact(bundle))
        })
    }

    fn log_value(&mut self, tag: &str, value: &Value, step: Option<u64>) -> Result<()> {
        let name = self.named(tag);
        self.add(&Metrics::new(), step)?;
        self.state.media.set_json(name, value);
        Ok(())
    }

    fn log_media(&mut self, tag: &str, media: &Media, step: Option<u64>) -> Result<()> {
        let row = self.add(&Metrics::new(), step)?;
        let name = self.named(tag);
        let value = self.keep(&name, media, row)?;
        self.state.media.set_json(name, &value.into());
        Ok(())
    }

    /// Writes the file of a medium. Returns its value in the row.
    fn keep(&mut self, name: &str, media: &Media, row: u64) -> Result<Map<String, Value>> {
        let file = media.name(name, row);
        if let Some(sink) = &mut self.sink {
            let path = sink.keep(&file, &media.bytes)?;
            sink.push(Entry::File { name: file.clone(), path, media: true })?;
        }
        Ok(media.value(&file))
    }

    /// The current state of the open row.
    fn open_row(&self) -> Option<Entry> {
        let row = self.rows.peek()?;
        Some(Entry::Row { line: self.state.rows, items: self.items(&row) })
    }

    /// The entries at the end of an offline file.
    fn tail(&self) -> Vec<Entry> {
        let mut summary = self.state.summary.clone();
        let mut tail = Vec::new();
        if let Some(row) = self.open_row() {
            if let Entry::Row { line, items } = &row {
                summary.update(items);
                summary.set("_step", *line as f64);
            }
            tail.push(row);
        }
        if !summary.is_empty() {
            tail.push(Entry::Summary(summary));
        }
        tail.extend(self.ended.map(|code| Entry::Exit { code, runtime: self.runtime() }));
        tail
    }
}
