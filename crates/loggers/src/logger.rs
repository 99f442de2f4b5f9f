//! The trait that backends implement.

mod shared_version;

use std::any::Any;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use shared_version::share_versions;

use crate::{
    Artifact, Audio, Delivery, Error, Figure, Graph, Histogram, Hyperparams, Image, Metrics, PrCurve, Result, RunDir, Table, Text,
};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The run completed.
    Success,
    /// The run ended with an error or a panic.
    Failed,
    /// A user or the system stopped the run (Ctrl-C, a signal).
    Interrupted,
}

/// The stream of a line of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsoleStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A checkpoint that was just written.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CheckpointInfo {
    /// The written file (or folder).
    pub path: PathBuf,
    /// The metric that decides which checkpoint is best, if one is monitored.
    pub monitor: Option<String>,
    /// The monitored metric's value in this checkpoint.
    pub score: Option<f64>,
    /// Whether this is the best checkpoint so far.
    pub is_best: bool,
}

impl CheckpointInfo {
    /// A checkpoint without a score.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), monitor: None, score: None, is_best: false }
    }

    /// Sets the monitored metric, its value, and whether this is the best value so far.
    pub fn scored(mut self, monitor: impl Into<String>, score: f64, is_best: bool) -> Self {
        self.monitor = Some(monitor.into());
        self.score = Some(score);
        self.is_best = is_best;
        self
    }
}

/// See [`Logger::longest_call`].
pub(crate) const LONGEST_CALL: Duration = Duration::from_secs(30);

/// A destination for metrics, hyperparameters and media.
///
/// Four methods are required. All of them may block: [`Background`](crate::Background) calls them on a separate thread,
/// one after the other, in the order of submission.
///
/// ```
/// use stormfire_loggers::{Hyperparams, Logger, Metrics, Result};
///
/// /// Keeps the last line.
/// #[derive(Default)]
/// struct LastLine(String);
///
/// impl Logger for LastLine {
///     fn name(&self) -> &str { "last-line" }
///     fn version(&self) -> String { "0".into() }
///     fn log_metrics(&mut self, metrics: &Metrics, step: Option<u64>) -> Result<()> {
///         self.0 = format!("{step:?}: {metrics:?}");
///         Ok(())
///     }
///     fn log_hyperparams(&mut self, _params: &Hyperparams, _initial_metrics: &Metrics) -> Result<()> { Ok(()) }
/// }
///
/// let mut logger: Box<dyn Logger> = Box::new(LastLine::default());
/// logger.log_metrics(&[("loss", 0.5)].into(), Some(3))?;
/// assert!(logger.downcast_mut::<LastLine>().is_some_and(|logger| logger.0.contains("0.5")));
/// # Ok::<(), stormfire_loggers::Error>(())
/// ```
///
/// # Resuming a run
/// A process may be killed long after its last checkpoint. The resumed run logs the values after that checkpoint again.
/// To record every value once, a logger implements two more methods: a checkpoint saves the result of
/// [`position`](Logger::position), and the resumed run passes it to [`resume`](Logger::resume). Without them, the
/// values after the checkpoint are recorded twice. A service that keeps one value per name and step does not need the
/// two methods.
///
/// ```
/// use std::{fs, path::PathBuf};
/// use stormfire_loggers::{Hyperparams, Logger, Metrics, Result, Value};
///
/// /// Appends a line for each call.
/// struct Lines(PathBuf);
///
/// impl Lines {
///     fn file(&self) -> Result<fs::File> { Ok(fs::File::options().create(true).append(true).open(&self.0)?) }
/// }
///
/// impl Logger for Lines {
///     fn name(&self) -> &str { "lines" }
///     fn version(&self) -> String { "0".into() }
///     fn log_metrics(&mut self, metrics: &Metrics, _step: Option<u64>) -> Result<()> {
///         use std::io::Write;
///         Ok(writeln!(self.file()?, "{metrics:?}")?)
///     }
///     fn log_hyperparams(&mut self, _params: &Hyperparams, _initial_metrics: &Metrics) -> Result<()> { Ok(()) }
///
///     fn position(&mut self) -> Result<Value> {
///         let file = self.file()?;
///         file.sync_data()?;
///         Ok(file.metadata()?.len().into())
///     }
///     fn resume(&mut self, position: Value) -> Result<()> {
///         let file = self.file()?;
///         match position.as_u64() {
///             Some(length) if length <= file.metadata()?.len() => Ok(file.set_len(length)?),
///             _ => Ok(()),
///         }
///     }
/// }
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("lines.txt");
/// let mut killed = Lines(path.clone());
/// killed.log_metrics(&[("loss", 0.5)].into(), Some(0))?;
/// let in_checkpoint = killed.position()?;
/// killed.log_metrics(&[("loss", 0.25)].into(), Some(1))?;
///
/// let mut continued = Lines(path.clone());
/// continued.resume(in_checkpoint)?;
/// continued.log_metrics(&[("loss", 0.25)].into(), Some(1))?;
/// assert_eq!(fs::read_to_string(path)?.lines().count(), 2);
/// # Ok::<(), stormfire_loggers::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Logger`",
    label = "metrics cannot be logged to this type",
    note = "use a logger such as `CsvLogger`, or write `impl Logger for {Self}`"
)]
pub trait Logger: Any + Send {
    /// The name of the experiment.
    fn name(&self) -> &str;

