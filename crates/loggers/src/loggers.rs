//! One handle for all loggers of a run.

mod media;

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::logger::share_versions;
use crate::{Background, CheckpointInfo, ConsoleStream, Hyperparams, Logger, Metrics, Result, Status};

/// The value of `step` before the first [`DriveLoggers::set_step`].
const NO_STEP: u64 = u64::MAX;

/// The loggers of a run, each on its own thread. Clones are cheap handles of the same loggers and can be sent to any
/// thread.
///
/// Each value goes to every logger, in order, and no call that logs a value fails. A backend skips the kinds of values
/// that it does not support, and reports each kind once. An error of a logger is kept until it is collected: by the
/// Trainer, or by [`Loggers::flush`] and [`Loggers::finalize`] in a program without one.
///
/// ```
/// use stormfire_loggers::{CsvLogger, Image, Loggers, MemoryLogger, Status};
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let memory = MemoryLogger::new();
/// let loggers = Loggers::spawn([Box::new(memory.clone()) as _, Box::new(CsvLogger::new(folder)) as _])?;
/// loggers.log_metrics([("loss", 0.5)], 0);
/// // `CsvLogger` does not support images: it skips them and reports that once.
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
    /// Opens the loggers and starts a thread for each. Loggers of different kinds in one experiment share a version, if
    /// none is given.
    ///
    /// # Errors
    /// As [`Background::spawn`], for the first logger that fails.
    pub fn spawn(loggers: impl IntoIterator<Item = Box<dyn Logger>>) -> Result<Self> {
        let mut loggers: Vec<_> = loggers.into_iter().collect();
        share_versions(&mut loggers);
        loggers.into_iter().map(Background::spawn).collect()
    }

    /// Queues [`Logger::log_metrics`] at every logger. `None` stands for the current [`step`](Loggers::step), as for
    /// media.
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

    /// The first logger of type `L`, as a typed handle. `None` if no logger has this type.
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

    /// Waits until every record so far is written and saved.
    ///
    /// # Errors
    /// The first error since the last report. An error does not end the wait for the other loggers.
    pub fn flush(&self) -> Result<()> {
        self.each(<dyn Logger>::save)
    }

    /// Waits until every record so far is written, and reports the status of the run to every logger. Further records
    /// may follow.
    ///
    /// # Errors
    /// The first error since the last report. Every logger gets the status, even after an error.
    pub fn finalize(&self, status: Status) -> Result<()> {
        self.each(move |logger| logger.finalize(status))
    }

    /// The step of media that are logged without one. In a run it is the 0-based count of batches that stepped, as for
    /// metrics. `None` without a run.
    pub fn step(&self) -> Option<u64> {
        Some(self.0.step.load(Ordering::Relaxed)).filter(|&step| step != NO_STEP)
    }

    pub(crate) fn step_or_current(&self, step: impl Into<Option<u64>>) -> Option<u64> {
        step.into().or_else(|| self.step())
    }

    /// Submits the job to all loggers before it waits for the first, because each may wait for a server.
    fn each(&self, job: impl FnOnce(&mut dyn Logger) -> Result<()> + Copy + Send + 'static) -> Result<()> {
        let asked: Vec<_> = self.iter().map(|logger| logger.settling(job)).collect();
        let results: Vec<_> = self.iter().zip(&asked).map(|(logger, finished)| logger.settled(finished)).collect();
        results.into_iter().collect()
    }
}

/// Gives loggers the step of a run, and the signal that ends it.
pub trait DriveLoggers {
    /// Watches a signal number. Once it is not 0, a signal has requested the process to end. From then on, no caller
    /// waits for a logger longer than its [`Logger::longest_call`] in one call. After that time the caller gets
    /// [`Error::GivenUp`](crate::Error::GivenUp). The Trainer sets the number of the signal that ends its run.
    fn hurry_when(&self, signal: &Arc<AtomicUsize>);

    /// Sets the step of media that are logged without one.
    fn set_step(&self, step: u64);
}

impl DriveLoggers for Loggers {
    fn hurry_when(&self, signal: &Arc<AtomicUsize>) {
        for logger in self.iter() {
            logger.hurry_when(Arc::clone(signal));
        }
    }

    #[inline]
    fn set_step(&self, step: u64) {
        self.0.step.store(step, Ordering::Relaxed);
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

/// A typed handle of a logger, for the methods that only this backend has. See [`Loggers::experiment`].
///
/// It dereferences to the [`Background`] that runs the logger.
#[derive(Debug)]
pub struct Experiment<L> {
    loggers: Loggers,
    at: usize,
    of: PhantomData<fn(L)>,
}

impl<L: Logger> Experiment<L> {
    /// Runs a job on the logger, after all earlier jobs, and waits for the result.
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
