//! Runs a logger on a separate thread.

mod drive;
mod facts;
mod hurry;
mod pending;
mod queue;
#[cfg(test)]
mod tests;

use std::any::TypeId;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use drive::DriveBackground;
use facts::Facts;
use hurry::Hurry;
pub use pending::PendingPosition;
use queue::{Job, Queue};
use serde_json::Value;

use crate::{CheckpointInfo, Error, Hyperparams, Logger, Metrics, Result, Status};

/// Maximum number of waiting jobs. A submit blocks while the queue is full.
pub const QUEUE_CAPACITY: usize = 1024;

/// Maximum interval between two saves while jobs keep coming.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// Runs a [`Logger`] on a separate thread, in the order of submission.
///
/// * **Bounded.** At most [`QUEUE_CAPACITY`] jobs wait, and as many again may be in work. A submit blocks while the
///   queue is full. No job is dropped.
/// * **Cheap to submit.** While jobs keep coming, the thread checks for them every 20 ms. A submit rarely wakes it.
/// * **Little delay.** Whenever the queue is empty, and about once a second, the thread calls [`save`](Logger::save). A
///   `kill -9` loses the last moments, normally less than 50 ms.
/// * **Errors surface.** The next [`submit`](Self::submit), [`flush`](Self::flush) or [`finalize`](Self::finalize)
///   returns the first error or panic, once. Logging continues. Further errors until then go to `tracing` (debug).
/// * **Dropping** the last handle (also in a panic) runs the queued jobs, saves, and ends the thread.
///
/// A job must not use the `Background` that runs it: it would deadlock. Clones are handles of the same logger.
///
/// ```
/// use stormfire_loggers::{Background, MemoryLogger, Status};
/// let memory = MemoryLogger::new();
/// let logger = Background::spawn(Box::new(memory.clone()))?;
/// logger.log_metrics([("loss", 0.5)].into(), Some(0))?;
/// logger.submit(|logger| logger.log_metrics(&[("loss", 0.25)].into(), Some(1)))?;
/// logger.flush()?;
/// assert_eq!(memory.metrics().len(), 2);
/// let rows = logger.call(|memory: &mut MemoryLogger| Ok(memory.rows()))?;
/// assert_eq!(rows[1], ("loss".to_owned(), 0.25, Some(1)));
/// logger.finalize(Status::Success)?;
/// # Ok::<(), stormfire_loggers::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Background {
    facts: Arc<Facts>,
    queue: Arc<Queue>,
    _thread: Arc<Thread>,
}

/// Ends the thread when the last handle is dropped.
#[derive(Debug)]
struct Thread {
    facts: Arc<Facts>,
    queue: Arc<Queue>,
    handle: Option<JoinHandle<()>>,
}

impl Background {
    /// Opens the logger on this thread, then moves it to its own thread.
    ///
    /// # Errors
    /// The error of [`Logger::open`], or [`Error::Io`] if the thread cannot be started.
    pub fn spawn(mut logger: Box<dyn Logger>) -> Result<Self> {
        logger.open()?;
        let facts = Arc::new(Facts::of(&*logger));
        let queue = Arc::new(Queue::new(Hurry::new(logger.longest_call())));
        let worker = Worker { logger, facts: Arc::clone(&facts), queue: Arc::clone(&queue), unsaved: false, saved: Instant::now() };
        let handle = thread::Builder::new().name(format!("log {}", facts.name.replace('\0', " "))).spawn(move || worker.run())?;
        let thread = Thread { facts: Arc::clone(&facts), queue: Arc::clone(&queue), handle: Some(handle) };
        Ok(Self { facts, queue, _thread: Arc::new(thread) })
    }

    /// Whether the logger has type `L`.
    pub fn is<L: Logger>(&self) -> bool {
        self.facts.of_type == TypeId::of::<L>()
    }

    /// Queues a job. The job is queued even if the error of an earlier job is returned.
    ///
    /// # Errors
    /// The first error of an earlier job since the last report.
    pub fn submit(&self, job: impl FnOnce(&mut dyn Logger) -> Result<()> + Send + 'static) -> Result<()> {
        self.queue.push(Job::Run(Box::new(job)))
    }

