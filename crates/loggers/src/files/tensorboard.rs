//! Event files for `TensorBoard`, and its special kinds of values.

mod cut_back;
pub(crate) mod event;
mod file;
mod graph;
mod groups;
pub(crate) mod hparams;
mod layout;
mod log_position;
mod media;
#[cfg(test)]
mod media_tests;
mod mesh;
mod pr_curve;
mod projector;
pub(crate) mod record;
mod run_files;
pub mod scan;
#[cfg(test)]
mod tests;
mod typed;
mod wire;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use event::{Data, Metadata, Value};
use file::EventFile;
use groups::Groups;
pub use layout::{Chart, Layout};
use log_position::Position;
pub use projector::Embedding;
use projector::Entry;
use run_files::Run;
use serde::{Deserialize, Serialize};
use stormfire_store::{folder::from_here, replacement};

use crate::logger::LONGEST_CALL;
use crate::names::{inside, shell_word};
use crate::parts::prefix::prefixed;
use crate::parts::{identity, position};
use crate::{Audio, Figure, Graph, Histogram, Hyperparams, Image, Logger, Metrics, PrCurve, Result, RunDir, Status, Table, Text};

/// The metric that represents a run in the hparams tab if no other is given.
const HP_METRIC: &str = "hp_metric";

/// Writes event files for `TensorBoard`. It supports every kind of value except artifacts.
///
/// | value | stored as in `torch.utils.tensorboard` |
/// |---|---|
/// | text, table | `TAG/text_summary` |
/// | [`log_scalars`](Logger::log_scalars) | the group's name, each value in a separate run in the folder `GROUP_NAME` |
/// | drawing | an image |
///
/// Precision-recall curves, projector points, meshes and the layout of the custom-scalars dashboard have their own
/// methods.
///
/// The files are `save_dir/name/version/events.out.tfevents.*` and `hparams.yaml`. Values are stored as `f32`, as
/// `TensorBoard` does with scalars. NaN and the infinities are kept. Metrics without a step get step 0.
///
/// A resumed run continues in a new event file next to the old ones, which are truncated to the checkpoint. A
/// `TensorBoard` server that shows the run at that time discards the later values that it had read.
///
/// Memory does not grow with the number of values. On a full disk the file ends with the last complete record, every
/// further call returns an error, and up to 1 MiB is kept and written once there is space.
///
/// ```
/// use stormfire_loggers::{Hyperparams, Logger, Status, TensorBoardLogger};
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let mut logger = TensorBoardLogger::new(folder).name("mnist");
/// let mut params = Hyperparams::new();
/// params.insert("lr", 1e-3)?;
/// logger.log_hyperparams(&params, &[("val_loss", f64::NAN)].into())?;
/// logger.log_metrics(&[("val_loss", 0.5)].into(), Some(49))?;
/// logger.finalize(Status::Success)?;
/// assert!(folder.join("mnist/version_0/hparams.yaml").exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TensorBoardLogger {
    dir: RunDir,
    sub_dir: PathBuf,
    prefix: String,
    default_hp_metric: bool,
    params: Hyperparams,
    /// The metrics that represent the run in the hparams tab, and their first values as text.
    initial_metrics: BTreeMap<String, String>,
    session: Session,
    main: Run,
    groups: Groups,
    embeddings: Vec<Entry>,
    tag: String,
}

/// The state of the run's session in the hparams tab. A run has one session.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Session {
    None,
    Running,
    Ended,
}

impl TensorBoardLogger {
    /// Logs to the next version of the experiment `lightning_logs` below `save_dir`. Creates no folder yet.
    pub fn new(save_dir: impl Into<PathBuf>) -> Self {
        Self::in_dir(RunDir::new(save_dir))
    }

    /// Logs to the folder of a run. Other loggers may use the same folder.
    pub fn in_dir(dir: RunDir) -> Self {
        Self {
            dir,
            sub_dir: PathBuf::new(),
            prefix: String::new(),
            default_hp_metric: true,
            params: Hyperparams::new(),
            initial_metrics: BTreeMap::new(),
            session: Session::None,
            main: Run::default(),
            groups: Groups::default(),
            embeddings: Vec::new(),
            tag: String::new(),
        }
    }

