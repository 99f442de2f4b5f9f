//! The file `training.log` in the folder of a run.

use std::{
    fmt,
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use stormfire_callbacks::Printer;
use stormfire_module::for_trainer::live_run;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    Layer,
    filter::filter_fn,
    fmt::{
        FmtContext, FormatEvent, FormatFields, MakeWriter,
        format::{Format, Writer},
    },
    layer::Context,
    registry::LookupSpan,
};

use super::line::rank;

/// The name of the file in the folder of a run.
const FILE_NAME: &str = "training.log";

/// The name of the file of a rank. Those of several processes would tear each other's lines.
fn file_name(rank: Option<usize>) -> String {
    rank.filter(|rank| *rank > 0).map_or_else(|| FILE_NAME.to_owned(), |rank| format!("training-rank{rank}.log"))
}

/// The field in which the Trainer reports the folder of a run.
const LOG_DIR: &str = "log_dir";

/// Maximum number of bytes that are kept until a run has a folder.
const PATIENCE: usize = 1 << 20;

/// A file that takes complete lines. Clones write to the same file.
#[derive(Clone, Debug)]
pub(super) struct RunFile(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    out: Out,
    /// Whether a failure was reported. It is reported once.
    has_failed: bool,
}

#[derive(Debug)]
enum Out {
    /// One file for all runs.
    Fixed(OpenFile),
    /// One in the folder of each run.
    OfRuns {
        /// Lines reported before any run had a folder.
        waiting: Vec<u8>,
        /// The file of the run that started last is at the end.
        files: Vec<OpenFile>,
    },
}

#[derive(Debug)]
struct OpenFile {
    /// The number of the run that it belongs to.
    run: Option<u64>,
    path: PathBuf,
    file: File,
}

impl RunFile {
    /// Writes to a file in the folder of each run.
    pub(super) fn of_runs() -> Self {
        Self::new(Out::OfRuns { waiting: Vec::new(), files: Vec::new() })
    }

    /// Writes always to this file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self::new(Out::Fixed(OpenFile::open(path.to_owned(), None)?)))
    }

    fn new(out: Out) -> Self {
        Self(Arc::new(Mutex::new(State { out, has_failed: false })))
    }

    /// Writes events.
    pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + Send + Sync + use<S> {
        let is_shared = matches!(self.lock().out, Out::Fixed(_));
        let format = FileLine { is_shared, format: Format::default().with_ansi(false) };
        tracing_subscriber::fmt::layer().with_ansi(false).event_format(format).with_writer(self.clone())
    }

    /// A layer that learns the folder of each run, regardless of the levels. `None` for a fixed file.
    pub(super) fn follow<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> Option<impl Layer<S> + Send + Sync + use<S>> {
        let tells = |metadata: &Metadata<'_>| metadata.is_event() && is_of_trainer(metadata) && metadata.fields().field(LOG_DIR).is_some();
        let filter = filter_fn(tells).with_max_level_hint(LevelFilter::INFO);
        matches!(self.lock().out, Out::OfRuns { .. }).then(|| Follow(self.clone()).with_filter(filter))
    }

    /// The run of this thread starts, with this folder.
    pub(super) fn begin_in(&self, folder: &Path) {
        let path = folder.join(file_name(rank()));
        let run = live_run::current().map(|run| run.number());
        let mut state = self.lock();
        let Out::OfRuns { waiting, files } = &mut state.out else { return };
        let known = files.iter().position(|file| file.path == path).map(|at| files.remove(at));
        files.retain(OpenFile::is_of_live_run);
        let opened = known.map_or_else(|| OpenFile::open(path, run), Ok).and_then(|mut file| {
            file.run = run;
            file.write(&std::mem::take(waiting))?;
            Ok(file)
        });
        match opened {
            Ok(file) => files.push(file),
            Err(error) => state.complain(&error),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Writes a line to the file of the run that this thread works for. A line without a run, or of a run without a
    /// folder, goes to the files of all active runs. If no run is active, it goes to the newest file.
    fn write(&mut self, line: &[u8]) {
        let written = match &mut self.out {
            Out::Fixed(file) => file.write(line),
            Out::OfRuns { waiting, files } => {
                let run = live_run::current().map(|run| run.number());
                let is_own = |file: &OpenFile| run.is_some() && file.run == run;
                let is_wanted: fn(&OpenFile) -> bool = OpenFile::is_of_live_run;
                if files.is_empty() && waiting.len() + line.len() <= PATIENCE {
                    waiting.write_all(line)
                } else if let Some(own) = files.iter_mut().find(|file| is_own(file)) {
                    own.write(line)
                } else if files.iter().any(is_wanted) {
                    files.iter_mut().filter(|file| is_wanted(file)).try_for_each(|file| file.write(line))
                } else {
                    files.last_mut().map_or(Ok(()), |newest| newest.write(line))
                }
            }
        };
        if let Err(error) = written {
            self.complain(&error);
        }
    }

    /// Does not report through `tracing`, which would call this again.
    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.has_failed, true) {
            // Without stderr, there is nowhere to report this.
            let _ = Printer::live().suspend(|| writeln!(io::stderr().lock(), "`{FILE_NAME}` cannot be written: {error}"));
        }
    }
}

impl OpenFile {
    /// Opens the file without a buffer, so written lines survive the process. A missing folder is created.
    fn open(path: PathBuf, run: Option<u64>) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = File::options().create(true).append(true).open(&path)?;
        Ok(Self { run, path, file })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if !line.is_empty() && !self.path.exists() {
            // Another process has removed the file. Keep the lines from now on.
            *self = Self::open(self.path.clone(), self.run)?;
        }
        self.file.write_all(line)
    }

    fn is_of_live_run(&self) -> bool {
        self.run.is_some_and(live_run::is_live)
    }
}

/// Formats a line like `tracing_subscriber`. In a file for several runs, the name of the run comes first.
struct FileLine {
    is_shared: bool,
    format: Format,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>, N: for<'a> FormatFields<'a> + 'static> FormatEvent<S, N> for FileLine {
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        if let Some(run) = live_run::shown_name().filter(|_| self.is_shared) {
            write!(writer, "[{}] ", run.replace(char::is_control, ""))?;
        }
        self.format.format_event(context, writer, event)
    }
}

fn is_of_trainer(metadata: &Metadata<'_>) -> bool {
    metadata.target().split("::").next() == Some("stormfire_trainer")
}

impl<'a> MakeWriter<'a> for RunFile {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for RunFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lock().write(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Follow(RunFile);

impl<S: Subscriber> Layer<S> for Follow {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut folder = Folder(None);
        event.record(&mut folder);
        if let Some(folder) = folder.0 {
            // The program may change its current folder later.
            self.0.begin_in(&std::path::absolute(&folder).unwrap_or(folder));
        }
    }
}

struct Folder(Option<PathBuf>);

impl Visit for Folder {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == LOG_DIR {
            self.0 = Some(format!("{value:?}").into());
        }
    }
}