    /// As [`Background::submit`], for a job whose value the logger may not support ([`Error::Unsupported`]). Each
    /// unsupported kind of value is reported once.
    ///
    /// # Errors
    /// As [`Background::submit`].
    pub fn submit_lenient(&self, job: impl FnOnce(&mut dyn Logger) -> Result<()> + Send + 'static) -> Result<()> {
        self.queue.push(self.lenient(job))
    }

    /// As [`Background::submit_lenient`], but leaves errors of earlier jobs for the next report.
    pub(crate) fn offer(&self, job: impl FnOnce(&mut dyn Logger) -> Result<()> + Send + 'static) {
        self.queue.push_quietly(self.lenient(job));
    }

    /// As [`Background::log_metrics`], but leaves errors of earlier jobs for the next report.
    pub(crate) fn offer_metrics(&self, metrics: Metrics, step: Option<u64>) {
        self.queue.push_quietly(Job::Metrics(metrics, step));
    }

    fn lenient(&self, job: impl FnOnce(&mut dyn Logger) -> Result<()> + Send + 'static) -> Job {
        let facts = Arc::clone(&self.facts);
        Job::Run(Box::new(move |logger| match job(logger) {
            Err(Error::Unsupported { what, .. }) => {
                if facts.is_new(what) {
                    let logger = facts.kind.rsplit("::").next().unwrap_or(facts.kind);
                    tracing::info!("`{logger}` does not support {what}: they are left out");
                }
                Ok(())
            }
            other => other,
        }))
    }

    #[cfg(test)]
    pub(crate) fn said_unsupported(&self) -> Vec<&'static str> {
        self.facts.unsupported.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Queues [`Logger::log_metrics`].
    ///
    /// # Errors
    /// As [`Background::submit`].
    pub fn log_metrics(&self, metrics: Metrics, step: Option<u64>) -> Result<()> {
        self.queue.push(Job::Metrics(metrics, step))
    }

    /// Queues [`Logger::log_hyperparams`].
    ///
    /// # Errors
    /// As [`Background::submit`].
    pub fn log_hyperparams(&self, params: Hyperparams, initial_metrics: Metrics) -> Result<()> {
        self.submit(move |logger| logger.log_hyperparams(&params, &initial_metrics))
    }

    /// Queues [`Logger::after_save_checkpoint`].
    ///
    /// # Errors
    /// As [`Background::submit`].
    pub fn after_save_checkpoint(&self, checkpoint: CheckpointInfo) -> Result<()> {
        self.submit(move |logger| logger.after_save_checkpoint(&checkpoint))
    }

    /// Waits until everything submitted so far is written and saved.
    ///
    /// # Errors
    /// The first error since the last report.
    pub fn flush(&self) -> Result<()> {
        self.settle(Logger::save)
    }

    /// Waits until everything submitted so far is written, and reports the status of the run to the logger. Further
    /// records may follow.
    ///
    /// # Errors
    /// The first error since the last report.
    pub fn finalize(&self, status: Status) -> Result<()> {
        self.settle(move |logger| logger.finalize(status))
    }