    /// The version of this run in its experiment, such as `version_3`.
    fn version(&self) -> String;

    /// Records numbers. `step` is the step that they belong to. Each backend decides what to do without a step.
    fn log_metrics(&mut self, metrics: &Metrics, step: Option<u64>) -> Result<()>;

    /// Records the settings of the run. `initial_metrics` are the metrics by which runs are compared, with their first
    /// values. It may be empty. A second call adds to the first.
    fn log_hyperparams(&mut self, params: &Hyperparams, initial_metrics: &Metrics) -> Result<()>;

    /// Checks the settings before [`Logger::open`], which refuses the same. Creates and contacts nothing. A dry run of
    /// a command line, which opens no logger, calls this method. Default: all settings are valid.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for a value that cannot be used, and
    /// [`Error::Missing`](crate::Error::Missing) for a setting that is not given.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// The folder of all experiments. Default: none.
    fn save_dir(&self) -> Option<PathBuf> {
        None
    }

    /// The folder of this run. Default: none.
    fn log_dir(&self) -> Option<PathBuf> {
        None
    }

    /// The command that shows the log, such as `tensorboard --logdir runs`. It is printed at the end of a run. Default:
    /// none.
    fn shown_by(&self) -> Option<String> {
        None
    }

    /// Time limit for one call of this logger after a signal has requested the process to end. If a call exceeds the
    /// limit, the run ends without the logger: its thread is abandoned, and unwritten records are lost. Without a
    /// signal, calls have no limit. Default: 30 seconds.
    fn longest_call(&self) -> Duration {
        LONGEST_CALL
    }

    /// The [`RunDir`] that contains the logger's files. Until it [has a folder](RunDir::has_folder), two things are
    /// possible: loggers of different kinds in one experiment can share a version, and a resumed run can select its old
    /// folder. Default: none.
    fn run_dir_mut(&mut self) -> Option<&mut RunDir> {
        None
    }

    /// The folders of this run and of earlier runs that may be the same run, as [`Logger::log_dir`] returned them.
    /// Their checkpoints are stored there. `None` for a logger without folders. Creates nothing. May be called before
    /// [`Logger::open`]. Default: the [`Logger::log_dir`].
    ///
    /// # Errors
    /// Fails if a folder cannot be read.
    fn log_dirs(&self) -> Result<Option<Vec<PathBuf>>> {
        Ok(self.log_dir().map(|folder| vec![folder]))
    }

    /// An unopened logger with the same settings for another run, such as the second fit of a Trainer. Default: `None`,
    /// for a logger that continues its run.
    fn another(&self) -> Option<Box<dyn Logger>> {
        None
    }

    /// The separator between the parts of a metric's name. Default: `/`.
    #[expect(clippy::unnecessary_literal_bound, reason = "an implementor may return one of its fields")]
    fn group_separator(&self) -> &str {
        "/"
    }

    /// Prepares for the first value: creates files, opens connections. A second call does nothing. Default: nothing.
    fn open(&mut self) -> Result<()> {
        Ok(())
    }

    /// Records an image. Default: [`Error::Unsupported`].
    fn log_image(&mut self, tag: &str, image: &Image, step: Option<u64>) -> Result<()> {
        let _ = (tag, image, step);
        Err(unsupported(self.name(), "images"))
    }

    /// Records a distribution. Default: [`Error::Unsupported`].
    fn log_histogram(&mut self, tag: &str, histogram: &Histogram, step: Option<u64>) -> Result<()> {
        let _ = (tag, histogram, step);
        Err(unsupported(self.name(), "histograms"))
    }

    /// Records a text. Default: [`Error::Unsupported`].
    fn log_text(&mut self, tag: &str, text: &Text, step: Option<u64>) -> Result<()> {
        let _ = (tag, text, step);
        Err(unsupported(self.name(), "texts"))
    }

    /// Records a sound. Default: [`Error::Unsupported`].
    fn log_audio(&mut self, tag: &str, audio: &Audio, step: Option<u64>) -> Result<()> {
        let _ = (tag, audio, step);
        Err(unsupported(self.name(), "sounds"))
    }

    /// Records a drawing. Default: [`Error::Unsupported`].
    fn log_figure(&mut self, tag: &str, figure: &Figure, step: Option<u64>) -> Result<()> {
        let _ = (tag, figure, step);
        Err(unsupported(self.name(), "figures"))
    }

    /// Records a table. Default: [`Error::Unsupported`].
    fn log_table(&mut self, tag: &str, table: &Table, step: Option<u64>) -> Result<()> {
        let _ = (tag, table, step);
        Err(unsupported(self.name(), "tables"))
    }

