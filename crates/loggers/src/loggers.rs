//! All loggers of a run behind one handle.

mod media;

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::{Background, CheckpointInfo, ConsoleStream, Hyperparams, Logger, Metrics, Result, Status, share_versions};

/// No run counts so far.
const NO_STEP: u64 = u64::MAX;

/// The loggers of a run, each on a thread of its own. Clones are cheap and mean the same loggers; any thread may have one.
///
/// Whatever is logged goes to every logger, in order, and nothing of it fails: a kind of value that a backend has no place
/// for is left out there, which is reported once for each kind, and the error of a logger waits until somebody asks for it, which
/// is the Trainer, or [`Loggers::flush`] and [`Loggers::finalize`] in a program of one's own.
///
/// ```
/// use stormfire_loggers::{CsvLogger, Image, Loggers, MemoryLogger, Status};
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let memory = MemoryLogger::new();
/// let loggers = Loggers::spawn([Box::new(memory.clone()) as _, Box::new(CsvLogger::new(folder)) as _])?;
/// loggers.log_metrics([("loss", 0.5)], 0);
/// // A table has no place for it: `CsvLogger` says so once, and goes on.
/// loggers.log_image("digit", Image::new(2, 1, 1, vec![0, 255])?, 0);
/// let folder = loggers.experiment::<CsvLogger>().and_then(|csv| csv.log_dir().map(std::path::Path::to_owned));
/// loggers.finalize(Status::Success)?;
/// assert!(folder.is_some_and(|folder| folder.join("metrics.csv").exists()));
/// # Ok::<(), stormfire_loggers::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Loggers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    all: Vec<Background>,
    step: AtomicU64,
}

impl Loggers {
    /// Opens loggers, and gives each a thread of its own. Those of different kinds in one experiment share a version, as
    /// [`share_versions`] lets them.
    ///
    /// # Errors
    /// As [`Background::spawn`], of the first that fails.
    pub fn spawn(loggers: impl IntoIterator<Item = Box<dyn Logger>>) -> Result<Self> {
        let mut loggers: Vec<_> = loggers.into_iter().collect();
        share_versions(&mut loggers);
        loggers.into_iter().map(Background::spawn).collect()
    }

    /// Queues [`Logger::log_metrics`] at every logger. Without a step it is the current one, as for media.
    pub fn log_metrics(&self, metrics: impl Into<Metrics>, step: impl Into<Option<u64>>) {
        let (metrics, step) = (metrics.into(), self.step_or_current(step));
        for logger in self.iter() {
            logger.offer_metrics(metrics.clone(), step);
        }
    }

    /// Queues [`Logger::log_hyperparams`] at every logger.
    pub fn log_hyperparams(&self, params: &Hyperparams, initial_metrics: &Metrics) {
        for logger in self.iter() {
            let (params, initial_metrics) = (params.clone(), initial_metrics.clone());
            logger.offer(move |logger| logger.log_hyperparams(&params, &initial_metrics));
        }
    }

    /// Queues [`Logger::log_console`] at every logger.
    pub fn log_console(&self, stream: ConsoleStream, lines: &str) {
        for logger in self.iter() {
            let lines = lines.to_owned();
            logger.offer(move |logger| logger.log_console(stream, &lines));
        }
    }

    /// Queues [`Logger::knows_checkpoint`] at every logger.
    pub fn knows_checkpoint(&self, checkpoint: &CheckpointInfo) {
        for logger in self.iter() {
            let checkpoint = checkpoint.clone();
            logger.offer(move |logger| logger.knows_checkpoint(&checkpoint));
        }
    }

    /// The first logger that is an `L`, by its own type; `None` if there is none.
    ///
    /// ```
    /// use stormfire_loggers::{Background, Loggers, MemoryLogger};
    /// let loggers = Loggers::spawn([Box::new(MemoryLogger::new()) as _])?;
    /// loggers.log_metrics([("loss", 0.5)], 3);
    /// if let Some(memory) = loggers.experiment::<MemoryLogger>() {
    ///     assert_eq!(memory.call(|memory| Ok(memory.rows().len()))?, 1);
    /// }
    /// # Ok::<(), stormfire_loggers::Error>(())
    /// ```
    pub fn experiment<L: Logger>(&self) -> Option<Experiment<L>> {
        let at = self.iter().position(Background::is::<L>)?;
        Some(Experiment { loggers: self.clone(), at, of: PhantomData })
    }