    /// Runs a job on the backend's concrete type, after all earlier jobs, and waits for the result.
    ///
    /// # Errors
    /// [`Error::WrongLogger`] if the logger is not an `L`, [`Error::Panicked`] if the job panics, otherwise the error
    /// of the job. Errors of earlier jobs stay for the next report.
    pub fn call<L: Logger, R: Send + 'static>(&self, job: impl FnOnce(&mut L) -> Result<R> + Send + 'static) -> Result<R> {
        self.check::<L>()?;
        let facts = Arc::clone(&self.facts);
        let answered = self.ask(move |logger| job(typed(logger, &facts.name)?));
        answer(&self.facts, &self.queue, &answered)?
    }

    /// Queues a job on the backend's concrete type.
    ///
    /// # Errors
    /// [`Error::WrongLogger`] if the logger is not an `L`. Otherwise as [`Background::submit`].
    pub fn with<L: Logger>(&self, job: impl FnOnce(&mut L) -> Result<()> + Send + 'static) -> Result<()> {
        self.check::<L>()?;
        let facts = Arc::clone(&self.facts);
        self.submit(move |logger| job(typed(logger, &facts.name)?))
    }

    /// Requests [`Logger::position`] after everything submitted so far. Does not wait for the result.
    pub fn position(&self) -> PendingPosition {
        self.pending(self.ask(Logger::position))
    }

    /// See [`DriveLoggers::hurry_when`](crate::for_trainer::DriveLoggers::hurry_when).
    pub(crate) fn hurry_when(&self, signal: Arc<AtomicUsize>) {
        self.queue.hurry.when(signal);
    }

    fn pending(&self, answered: mpsc::Receiver<Result<Value>>) -> PendingPosition {
        PendingPosition { facts: Arc::clone(&self.facts), queue: Arc::clone(&self.queue), answered }
    }

    fn check<L: Logger>(&self) -> Result<()> {
        if self.is::<L>() { Ok(()) } else { Err(wrong::<L>(&self.facts.name)) }
    }

    /// Queues a job whose result is awaited, on this or another thread.
    fn ask<R: Send + 'static>(&self, job: impl FnOnce(&mut dyn Logger) -> Result<R> + Send + 'static) -> mpsc::Receiver<Result<R>> {
        let (job, answered) = question(&self.facts, job);
        self.queue.push_urgent(job);
        answered
    }

    /// As [`Background::ask`], for a job that does not change the log. A scheduled [`DriveBackground::resume`] or
    /// [`DriveBackground::mark`] stays scheduled.
    fn ask_aside<R: Send + 'static>(&self, job: impl FnOnce(&mut dyn Logger) -> Result<R> + Send + 'static) -> Result<R> {
        let (job, answered) = question(&self.facts, job);
        self.queue.push_aside(job);
        answered.recv().map_err(|_| stopped(&self.facts))?
    }

    /// Calls [`Logger::log_dirs`].
    ///
    /// # Errors
    /// The error of [`Logger::log_dirs`], [`Error::Panicked`] or [`Error::Stopped`].
    pub fn log_dirs(&self) -> Result<Option<Vec<PathBuf>>> {
        self.ask_aside(|logger| logger.log_dirs())
    }

    fn settle(&self, last: impl FnOnce(&mut dyn Logger) -> Result<()> + Send + 'static) -> Result<()> {
        self.settled(&self.settling(last))
    }

    /// Queues a job that [`Background::settled`] waits for.
    pub(crate) fn settling(&self, last: impl FnOnce(&mut dyn Logger) -> Result<()> + Send + 'static) -> mpsc::Receiver<()> {
        let (done, finished) = mpsc::sync_channel(1);
        self.queue.push_urgent(Job::Settle(Box::new(last), done));
        finished
    }

    pub(crate) fn settled(&self, finished: &mpsc::Receiver<()>) -> Result<()> {
        answer(&self.facts, &self.queue, finished)?;
        self.queue.take_error().map_or(Ok(()), Err)
    }
}

/// Creates a job that sends its result.
fn question<R: Send + 'static>(
    facts: &Arc<Facts>,
    job: impl FnOnce(&mut dyn Logger) -> Result<R> + Send + 'static,
) -> (Job, mpsc::Receiver<Result<R>>) {
    let (answer, answered) = mpsc::sync_channel(1);
    let facts = Arc::clone(facts);
    let job = Job::Run(Box::new(move |logger| {
        let outcome = guarded(&facts.name, || job(logger));
        // If the caller no longer waits, the result is not needed.
        let _ = answer.send(outcome);
        Ok(())
    }));
    (job, answered)
}

