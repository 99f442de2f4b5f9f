//! What a run reports, on the screen beside the progress bar and in a file.
//!
//! Stormfire's crates report through [`tracing`](https://docs.rs/tracing): nothing is shown unless the program installs a
//! subscriber. [`init`] installs one that suits a training; any other one works as well.
//!
//! ```
//! fn main() -> stormfire::Result<()> {
//!     stormfire::console::init();
//!     // Trainer::new().fit(..)
//!     Ok(())
//! }
//! ```
//!
//! A line on the screen looks like this, on stderr:
//!
//! ```text
//! 14:03:07 INFO  stormfire_loggers: `CsvLogger` has no place for images: they are left out
//! ```
//!
//! What is shown is chosen by *target*, the path of the module that reports: its first part is the crate. `docs/console.md`
//! tells more.

mod file;
mod line;
#[cfg(test)]
mod tests;
mod tracker;

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
};

use stormfire_callbacks::Printer;
use stormfire_module::{Error, Result};
use tracing::Subscriber;
use tracing_subscriber::{Layer, Registry, filter::Targets, fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt};

pub use tracing::level_filters::LevelFilter as Level;

use file::RunFile;
use line::{Fields, Line};

/// What is shown of whom if nobody says otherwise.
const DEFAULT: &str = "warn,stormfire=info";

/// Shows on stderr what Stormfire reports: from level info on, and warnings of everybody else. The environment variable
/// `RUST_LOG` says otherwise, `NO_COLOR` turns colors off.
///
/// Lines appear above a live progress bar, and on the pages of W&B and Comet for the output of a run. Nothing happens if the program has installed a subscriber of `tracing` already.
/// [`Builder`] has options.
pub fn init() {
    // Another subscriber is the program's own choice.
    drop(Builder::new().init());
}

/// Options of the console: levels by target, and a file.
///
/// ```
/// use stormfire::console::{Builder, Level};
///
/// # fn main() -> stormfire::Result<()> {
/// Builder::new()
///     .level("stormfire_loggers", Level::ERROR) // no warnings of the loggers
///     .level("my_program", Level::DEBUG)
///     .file() // everything also in `training.log` in the folder of the run
///     .init()
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Builder {
    levels: String,
    file_levels: String,
    screen: bool,
    file: Option<Place>,
}

#[derive(Debug, Clone)]
enum Place {
    InRun,
    At(PathBuf),
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// The screen alone, with the levels of [`init`].
    pub fn new() -> Self {
        Self { levels: DEFAULT.to_owned(), file_levels: String::new(), screen: true, file: None }
    }

    /// Shows what a target and those below it report, from this level on: `"stormfire_loggers"` is a crate,
    /// `"stormfire_loggers::writer"` a part of it, `"stormfire"` all of Stormfire's crates. [`Level::OFF`] shows nothing.
    /// The longest target that fits decides; for the same one the last call. `RUST_LOG` takes the place of all levels on the
    /// screen.
    pub fn level(mut self, target: &str, level: Level) -> Self {
        self.levels.push_str(&directive(target, level));
        self
    }

    /// As [`Builder::level`], for the file alone. Default: as [`Builder::level`] says.
    pub fn file_level(mut self, target: &str, level: Level) -> Self {
        self.file_levels.push_str(&directive(target, level));
        self
    }

    /// Nothing on the screen; of use with a file.
    pub fn no_screen(mut self) -> Self {
        self.screen = false;
        self
    }

    /// Adds every line to `training.log` in the folder of the run ([`Trainer::log_dir`](crate::Trainer::log_dir)), with the time
    /// in UTC and the epoch in which it was reported. What is reported before the run has its folder is there, too.
    ///
    /// A line is in the file before the program goes on, so none is lost in a crash. A run that continues adds to its file. The
    /// next run with another folder goes on there; a run without a folder has no file.
    pub fn file(mut self) -> Self {
        self.file = Some(Place::InRun);
        self
    }

