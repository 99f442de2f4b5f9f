//! Records that were not delivered to a tracking server during their run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::SPOOLING;
use crate::network::outbox::{Route, damaged, waiting};
use crate::{Delivery, Error, Result};

/// Records of a run that wait on the disk for a tracking server. `stormfire sync` sends them. They may have been moved
/// to another machine.
///
/// ```no_run
/// use std::time::Duration;
/// use stormfire_loggers::SpooledRun;
///
/// for run in SpooledRun::find("runs")? {
///     println!("{} of {}: {}", run.name(), run.tracker(), run.deliver(Duration::from_secs(30))?);
/// }
/// # Ok::<(), stormfire_loggers::Error>(())
/// ```
#[derive(Debug)]
pub struct SpooledRun {
    tracker: &'static str,
    /// `None` if this build does not contain the tracker.
    spools: Option<Spools>,
    folder: PathBuf,
    name: String,
    server: String,
    records: u64,
    damaged: u64,
}

impl SpooledRun {
    /// All runs with waiting records or damaged lines in a folder and below it, sorted by path. Does not follow links.
    /// Does not enter hidden folders except `.stormfire`, in which loggers spool.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder or a spool cannot be read.
    pub fn find(folder: impl AsRef<Path>) -> Result<Vec<Self>> {
        let folder = folder.as_ref();
        fs_err::read_dir(folder)?;
        let mut found = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            if let Some((tracker, spools)) = tracker_of(&folder)? {
                found.extend(Self::look(tracker, spools, folder)?);
                continue;
            }
            // Skips folders without read permission.
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let is_hidden = name.to_string_lossy().starts_with('.') && name != HOME;
                if !is_hidden && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push(entry.path());
                }
            }
        }
        found.sort_by(|left, right| left.folder.cmp(&right.folder));
        Ok(found)
    }

    fn look(tracker: &'static str, spools: Option<Spools>, folder: PathBuf) -> Result<Option<Self>> {
        let records = match spools {
            Some(spools) => (spools.waiting)(&folder)?,
            None => waiting(&folder)?.0,
        };
        let damaged = damaged(&folder);
        // A failure here is reported by the delivery.
        let told = spools.and_then(|spools| (spools.tell)(&folder).ok());
        let unknown = || (folder.file_name().unwrap_or_default().to_string_lossy().into_owned(), "an unknown server".to_owned());
        let (name, server) = told.unwrap_or_else(unknown);
        Ok((records + damaged > 0).then_some(Self { tracker, spools, folder, name, server, records, damaged }))
    }

    /// The tracker: `comet`, `mlflow`, `trackio` or `wandb`.
    pub fn tracker(&self) -> &'static str {
        self.tracker
    }

    /// The name of the run, after its project or experiment.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address of the server.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The folder of the spool.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Number of waiting records.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Number of damaged lines. They are kept in the file `damaged.jsonl` of the folder until a user removes it.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Sends the records in order, as the logger would, with the key or token in the environment. Stops if nothing was
    /// delivered for the time `patience`. The spool is removed when it is empty, unless a checkpoint of the run was
    /// saved, because the run may be resumed from it.
    ///
    /// # Errors
    /// * [`Error::Undelivered`] if a record is left, was refused or is damaged.
    /// * [`Error::RunInUse`] while the process of the run is active, because it sends them itself.
    /// * [`Error::Missing`] if the environment lacks the key or login of the run.
    pub fn deliver(&self, patience: Duration) -> Result<Delivery> {
        let missing = || Error::Missing {
            logger: self.tracker.to_owned(),
            what: "a program that was built with its cargo feature",
            hint: "build `stormfire` with the feature of the tracker's name, or with `all-loggers`",
        };
        (self.spools.ok_or_else(missing)?.deliver)(&self.folder, patience)
    }
}

/// The folder for spools, below the `save_dir` of a logger.
const HOME: &str = ".stormfire";

/// The functions for the spools of one tracker.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spools {
    /// Number of waiting records.
    waiting: fn(&Path) -> Result<u64>,
    /// The names of the run and the server.
    tell: fn(&Path) -> Result<(String, String)>,
    deliver: fn(&Path, Duration) -> Result<Delivery>,
}

impl Spools {
    pub(super) const fn of<T: Route>() -> Self {
        Self {
            waiting: T::waiting,
            tell: |folder| T::load(folder).map(|route| (route.run(), route.server())),
            deliver: |folder, patience| T::load(folder)?.deliver(folder, patience),
        }
    }
}

/// The tracker of a spool's folder, `.stormfire/TRACKER/RUN`, and its functions.
fn tracker_of(folder: &Path) -> Result<Option<(&'static str, Option<Spools>)>> {
    let folder = std::path::absolute(folder)?;
    let mut parents = folder.ancestors().skip(1).map(|parent| parent.file_name().unwrap_or_default());
    let found = parents.next().and_then(|name| SPOOLING.into_iter().find(|(tracker, _)| name == *tracker));
    Ok(found.filter(|_| parents.next().is_some_and(|name| name == HOME)))
}