    /// Sets the name of the experiment. Default: `lightning_logs`. See [`RunDir::with_name`].
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.dir = self.dir.with_name(name);
        self
    }

    /// Sets a custom version. See [`RunDir::with_version`].
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.dir = self.dir.with_version(version);
        self
    }

    /// Puts `prefix-` before every metric's name.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets a folder within the folder of the run for the files of this logger. A path that leads out of it is an
    /// error.
    pub fn sub_dir(mut self, sub_dir: impl Into<PathBuf>) -> Self {
        self.sub_dir = sub_dir.into();
        self
    }

    /// Whether to add a metric `hp_metric` of -1 to the hparams tab if no other metric is given. Default: true.
    pub fn default_hp_metric(mut self, default_hp_metric: bool) -> Self {
        self.default_hp_metric = default_hp_metric;
        self
    }

    /// The folder of the run.
    pub fn run_dir(&self) -> &RunDir {
        &self.dir
    }

    /// The event file, after it was created.
    pub fn path(&self) -> Option<&Path> {
        self.main.path()
    }

    fn folder(&self) -> Result<PathBuf> {
        inside("sub_dir", &self.sub_dir)?;
        Ok(self.dir.log_dir()?.join(&self.sub_dir))
    }

    fn file(&mut self) -> Result<&mut EventFile> {
        let Self { main, dir, sub_dir, .. } = self;
        main.file(|| {
            inside("sub_dir", &*sub_dir)?;
            EventFile::create(&dir.log_dir()?.join(sub_dir))
        })
    }

    fn log_value(&mut self, tag: &str, metadata: Option<Metadata>, data: Data, step: Option<u64>) -> Result<()> {
        let mut name = String::new();
        prefixed(&self.prefix, tag, &mut name);
        self.file()?;
        let metadata = metadata.filter(|_| self.main.describe(&name));
        self.file()?.write(signed(step), vec![Value { tag: name, metadata, data: Some(data) }])
    }
}

impl Logger for TensorBoardLogger {
    fn name(&self) -> &str {
        self.dir.name()
    }

    /// Empty if the folder of the run cannot be created. [`Logger::open`] then returns the error.
    fn version(&self) -> String {
        self.dir.version().unwrap_or_default().to_owned()
    }

    fn save_dir(&self) -> Option<PathBuf> {
        Some(self.dir.save_dir().to_owned())
    }

    fn longest_call(&self) -> Duration {
        LONGEST_CALL + self.dir.upload_patience()
    }

    fn log_dir(&self) -> Option<PathBuf> {
        let folder = self.dir.log_dir().ok()?;
        Some(if self.sub_dir.as_os_str().is_empty() { folder.to_owned() } else { folder.join(&self.sub_dir) })
    }

    fn shown_by(&self) -> Option<String> {
        let root = self.dir.root_dir();
        Some(format!("tensorboard --logdir {}", shell_word(&from_here(&root).display().to_string())))
    }

    fn run_dir_mut(&mut self) -> Option<&mut RunDir> {
        Some(&mut self.dir)
    }

    fn log_dirs(&self) -> Result<Option<Vec<PathBuf>>> {
        let below = |folder: PathBuf| if self.sub_dir.as_os_str().is_empty() { folder } else { folder.join(&self.sub_dir) };
        Ok(Some(self.dir.log_dirs()?.into_iter().map(below).collect()))
    }

    fn another(&self) -> Option<Box<dyn Logger>> {
        let (sub_dir, prefix, default_hp_metric) = (self.sub_dir.clone(), self.prefix.clone(), self.default_hp_metric);
        Some(Box::new(Self { sub_dir, prefix, default_hp_metric, ..Self::in_dir(self.dir.another()) }))
    }

    /// Creates the folder. The event file is created with its first value, so a run that fails to start leaves none.
    fn open(&mut self) -> Result<()> {
        self.dir.log_dir().map(drop)
    }

    fn log_metrics(&mut self, metrics: &Metrics, step: Option<u64>) -> Result<()> {
        let prefix = std::mem::take(&mut self.prefix);
        let mut tag = std::mem::take(&mut self.tag);
        let outcome = self.file().and_then(|file| {
            file.write_scalars(signed(step), metrics, |name, into| {
                if prefix.is_empty() {
                    into.push_str(name);
                } else {
                    prefixed(&prefix, name, &mut tag);
                    into.push_str(&tag);
                }
            })
        });
        self.prefix = prefix;
        self.tag = tag;
        outcome
    }

    /// Writes the hparams tab and `hparams.yaml`. A call with known values, as at the start of a resumed run, changes
    /// nothing.
    fn log_hyperparams(&mut self, params: &Hyperparams, initial_metrics: &Metrics) -> Result<()> {
        let known = self.params.clone();
        self.params.update(params.clone());
        let mut metrics = initial_metrics.clone();
        // A later call without metrics keeps those of the first.
        let keeps = metrics.is_empty() && self.session != Session::None;
        if metrics.is_empty() && self.default_hp_metric && !keeps {
            metrics.insert(HP_METRIC, -1.0);
        }
        let known_metrics = self.initial_metrics.clone();
        if !keeps {
            self.initial_metrics = metrics.iter().map(|(name, value)| (name.to_owned(), value.to_string())).collect();
        }
        if self.session != Session::None && self.params == known && self.initial_metrics == known_metrics {
            return Ok(());
        }
        if !metrics.is_empty() {
            self.log_metrics(&metrics, Some(0))?;
        }
        let names: Vec<&str> =
            if keeps { self.initial_metrics.keys().map(String::as_str).collect() } else { metrics.iter().map(|(name, _)| name).collect() };
        let mut tags = Vec::with_capacity(names.len());
        for name in names {
            let mut tag = String::new();
            prefixed(&self.prefix, name, &mut tag);
            tags.push(tag);
        }
        let now = identity::now_s();
        let values = hparams::start(&self.params, tags.iter().map(String::as_str), now);
        let file = self.file()?;
        for value in values {
            file.write(0, vec![value])?;
        }
        self.session = Session::Running;
        self.params.write_yaml(&self.folder()?.join("hparams.yaml"))
    }