    /// Records the precision and recall of a classifier. Default: nothing, because a metric also logs its curve as a
    /// figure and a table.
    fn log_precision_recall(&mut self, tag: &str, curve: &PrCurve, step: Option<u64>) -> Result<()> {
        let _ = (tag, curve, step);
        Ok(())
    }

    /// Stores a file with the run. The caller must leave the file in place until the run has ended, because it may be
    /// sent later. Default: [`Error::Unsupported`].
    fn log_artifact(&mut self, artifact: &Artifact) -> Result<()> {
        let _ = artifact;
        Err(unsupported(self.name(), "artifacts"))
    }

    /// Records the structure of the model. Default: [`Error::Unsupported`].
    fn log_graph(&mut self, graph: &Graph) -> Result<()> {
        let _ = graph;
        Err(unsupported(self.name(), "graphs"))
    }

    /// Records values that belong in one chart. Default: [`Logger::log_metrics`] with `group/name` for each value.
    fn log_scalars(&mut self, group: &str, values: &Metrics, step: Option<u64>) -> Result<()> {
        let separator = self.group_separator().to_owned();
        let named = values.iter().map(|(name, value)| (format!("{group}{separator}{name}"), value)).collect();
        self.log_metrics(&named, step)
    }

    /// Records lines of the program's output. Default: nothing, for a backend without a page for them.
    fn log_console(&mut self, stream: ConsoleStream, lines: &str) -> Result<()> {
        let _ = (stream, lines);
        Ok(())
    }

    /// Records system metrics of this moment, such as `cpu_percent`. Default: nothing, for a backend without a separate
    /// page for system metrics.
    fn log_system(&mut self, metrics: &Metrics) -> Result<()> {
        let _ = metrics;
        Ok(())
    }

    /// Delivery counts of the records so far, for a logger that sends them to a server. Default: `None`.
    fn delivery(&self) -> Option<Delivery> {
        None
    }

    /// Hands everything recorded so far to the operating system (or the service). Default: nothing.
    fn save(&mut self) -> Result<()> {
        Ok(())
    }

    /// Ends a run. Further records may follow, such as those of a test after a fit. Default: [`Logger::save`].
    fn finalize(&mut self, status: Status) -> Result<()> {
        let _ = status;
        self.save()
    }

    /// The current position in the log, as plain data for a checkpoint. Everything recorded before this call must
    /// survive a crash of the machine: flush it to the disk. Default: `Null`, for a logger that cannot be rolled back.
    fn position(&mut self) -> Result<Value> {
        Ok(Value::Null)
    }

    /// The kind of the logger. Default: the name of its type.
    fn kind(&self) -> &'static str {
        std::any::type_name::<Self>()
    }

    /// Whether the [`position`](Logger::position) identifies its run. If so, a resumed run finds its position among
    /// those of the same kind and name, even if the version was not given. Default: false. Then only a position of the
    /// same version is passed to [`Logger::resume`].
    fn position_names_run(&self) -> bool {
        false
    }

    /// Announces, before [`Logger::open`], the run that will be [resumed](Logger::resume). From now on the logger has
    /// the name, version and folders of that run. It must not change anything of that run yet. Default: nothing.
    fn will_resume(&mut self, position: &Value) {
        let _ = position;
    }

    /// Rolls back to a [`position`](Logger::position), possibly of an earlier process, and discards later records.
    /// Called before any further record, possibly after [`open`](Logger::open).
    ///
    /// A position that does not fit (a file was deleted, the order of the loggers changed) is not an error. In that
    /// case keep the existing records, append to them, and warn. Default: nothing.
    fn resume(&mut self, position: Value) -> Result<()> {
        let _ = position;
        Ok(())
    }

    /// Reports that a checkpoint was written, for backends that store checkpoints. Default: nothing.
    fn after_save_checkpoint(&mut self, checkpoint: &CheckpointInfo) -> Result<()> {
        let _ = checkpoint;
        Ok(())
    }

    /// Reports, on resume, a checkpoint that the run wrote before: the best so far, or else the newest. Default:
    /// nothing.
    fn knows_checkpoint(&mut self, checkpoint: &CheckpointInfo) -> Result<()> {
        let _ = checkpoint;
        Ok(())
    }
}

impl dyn Logger {
    /// The logger as type `L`, or `None` if it has another type.
    pub fn downcast_mut<L: Logger>(&mut self) -> Option<&mut L> {
        let any: &mut dyn Any = self;
        any.downcast_mut()
    }

    /// The logger as type `L`, or `None` if it has another type.
    pub fn downcast_ref<L: Logger>(&self) -> Option<&L> {
        let any: &dyn Any = self;
        any.downcast_ref()
    }
}

fn unsupported(logger: &str, what: &'static str) -> Error {
    Error::Unsupported { logger: logger.to_owned(), what }
}
