//! Event files for `TensorBoard`.

pub(crate) mod event;
mod file;
pub(crate) mod hparams;
pub(crate) mod record;
mod resume;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use event::{Data, Value};
use file::EventFile;
use resume::{Extent, Position};
use serde::{Deserialize, Serialize};

use crate::logger::{owned, prefixed};
use crate::{Histogram, Hyperparams, Image, Logger, Metrics, Result, RunDir, Status, position};

/// The metric that stands for a run in the hparams tab until a better one is given.
const HP_METRIC: &str = "hp_metric";

/// Writes event files that `TensorBoard` shows: scalars, images, histograms and the hparams tab.
///
/// The files are `save_dir/name/version/events.out.tfevents.*` and `hparams.yaml`. Values are stored as `f32`, as
/// `TensorBoard` does with scalars; NaN and the infinities are kept. Metrics without a step are put at step 0.
///
/// A run that is resumed goes on in a new event file beside the old ones, which are cut back to the checkpoint; a server that
/// shows the run meanwhile drops what it had read after it.
///
/// Memory does not grow with the number of values. On a full disk the last whole record stays the end of the file, every
/// further call is an error, and up to 1 MiB is kept to be written once there is room.
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
    /// The metrics that stand for the run in the hparams tab, and their first values as text.
    initial_metrics: BTreeMap<String, String>,
    session: Session,
    /// The files of the run that is continued, complete.
    earlier: Vec<Extent>,
    file: Option<EventFile>,
    tag: String,
}

/// A run has one session in the hparams tab.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Session {
    None,
    Running,
    Ended,
}

impl TensorBoardLogger {
    /// Logs to the next version of the experiment `lightning_logs` below `save_dir`. Nothing is made yet.
    pub fn new(save_dir: impl Into<PathBuf>) -> Self {
        Self::in_dir(RunDir::new(save_dir))
    }

    /// Logs to a run's folder that other loggers may use too.
    pub fn in_dir(dir: RunDir) -> Self {
        Self {
            dir,
            sub_dir: PathBuf::new(),
            prefix: String::new(),
            default_hp_metric: true,
            params: Hyperparams::new(),
            initial_metrics: BTreeMap::new(),
            session: Session::None,
            earlier: Vec::new(),
            file: None,
            tag: String::new(),
        }
    }

    /// The experiment's name, `lightning_logs` by default; see [`RunDir::with_name`].
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.dir = self.dir.with_name(name);
        self
    }

    /// A version of one's own; see [`RunDir::with_version`].
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.dir = self.dir.with_version(version);
        self
    }

    /// Puts `prefix-` before every metric's name.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// A folder within the run's folder for the files of this logger.
    pub fn sub_dir(mut self, sub_dir: impl Into<PathBuf>) -> Self {
        self.sub_dir = sub_dir.into();
        self
    }

    /// Whether a metric `hp_metric` of -1 stands for the run in the hparams tab if no other is given. Default: true.
    pub fn default_hp_metric(mut self, default_hp_metric: bool) -> Self {
        self.default_hp_metric = default_hp_metric;
        self
    }

    /// The run's folder.
    pub fn run_dir(&self) -> &RunDir {
        &self.dir
    }

    /// The event file, once it is open.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(EventFile::path)
    }

    fn folder(&self) -> Result<PathBuf> {
        Ok(self.dir.log_dir()?.join(&self.sub_dir))
    }

    fn file(&mut self) -> Result<&mut EventFile> {
        let file = match self.file.take() {
            Some(file) => file,
            None => EventFile::create(&self.folder()?)?,
        };
        Ok(self.file.insert(file))
    }

    /// Closes the event file. One that was only opened is removed.
    fn discard_empty_file(&mut self) -> Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let path = file.last_step().is_none().then(|| file.path().to_owned());
        drop(file);
        path.map_or(Ok(()), |path| Ok(fs_err::remove_file(path)?))
    }

    fn log_value(&mut self, tag: &str, data: Data, step: Option<u64>) -> Result<()> {
        let mut name = String::new();
        prefixed(&self.prefix, tag, &mut name);
        let value = Value { tag: name, metadata: None, data: Some(data) };
        self.file()?.write(signed(step), vec![value])
    }
}

impl Logger for TensorBoardLogger {
    fn name(&self) -> &str {
        self.dir.name()
    }

    /// Empty if the run's folder cannot be made; [`Logger::open`] then says why.
    fn version(&self) -> String {
        self.dir.version().unwrap_or_default().to_owned()
    }