    fn log_image(&mut self, tag: &str, image: &Image, step: Option<u64>) -> Result<()> {
        self.log_value(tag, None, media::image(image)?, step)
    }

    fn log_histogram(&mut self, tag: &str, histogram: &Histogram, step: Option<u64>) -> Result<()> {
        self.log_value(tag, None, media::histogram(histogram), step)
    }

    fn log_text(&mut self, tag: &str, text: &Text, step: Option<u64>) -> Result<()> {
        let (metadata, data) = media::text(&text.markdown);
        self.log_value(&format!("{tag}/text_summary"), Some(metadata), data, step)
    }

    fn log_audio(&mut self, tag: &str, audio: &Audio, step: Option<u64>) -> Result<()> {
        self.log_value(tag, None, media::audio(audio)?, step)
    }

    fn log_figure(&mut self, tag: &str, figure: &Figure, step: Option<u64>) -> Result<()> {
        let data = media::figure(self.dir.name(), figure)?;
        self.log_value(tag, None, data, step)
    }

    /// Appears among the texts.
    fn log_table(&mut self, tag: &str, table: &Table, step: Option<u64>) -> Result<()> {
        self.log_text(tag, &Text::new(table.to_markdown()), step)
    }

    fn log_precision_recall(&mut self, tag: &str, curve: &PrCurve, step: Option<u64>) -> Result<()> {
        let (metadata, data) = pr_curve::encode(curve);
        self.log_value(tag, Some(metadata), data, step)
    }

    fn log_graph(&mut self, graph: &Graph) -> Result<()> {
        self.file()?.write_graph(graph::encode(graph))
    }

    fn log_scalars(&mut self, group: &str, values: &Metrics, step: Option<u64>) -> Result<()> {
        let mut tag = String::new();
        prefixed(&self.prefix, group, &mut tag);
        self.file()?;
        let first = self.main.first().unwrap_or_default();
        let folder = self.folder()?;
        self.groups.write(&folder, &first, &tag, values, signed(step))
    }

    fn save(&mut self) -> Result<()> {
        self.main.save()?;
        self.groups.save()
    }

    /// Ends the session in the hparams tab, saves, and uploads the files if `save_dir` is the URL of a store. Only the
    /// first call ends the session, because `TensorBoard` ignores a second end.
    fn finalize(&mut self, status: Status) -> Result<()> {
        if self.session == Session::Running {
            self.file()?.write(0, vec![hparams::end(status, identity::now_s())])?;
            self.session = Session::Ended;
        }
        self.save()?;
        self.dir.upload();
        Ok(())
    }

    fn position(&mut self) -> Result<serde_json::Value> {
        self.file()?;
        let main = self.main.extents()?;
        let (hparams, initial_metrics) = (self.params.clone(), self.initial_metrics.clone());
        let (groups, embeddings) = (self.groups.extents()?, self.embeddings.clone());
        position::save(&Position { main, groups, embeddings, session: self.session, hparams, initial_metrics })
    }

    fn resume(&mut self, position: serde_json::Value) -> Result<()> {
        let folder = self.folder()?;
        let Some(position) = position::load::<Position>(position, &folder) else { return Ok(()) };
        if !self.sub_dir.as_os_str().is_empty() {
            // The folder of the run was cleaned when it was opened. No other logger uses this folder.
            replacement::remove_leftovers(&folder);
        }
        let first = position.main.files.first().map(|file| file.name.clone()).unwrap_or_default();
        self.main.resume(&folder, position.main, cut_back::message(&first))?;
        self.groups.resume(&folder, &first, position.groups)?;
        self.embeddings = position.embeddings;
        if !self.embeddings.is_empty() {
            projector::write_config(&folder, &self.embeddings)?;
        }
        self.session = position.session;
        self.initial_metrics = position.initial_metrics;
        self.params = position.hparams;
        if self.params.is_empty() { Ok(()) } else { self.params.write_yaml(&folder.join("hparams.yaml")) }
    }
}

fn signed(step: Option<u64>) -> i64 {
    i64::try_from(step.unwrap_or(0)).unwrap_or(i64::MAX)
}