    /// As [`Builder::file`], always into this file. Its folder is made if it is not there.
    pub fn file_at(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(Place::At(path.into()));
        self
    }

    /// Installs the console for the whole process.
    ///
    /// # Errors
    /// [`Error::Config`] if there is a subscriber of `tracing` already, and as [`Builder::subscriber`].
    pub fn init(self) -> Result<()> {
        self.subscriber()?
            .try_init()
            .map_err(|error| Error::config("console", error.to_string(), "install one subscriber, once, at the begin of `main`"))
    }

    /// The console as a subscriber that is not installed, for [`tracing::subscriber::with_default`] and its kin.
    ///
    /// # Errors
    /// [`Error::Config`] if a level's target is none, or if the file of [`Builder::file_at`] cannot be opened.
    pub fn subscriber(self) -> Result<impl Subscriber + Send + Sync + 'static> {
        let screen = self.screen.then(|| screen(io::stderr().is_terminal(), || BesideBars));
        self.subscriber_on(screen, std::env::var("RUST_LOG").ok().as_deref())
    }

    fn subscriber_on<S>(self, screen: Option<S>, rust_log: Option<&str>) -> Result<impl Subscriber + Send + Sync + use<S>>
    where
        S: Layer<Registry> + Send + Sync,
    {
        let of_program = filter(&self.levels)?;
        let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = Vec::new();
        if let Some(place) = &self.file {
            let file = place.open()?;
            layers.push(file.layer().with_filter(filter(&format!("{}{}", self.levels, self.file_levels))?).boxed());
            layers.extend(file.follow().map(Layer::boxed));
        }
        layers.push(tracker::layer().with_filter(of_program.clone()).boxed());
        if let Some(screen) = screen {
            layers.push(screen.with_filter(rust_log.and_then(asked_for).unwrap_or(of_program)).boxed());
        }
        Ok(tracing_subscriber::registry().with(layers))
    }
}

impl Place {
    fn open(&self) -> Result<RunFile> {
        match self {
            Place::InRun => Ok(RunFile::of_runs()),
            Place::At(path) => RunFile::open(path).map_err(|error| {
                Error::config("console", format!("`{}` cannot be opened: {error}", path.display()), "choose another file")
            }),
        }
    }
}

fn screen<W>(is_terminal: bool, writer: W) -> impl Layer<Registry> + Send + Sync + use<W>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().event_format(Line::default()).fmt_fields(Fields::default()).with_writer(writer);
    // On a terminal the layer decides by `NO_COLOR`.
    if is_terminal { layer } else { layer.with_ansi(false) }
}

fn directive(target: &str, level: Level) -> String {
    format!(",{target}={level}")
}

fn filter(levels: &str) -> Result<Targets> {
    let targets = levels.parse();
    targets.map_err(|error| Error::config("console", format!("`{levels}`: {error}"), "a target is a crate or the path of a module"))
}

/// The levels in `RUST_LOG`. What cannot be understood of it is named on stderr, the rest counts; `None` if nothing is left.
fn asked_for(variable: &str) -> Option<Targets> {
    let parts = variable.split(',').map(str::trim).filter(|part| !part.is_empty());
    let understood = |part: &&str| {
        let parsed = part.parse::<Targets>();
        if let Err(error) = &parsed {
            // Without a stderr there is nobody to tell.
            let _ = writeln!(io::stderr().lock(), "`{part}` in `RUST_LOG` is left out: {error}");
        }
        parsed.is_ok()
    };
    let understood: Vec<&str> = parts.filter(understood).collect();
    if understood.is_empty() { None } else { understood.join(",").parse().ok() }
}

/// Stderr, without tearing a bar.
struct BesideBars;

impl Write for BesideBars {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let print = || io::stderr().lock().write_all(line);
        if io::stderr().is_terminal() {
            Printer::live().suspend(print)?;
        } else {
            print()?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