    fn save_dir(&self) -> Option<PathBuf> {
        Some(self.dir.save_dir().to_owned())
    }

    fn log_dir(&self) -> Option<PathBuf> {
        owned(self.dir.log_dir()).map(|folder| if self.sub_dir.as_os_str().is_empty() { folder } else { folder.join(&self.sub_dir) })
    }

    fn open(&mut self) -> Result<()> {
        self.file().map(drop)
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

    /// Fills the hparams tab and `hparams.yaml`. The same again, as by the start of a run that is resumed, changes nothing.
    fn log_hyperparams(&mut self, params: &Hyperparams, initial_metrics: &Metrics) -> Result<()> {
        let known = self.params.clone();
        self.params.update(params.clone());
        let mut metrics = initial_metrics.clone();
        if metrics.is_empty() && self.default_hp_metric {
            metrics.insert(HP_METRIC, -1.0);
        }
        let initial = metrics.iter().map(|(name, value)| (name.to_owned(), value.to_string())).collect();
        let known_metrics = std::mem::replace(&mut self.initial_metrics, initial);
        if self.session != Session::None && self.params == known && self.initial_metrics == known_metrics {
            return Ok(());
        }
        self.log_metrics(&metrics, Some(0))?;
        let mut tags = Vec::with_capacity(metrics.len());
        for (name, _) in metrics.iter() {
            let mut tag = String::new();
            prefixed(&self.prefix, name, &mut tag);
            tags.push(tag);
        }
        let now = file::now();
        let values = hparams::start(&self.params, tags.iter().map(String::as_str), now);
        let file = self.file()?;
        for value in values {
            file.write(0, vec![value])?;
        }
        self.session = Session::Running;
        self.params.write_yaml(&self.folder()?.join("hparams.yaml"))
    }

    fn log_image(&mut self, tag: &str, image: &Image, step: Option<u64>) -> Result<()> {
        let data = event::Image {
            height: i32::try_from(image.height()).unwrap_or(i32::MAX),
            width: i32::try_from(image.width()).unwrap_or(i32::MAX),
            colorspace: image.channels().into(),
            png: image.to_png()?,
        };
        self.log_value(tag, Data::Image(data), step)
    }

    fn log_histogram(&mut self, tag: &str, histogram: &Histogram, step: Option<u64>) -> Result<()> {
        let stats = histogram.stats();
        let data = event::Histogram {
            min: stats.min,
            max: stats.max,
            num: histogram.num(),
            sum: stats.sum,
            sum_squares: stats.sum_squares,
            limits: histogram.limits().to_vec(),
            counts: histogram.counts().to_vec(),
        };
        self.log_value(tag, Data::Histogram(data), step)
    }

    fn save(&mut self) -> Result<()> {
        self.file.as_mut().map_or(Ok(()), EventFile::flush)
    }

    /// Ends the session in the hparams tab (the first call does; `TensorBoard` reads no second one) and saves.
    fn finalize(&mut self, status: Status) -> Result<()> {
        if self.session == Session::Running {
            self.file()?.write(0, vec![hparams::end(status, file::now())])?;
            self.session = Session::Ended;
        }
        self.save()
    }

    fn position(&mut self) -> Result<serde_json::Value> {
        let file = self.file()?;
        let bytes = file.sync()?;
        let last_step = file.last_step();
        let name = file.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut files = self.earlier.clone();
        files.push(Extent { name, bytes });
        let (hparams, initial_metrics) = (self.params.clone(), self.initial_metrics.clone());
        position::save(&Position { files, last_step, session: self.session, hparams, initial_metrics })
    }

    fn resume(&mut self, position: serde_json::Value) -> Result<()> {
        let folder = self.folder()?;
        let Some(position) = position::load::<Position>(position, &folder) else { return Ok(()) };
        self.discard_empty_file()?;
        self.earlier = position.files;
        let first = self.earlier.first().map(|file| file.name.clone()).unwrap_or_default();
        if let Some(name) = resume::cut_back(&folder, &self.earlier)? {
            position::misfit(&folder.join(name), "events of the checkpoint are missing");
            self.earlier.clear();
        }
        self.file()?.continues(position.last_step, resume::message(&first))?;
        self.session = position.session;
        self.initial_metrics = position.initial_metrics;
        self.params = position.hparams;
        if self.params.is_empty() { Ok(()) } else { self.params.write_yaml(&folder.join("hparams.yaml")) }
    }
}

fn signed(step: Option<u64>) -> i64 {
    i64::try_from(step.unwrap_or(0)).unwrap_or(i64::MAX)
}