/// Waits for the result from the logger's thread.
fn answer<R>(facts: &Facts, queue: &Queue, answered: &mpsc::Receiver<R>) -> Result<R> {
    let attempt = |time| match answered.recv_timeout(time) {
        Ok(answer) => Some(Some(answer)),
        Err(mpsc::RecvTimeoutError::Disconnected) => Some(None),
        Err(mpsc::RecvTimeoutError::Timeout) => None,
    };
    match queue.hurry.wait(attempt) {
        Some(answer) => answer.ok_or_else(|| stopped(facts)),
        None => Err(Error::GivenUp { logger: facts.name.clone(), after: facts.longest_call }),
    }
}

fn stopped(facts: &Facts) -> Error {
    Error::Stopped { logger: facts.name.clone() }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.handle.take()
            && thread.thread().id() != thread::current().id()
        {
            let end = |time| {
                // The end of the thread wakes no waiter, so this polls.
                let until = Instant::now() + time;
                while !thread.is_finished() && Instant::now() < until {
                    thread::sleep(Duration::from_millis(1));
                }
                thread.is_finished().then_some(())
            };
            // An abandoned thread ends with the process.
            if self.queue.hurry.wait(end).is_some() && thread.join().is_err() {
                tracing::error!(logger = self.facts.name, "the background writer panicked");
            }
        }
        if let Some(error) = self.queue.take_error() {
            tracing::error!(logger = self.facts.name, %error, "a logger failed after its last handle was dropped");
        }
    }
}

fn wrong<L>(logger: &str) -> Error {
    Error::WrongLogger { logger: logger.to_owned(), expected: std::any::type_name::<L>() }
}

fn typed<'a, L: Logger>(logger: &'a mut dyn Logger, name: &str) -> Result<&'a mut L> {
    logger.downcast_mut().ok_or_else(|| wrong::<L>(name))
}

/// Turns a panic into an error.
fn guarded<R>(logger: &str, job: impl FnOnce() -> Result<R>) -> Result<R> {
    // A logger is used further after a panic. Losing all later records would be worse than one inconsistent record.
    catch_unwind(AssertUnwindSafe(job)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<&str>()
            .map(|message| (*message).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Err(Error::Panicked { logger: logger.to_owned(), message })
    })
}

struct Worker {
    logger: Box<dyn Logger>,
    facts: Arc<Facts>,
    queue: Arc<Queue>,
    unsaved: bool,
    saved: Instant,
}

impl Worker {
    fn run(mut self) {
        let mut batch = Vec::with_capacity(QUEUE_CAPACITY);
        while self.queue.next(&mut batch) {
            for (count, job) in batch.drain(..).enumerate() {
                self.work(job);
                // A scalar costs little more than reading the clock, so only every 16th checks it.
                if count % 16 == 15 && self.saved.elapsed() >= SAVE_EVERY {
                    self.save();
                }
            }
            if self.queue.is_empty() {
                self.save();
            }
        }
        let Self { logger, facts, queue, .. } = self;
        report(
            &facts,
            &queue,
            guarded(&facts.name, || {
                drop(logger);
                Ok(())
            }),
        );
    }

    fn work(&mut self, job: Job) {
        self.unsaved = true;
        match job {
            Job::Metrics(metrics, step) => self.guard(|logger| logger.log_metrics(&metrics, step)),
            Job::Run(job) => self.guard(job),
            Job::Settle(job, done) => {
                self.guard(job);
                self.unsaved = false;
                // The caller may no longer wait, as in `question`.
                let _ = done.send(());
            }
        }
    }

    fn save(&mut self) {
        if std::mem::take(&mut self.unsaved) {
            self.guard(Logger::save);
        }
        self.saved = Instant::now();
    }

    fn guard(&mut self, job: impl FnOnce(&mut dyn Logger) -> Result<()>) {
        let outcome = guarded(&self.facts.name, || job(&mut *self.logger));
        self.queue.hurry.returned();
        report(&self.facts, &self.queue, outcome);
    }
}

fn report(facts: &Facts, queue: &Queue, outcome: Result<()>) {
    if let Err(error) = outcome
        && let Some(further) = queue.latch(error)
    {
        tracing::debug!(logger = facts.name, error = %further, "a logger failed again before its first error was reported");
    }
}
