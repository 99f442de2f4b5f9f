//! What a backend implements.

mod shared_version;

use std::any::Any;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use shared_version::share_versions;

use crate::{Artifact, Audio, Delivery, Error, Figure, Graph, Histogram, Hyperparams, Image, Metrics, Result, RunDir, Table, Text};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It came to its end.
    Success,
    /// An error or a panic ended it.
    Failed,
    /// Somebody stopped it (Ctrl-C, a signal).
    Interrupted,
}

/// Where a line of output was written.
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
    /// The file (or folder) that was written.
    pub path: PathBuf,
    /// The metric that decides which checkpoint is best, if there is one.
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

    /// The monitored metric, its value, and whether that is the best so far.
    pub fn scored(mut self, monitor: impl Into<String>, score: f64, is_best: bool) -> Self {
        self.monitor = Some(monitor.into());
        self.score = Some(score);
        self.is_best = is_best;
        self
    }
}

/// See [`Logger::longest_call`].
pub(crate) const LONGEST_CALL: Duration = Duration::from_secs(30);

/// Somewhere that metrics, hyperparameters and media go.
///
/// Four methods are required. All of them may block: [`Background`](crate::Background) calls them on a thread of the
/// logger's own, one after the other, in the order in which they were asked for.
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
/// # Continuing a run
/// A run may be killed long after its last checkpoint; what it logged in between will be logged again. A logger that wants
/// every value once implements two more methods: a checkpoint keeps what [`position`](Logger::position) returns, and the
/// continued run hands it to [`resume`](Logger::resume). A logger without them still works: a service that keeps one value
/// per name and step needs neither, and any other gets the values since the checkpoint twice.
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
    /// The experiment's name.
    fn name(&self) -> &str;

    /// Which of the experiment's runs this is, such as `version_3`.
    fn version(&self) -> String;

    /// Records numbers. `step` is the step they belong to; what happens without one is the backend's choice.
    fn log_metrics(&mut self, metrics: &Metrics, step: Option<u64>) -> Result<()>;

    /// Records the run's settings. `initial_metrics` are those by which runs are to be compared, with their first values;
    /// it may be empty. A second call adds to the first.
    fn log_hyperparams(&mut self, params: &Hyperparams, initial_metrics: &Metrics) -> Result<()>;

    /// The folder that all experiments are kept in. Default: none.
    fn save_dir(&self) -> Option<PathBuf> {
        None
    }

    /// This run's own folder. Default: none.
    fn log_dir(&self) -> Option<PathBuf> {
        None
    }

    /// The command that shows what was logged, to be said at the end of a run: `tensorboard --logdir runs`. Default: none.
    fn shown_by(&self) -> Option<String> {
        None
    }

    /// How long one call of this logger may take after a signal has asked the process to end. One that has not returned by then
    /// is given up, so that the run can end: its thread is left behind, and what it has not written is lost. Without a signal
    /// a logger is waited for as long as it takes. Default: 30 seconds.
    fn longest_call(&self) -> Duration {
        LONGEST_CALL
    }

    /// The run's folder of a logger that keeps its files in a [`RunDir`]. Until that [has a folder](RunDir::has_folder), loggers of
    /// different kinds in one experiment share a version, and a run that goes on finds the folder that it had. Default: none.
    fn run_dir_mut(&mut self) -> Option<&mut RunDir> {
        None
    }

    /// The folders of this run and of the earlier ones that this logger may have kept, as [`Logger::log_dir`] told them: that
    /// is where their checkpoints are. `None` for a logger that has no folders. Makes nothing, and is asked before
    /// [`Logger::open`] too. Default: the [`Logger::log_dir`].
    ///
    /// # Errors
    /// A folder that cannot be read.
    fn log_dirs(&self) -> Result<Option<Vec<PathBuf>>> {
        Ok(self.log_dir().map(|folder| vec![folder]))
    }

    /// A logger of the same settings for another run, not opened yet: a second fit of one Trainer is one. Default: `None`, for a
    /// logger that goes on in the run it has.
    fn another(&self) -> Option<Box<dyn Logger>> {
        None
    }

    /// What joins the parts of a metric's name. Default: `/`.
    #[expect(clippy::unnecessary_literal_bound, reason = "an implementor may return one of its own fields")]
    fn group_separator(&self) -> &str {
        "/"
    }

    /// Prepares for the first value: makes files, opens connections. A second call does nothing. Default: nothing.
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

    /// Keeps a file with the run. The file must stay where it is until the run has ended, since it may be sent later.
    /// Default: [`Error::Unsupported`].
    fn log_artifact(&mut self, artifact: &Artifact) -> Result<()> {
        let _ = artifact;
        Err(unsupported(self.name(), "artifacts"))
    }

    /// Records the structure of the model. Default: [`Error::Unsupported`].
    fn log_graph(&mut self, graph: &Graph) -> Result<()> {
        let _ = graph;
        Err(unsupported(self.name(), "graphs"))
    }

    /// Records values that are shown in one chart. Default: [`Logger::log_metrics`] with `group/name` for each.
    fn log_scalars(&mut self, group: &str, values: &Metrics, step: Option<u64>) -> Result<()> {
        let separator = self.group_separator().to_owned();
        let named = values.iter().map(|(name, value)| (format!("{group}{separator}{name}"), value)).collect();
        self.log_metrics(&named, step)
    }

    /// Records lines that the program has put out. Default: nothing, for a backend that has no page for them.
    fn log_console(&mut self, stream: ConsoleStream, lines: &str) -> Result<()> {
        let _ = (stream, lines);
        Ok(())
    }

    /// Records what the machine does at this moment, such as `cpu_percent`. Default: nothing, for a backend that has no page for
    /// it beside the metrics.
    fn log_system(&mut self, metrics: &Metrics) -> Result<()> {
        let _ = metrics;
        Ok(())
    }

    /// What has become of the records so far, for a logger that sends them somewhere. Default: `None`.
    fn delivery(&self) -> Option<Delivery> {
        None
    }

    /// Hands everything recorded so far to the operating system (or the service). Default: nothing.
    fn save(&mut self) -> Result<()> {
        Ok(())
    }

    /// A run has ended. More may follow, such as a test after a fit. Default: [`Logger::save`].
    fn finalize(&mut self, status: Status) -> Result<()> {
        let _ = status;
        self.save()
    }

    /// Where the log stands, as plain data that a checkpoint keeps. Everything recorded before it must outlive the machine
    /// from now on: flush it, also to the disk. Default: `Null`, for a logger that cannot go back.
    fn position(&mut self) -> Result<Value> {
        Ok(Value::Null)
    }

    /// What kind of logger it is. Default: the name of its type.
    fn kind(&self) -> &'static str {
        std::any::type_name::<Self>()
    }

    /// Whether its [`position`](Logger::position) says which run it is of, so that a continued run finds its own among those
    /// of the same kind and name though nobody gave it a version. Default: false; then only the position of the same version
    /// is given back.
    fn position_names_run(&self) -> bool {
        false
    }

    /// Tells before [`Logger::open`] which run is going to be [resumed](Logger::resume): its name, version and folders are those
    /// of this logger from now on. Nothing of that run may be touched yet. Default: nothing.
    fn will_resume(&mut self, position: &Value) {
        let _ = position;
    }

    /// Goes back to a [`position`](Logger::position), perhaps of an earlier process, and forgets what was recorded after it.
    /// Called before anything is recorded that follows, maybe after [`open`](Logger::open).
    ///
    /// A position that does not fit (a file was deleted, loggers changed their order) is no error: keep what is there, go on
    /// behind it, and warn. Default: nothing.
    fn resume(&mut self, position: Value) -> Result<()> {
        let _ = position;
        Ok(())
    }

    /// A checkpoint was written, for backends that keep them too. Default: nothing.
    fn after_save_checkpoint(&mut self, checkpoint: &CheckpointInfo) -> Result<()> {
        let _ = checkpoint;
        Ok(())
    }

    /// A run goes on that has this checkpoint from before: the best so far, or else the newest. Default: nothing.
    fn knows_checkpoint(&mut self, checkpoint: &CheckpointInfo) -> Result<()> {
        let _ = checkpoint;
        Ok(())
    }
}

impl dyn Logger {
    /// The logger as the type that it is, or `None` if it is another.
    pub fn downcast_mut<L: Logger>(&mut self) -> Option<&mut L> {
        let any: &mut dyn Any = self;
        any.downcast_mut()
    }

    /// The logger as the type that it is, or `None` if it is another.
    pub fn downcast_ref<L: Logger>(&self) -> Option<&L> {
        let any: &dyn Any = self;
        any.downcast_ref()
    }
}

fn unsupported(logger: &str, what: &'static str) -> Error {
    Error::Unsupported { logger: logger.to_owned(), what }
}
