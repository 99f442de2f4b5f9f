//! The file beside the logs of a run.

use std::{
    fmt,
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use stormfire_callbacks::Printer;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{Layer, filter::filter_fn, fmt::MakeWriter, layer::Context, registry::LookupSpan};

/// The name in the folder of a run.
const FILE_NAME: &str = "training.log";

/// The field in which the Trainer tells the folder of a run.
const LOG_DIR: &str = "log_dir";

/// So many bytes wait at most for a run to have a folder.
const PATIENCE: usize = 1 << 20;

/// A file that takes whole lines. Clones write into the same one.
#[derive(Clone, Debug)]
pub(super) struct RunFile(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    out: Out,
    follows: bool,
    /// Nobody is told twice.
    has_failed: bool,
}

#[derive(Debug)]
enum Out {
    /// No run has had a folder yet.
    Waiting(Vec<u8>),
    Open(PathBuf, File),
}

impl RunFile {
    /// In the folder of the run, once there is one.
    pub(super) fn of_runs() -> Self {
        Self::new(Out::Waiting(Vec::new()), true)
    }

    /// Always this file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(Self::new(Out::Open(path.to_path_buf(), append(path)?), false))
    }

    fn new(out: Out, follows: bool) -> Self {
        Self(Arc::new(Mutex::new(State { out, follows, has_failed: false })))
    }

    /// Writes events.
    pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + Send + Sync + use<S> {
        tracing_subscriber::fmt::layer().with_ansi(false).with_writer(self.clone())
    }

    /// Learns the folder of a run, whatever the levels are; `None` for a fixed file.
    pub(super) fn follow<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> Option<impl Layer<S> + Send + Sync + use<S>> {
        let tells = |metadata: &Metadata<'_>| metadata.is_event() && is_of_trainer(metadata) && metadata.fields().field(LOG_DIR).is_some();
        let filter = filter_fn(tells).with_max_level_hint(LevelFilter::INFO);
        self.lock().follows.then(|| Follow(self.clone()).with_filter(filter))
    }

    pub(super) fn move_to(&self, folder: &Path) {
        let path = folder.join(FILE_NAME);
        let mut state = self.lock();
        if matches!(&state.out, Out::Open(old, _) if *old == path) {
            return;
        }
        let opened = append(&path).and_then(|mut file| {
            if let Out::Waiting(lines) = &state.out {
                file.write_all(lines)?;
            }
            Ok(file)
        });
        match opened {
            Ok(file) => state.out = Out::Open(path, file),
            Err(error) => state.complain(&error),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn write(&mut self, line: &[u8]) {
        let written = match &mut self.out {
            Out::Waiting(lines) if lines.len() + line.len() <= PATIENCE => lines.write_all(line),
            Out::Waiting(_) => Ok(()),
            Out::Open(_, file) => file.write_all(line),
        };
        if let Err(error) = written {
            self.complain(&error);
        }
    }

    /// Not through `tracing`, which would come back here.
    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.has_failed, true) {
            // Without a place to complain to there is nobody to tell.
            let _ = Printer::live().suspend(|| writeln!(io::stderr().lock(), "`{FILE_NAME}` cannot be written: {error}"));
        }
    }
}

/// Without a buffer of its own: what is written survives the process.
fn append(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

fn is_of_trainer(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("stormfire_trainer")
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
            self.0.move_to(&folder);
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