    /// Waits until everything logged so far is done and saved.
    ///
    /// # Errors
    /// The first error since the last report. Every logger is waited for.
    pub fn flush(&self) -> Result<()> {
        self.each(<dyn Logger>::save)
    }

    /// Waits until everything logged so far is done, and tells every logger how the run ended. More may be logged afterwards.
    ///
    /// # Errors
    /// The first error since the last report. Every logger is told.
    pub fn finalize(&self, status: Status) -> Result<()> {
        self.each(move |logger| logger.finalize(status))
    }

    /// From now on a value that is not 0 means that a signal has asked the process to end: then nobody waits longer for a logger
    /// that is stuck in one call than its [`Logger::longest_call`], and whoever waited gets [`Error::GivenUp`](crate::Error::GivenUp). The Trainer gives the
    /// number of the signal that ends its run.
    pub fn hurry_when(&self, signal: &Arc<AtomicUsize>) {
        for logger in self.iter() {
            logger.hurry_when(Arc::clone(signal));
        }
    }

    /// The step under which media are logged that come without one. The Trainer sets it; a program of one's own may.
    pub fn set_step(&self, step: u64) {
        self.0.step.store(step, Ordering::Relaxed);
    }

    /// The step that was set last: in a run the 0-based count of batches that stepped, as for metrics.
    pub fn step(&self) -> Option<u64> {
        Some(self.0.step.load(Ordering::Relaxed)).filter(|&step| step != NO_STEP)
    }

    pub(crate) fn step_or_current(&self, step: impl Into<Option<u64>>) -> Option<u64> {
        step.into().or_else(|| self.step())
    }

    /// Asks all of them before it waits for the first: each may have a server to wait for.
    fn each(&self, job: impl FnOnce(&mut dyn Logger) -> Result<()> + Copy + Send + 'static) -> Result<()> {
        let asked: Vec<_> = self.iter().map(|logger| logger.settling(job)).collect();
        let results: Vec<_> = self.iter().zip(&asked).map(|(logger, finished)| logger.settled(finished)).collect();
        results.into_iter().collect()
    }
}

impl Default for Loggers {
    fn default() -> Self {
        Self::from(Vec::new())
    }
}

impl From<Vec<Background>> for Loggers {
    fn from(all: Vec<Background>) -> Self {
        Self(Arc::new(Shared { all, step: AtomicU64::new(NO_STEP) }))
    }
}

impl FromIterator<Background> for Loggers {
    fn from_iter<I: IntoIterator<Item = Background>>(loggers: I) -> Self {
        Self::from(loggers.into_iter().collect::<Vec<_>>())
    }
}

impl Deref for Loggers {
    type Target = [Background];

    fn deref(&self) -> &[Background] {
        &self.0.all
    }
}

/// A logger as the type that it is: what only this backend can do. See [`Loggers::experiment`].
///
/// It lends the [`Background`] that the logger runs in.
#[derive(Debug)]
pub struct Experiment<L> {
    loggers: Loggers,
    at: usize,
    of: PhantomData<fn(L)>,
}

impl<L: Logger> Experiment<L> {
    /// Runs a job on the logger, after all that were submitted before, and waits for its answer.
    ///
    /// # Errors
    /// As [`Background::call`].
    pub fn call<R: Send + 'static>(&self, job: impl FnOnce(&mut L) -> Result<R> + Send + 'static) -> Result<R> {
        Background::call(self, job)
    }

    /// Queues a job on the logger.
    ///
    /// # Errors
    /// As [`Background::with`].
    pub fn with(&self, job: impl FnOnce(&mut L) -> Result<()> + Send + 'static) -> Result<()> {
        Background::with(self, job)
    }
}

impl<L> Deref for Experiment<L> {
    type Target = Background;

    fn deref(&self) -> &Background {
        &self.loggers.0.all[self.at]
    }
}
