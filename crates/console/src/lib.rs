//! Shows what a run reports: on the screen above the progress bar, and in a file.
//!
//! Stormfire's crates report through [`tracing`](https://docs.rs/tracing). Nothing is shown unless the program installs
//! a subscriber. [`init`] installs a subscriber that suits training. Any other subscriber works as well.
//!
//! ```
//! fn main() -> stormfire_module::Result<()> {
//!     stormfire_console::init();
//!     // Trainer::new().fit(..)
//!     Ok(())
//! }
//! ```
//!
//! A line on the screen goes to stderr and looks like this:
//!
//! ```text
//! 14:03:07 INFO  stormfire_loggers: `CsvLogger` does not support images: they are left out
//! ```
//!
//! Levels are set per *target*, the path of the module that reports. Its first part is the crate. See `docs/console.md`
//! for details.

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
use line::{Fields, Line, rank};

/// The default levels.
const DEFAULT: &str = "warn,stormfire=info";

/// The default levels on the screens of the ranks other than 0, which say the same.
const OF_OTHER_RANKS: &str = "warn";

/// Shows on stderr what Stormfire reports from level info on, and the warnings of all other crates. The environment
/// variable `RUST_LOG` overrides the levels. `NO_COLOR` turns colors off.
///
/// With several ranks, every line names its rank, and those other than rank 0 show warnings only.
///
/// Lines appear above a live progress bar, and on the console pages of W&B and Comet. If the program has already
/// installed a subscriber of `tracing`, this does nothing. [`Builder`] has options.
pub fn init() {
    // A subscriber that is already installed is the choice of the program.
    drop(Builder::new().init());
}

/// Options of the console: levels by target, and a file.
///
/// ```
/// use stormfire_console::{Builder, Level};
///
/// # fn main() -> stormfire_module::Result<()> {
/// Builder::new()
///     .level("stormfire_loggers", Level::ERROR) // only errors of the loggers
///     .level("my_program", Level::DEBUG)
///     .file() // also writes `training.log` in the folder of the run
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
    /// A console for the screen only, with the levels of [`init`].
    pub fn new() -> Self {
        Self { levels: DEFAULT.to_owned(), file_levels: String::new(), screen: true, file: None }
    }

    /// Sets the level of a target and of everything below it. `"stormfire_loggers"` is a crate,
    /// `"stormfire_loggers::writer"` a part of it, `"stormfire"` all of Stormfire's crates. [`Level::OFF`] shows
    /// nothing.
    ///
    /// The longest matching target decides. For the same target, the last call decides. `RUST_LOG` replaces all levels
    /// on the screen.
    pub fn level(mut self, target: &str, level: Level) -> Self {
        self.levels.push_str(&directive(target, level));
        self
    }

    /// Like [`Builder::level`], for the file only. Default: the levels set with [`Builder::level`].
    pub fn file_level(mut self, target: &str, level: Level) -> Self {
        self.file_levels.push_str(&directive(target, level));
        self
    }

    /// Shows nothing on the screen. Useful with a file.
    pub fn no_screen(mut self) -> Self {
        self.screen = false;
        self
    }

    /// Appends every line to `training.log` in the folder of the run (`Trainer::log_dir`),
    /// with the time in UTC and the current epoch. Lines reported before the run has a folder are in the file, too.
    ///
    /// With several ranks, each rank other than 0 has a file `training-rankN.log`.
    ///
    /// Each line is written before the program continues, so a crash loses none. A resumed run appends to its file. The
    /// next run with another folder gets a file there. A run without a folder has no file.
    pub fn file(mut self) -> Self {
        self.file = Some(Place::InRun);
        self
    }

    /// Like [`Builder::file`], but always writes to this file. A missing folder is created.
    pub fn file_at(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(Place::At(path.into()));
        self
    }

    /// Installs the console for the whole process.
    ///
    /// # Errors
    /// [`Error::Config`] if a subscriber of `tracing` is already installed, and the errors of [`Builder::subscriber`].
    pub fn init(self) -> Result<()> {
        self.subscriber()?
            .try_init()
            .map_err(|error| Error::config("console", error.to_string(), "install one subscriber, once, at the start of `main`"))
    }

    /// Returns the console as a subscriber without installing it, for [`tracing::subscriber::with_default`] and similar
    /// functions.
    ///
    /// # Errors
    /// [`Error::Config`] if the target of a level is invalid, or if the file of [`Builder::file_at`] cannot be opened.
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
            let of_screen = if rank().is_some_and(|rank| rank > 0) { filter(OF_OTHER_RANKS)? } else { of_program };
            layers.push(screen.with_filter(rust_log.and_then(asked_for).unwrap_or(of_screen)).boxed());
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
    // On a terminal, the layer checks `NO_COLOR`.
    if is_terminal { layer } else { layer.with_ansi(false) }
}

fn directive(target: &str, level: Level) -> String {
    format!(",{target}={level}")
}

fn filter(levels: &str) -> Result<Targets> {
    let targets = levels.parse();
    targets.map_err(|error| Error::config("console", format!("`{levels}`: {error}"), "a target is a crate or the path of a module"))
}

/// The levels in `RUST_LOG`. Invalid parts are reported on stderr and skipped. `None` if no valid part is left.
fn asked_for(variable: &str) -> Option<Targets> {
    let parts = variable.split(',').map(str::trim).filter(|part| !part.is_empty());
    let understood = |part: &&str| {
        let parsed = part.parse::<Targets>();
        if let Err(error) = &parsed {
            // Without stderr, there is nowhere to report this.
            let _ = writeln!(io::stderr().lock(), "`{part}` in `RUST_LOG` is ignored: {error}");
        }
        parsed.is_ok()
    };
    let understood: Vec<&str> = parts.filter(understood).collect();
    if understood.is_empty() { None } else { understood.join(",").parse().ok() }
}

/// Writes to stderr without tearing a progress bar.
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
