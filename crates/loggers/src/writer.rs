//! A logger on a thread of its own.

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

use facts::Facts;
use hurry::Hurry;
pub use pending::PendingPosition;
use queue::{Job, Queue};
use serde_json::Value;

use crate::{CheckpointInfo, Error, Hyperparams, Logger, Metrics, Result, Status};

/// So many jobs can wait. Whoever submits one more is held until there is room.
pub const QUEUE_CAPACITY: usize = 1024;

/// While jobs keep coming, what was recorded is saved at least this often.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// Runs a [`Logger`] on its own thread, in the order in which jobs were submitted.
///
/// * **Bounded.** At most [`QUEUE_CAPACITY`] jobs wait (and as many again may be in work); a producer that is faster than
///   the backend is held, nothing is dropped.
/// * **Cheap to submit.** The thread looks for work every 20 ms while there is some, so that a submit rarely has to wake it.
/// * **Never far behind.** Whenever the queue is empty, and about once a second, the logger is told to
///   [`save`](Logger::save). A `kill -9` loses what was submitted in the last moments, normally less than 50 ms.
/// * **Errors surface.** The first error or panic of a job is returned once by the next [`submit`](Self::submit),
///   [`flush`](Self::flush) or [`finalize`](Self::finalize), and logging goes on; further ones until then go to
///   `tracing` (debug).
/// * **After a signal** nobody waits for a logger that is stuck: see [`Loggers::hurry_when`](crate::Loggers::hurry_when).
/// * **Dropping** the last handle (also in a panic) runs what is queued, saves, and ends the thread.
///
/// A job must not use the `Background` that runs it: it would wait for itself. Clones are handles of the same logger.
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

/// Ends with the last handle.
#[derive(Debug)]
struct Thread {
    facts: Arc<Facts>,
    queue: Arc<Queue>,
    handle: Option<JoinHandle<()>>,
}

impl Background {
    /// Opens the logger here, then moves it to its thread.
    ///
    /// # Errors
    /// What [`Logger::open`] returns, or [`Error::Io`] if no thread can be started.
    pub fn spawn(mut logger: Box<dyn Logger>) -> Result<Self> {
        logger.open()?;
        let facts = Arc::new(Facts::of(&*logger));
        let queue = Arc::new(Queue::new(Hurry::new(logger.longest_call())));
        let worker = Worker { logger, facts: Arc::clone(&facts), queue: Arc::clone(&queue), unsaved: false, saved: Instant::now() };
        let handle = thread::Builder::new().name(format!("log {}", facts.name.replace('\0', " "))).spawn(move || worker.run())?;
        let thread = Thread { facts: Arc::clone(&facts), queue: Arc::clone(&queue), handle: Some(handle) };
        Ok(Self { facts, queue, _thread: Arc::new(thread) })
    }

    /// Whether the logger is an `L`.
    pub fn is<L: Logger>(&self) -> bool {
        self.facts.of_type == TypeId::of::<L>()
    }

    /// Queues a job. It is queued also when the error of an earlier one is returned.
    ///
    /// # Errors
    /// The first error since the last report, of an earlier job.
    pub fn submit(&self, job: impl FnOnce(&mut dyn Logger) -> Result<()> + Send + 'static) -> Result<()> {
        self.queue.push(Job::Run(Box::new(job)))
    }

    /// As [`Background::submit`], for a job that may find the logger without a place for its value
    /// ([`Error::Unsupported`]): that is reported, once for each kind of value.
    ///
    /// # Errors
    /// As [`Background::submit`].
    pub fn submit_lenient(&self, job: impl FnOnce(&mut dyn Logger) -> Result<()> + Send + 'static) -> Result<()> {
        self.queue.push(self.lenient(job))
    }

    /// As [`Background::submit_lenient`], but errors of earlier jobs are left for the next report.
    pub(crate) fn offer(&self, job: impl FnOnce(&mut dyn Logger) -> Result<()> + Send + 'static) {
        self.queue.push_quietly(self.lenient(job));
    }

    /// As [`Background::log_metrics`], but errors of earlier jobs are left for the next report.
    pub(crate) fn offer_metrics(&self, metrics: Metrics, step: Option<u64>) {
        self.queue.push_quietly(Job::Metrics(metrics, step));
    }

    fn lenient(&self, job: impl FnOnce(&mut dyn Logger) -> Result<()> + Send + 'static) -> Job {
        let facts = Arc::clone(&self.facts);
        Job::Run(Box::new(move |logger| match job(logger) {
            Err(Error::Unsupported { what, .. }) => {
                if facts.is_new(what) {
                    let logger = facts.kind.rsplit("::").next().unwrap_or(facts.kind);
                    tracing::info!("`{logger}` has no place for {what}: they are left out");
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

    /// Waits until everything submitted so far is done and saved.
    ///
    /// # Errors
    /// The first error since the last report.
    pub fn flush(&self) -> Result<()> {
        self.settle(Logger::save)
    }

    /// Waits until everything submitted so far is done and the logger is told how the run ended. More may be logged
    /// afterwards.
    ///
    /// # Errors
    /// The first error since the last report.
    pub fn finalize(&self, status: Status) -> Result<()> {
        self.settle(move |logger| logger.finalize(status))
    }

    /// Runs a job on the backend's own type, after all that were submitted before, and waits for its answer.
    ///
    /// # Errors
    /// [`Error::WrongLogger`] if the logger is no `L`, [`Error::Panicked`] if the job panics, else what the job returns.
    /// Errors of earlier jobs are left for the next report.
    pub fn call<L: Logger, R: Send + 'static>(&self, job: impl FnOnce(&mut L) -> Result<R> + Send + 'static) -> Result<R> {
        self.check::<L>()?;
        let facts = Arc::clone(&self.facts);
        let answered = self.ask(move |logger| job(typed(logger, &facts.name)?));
        answer(&self.facts, &self.queue, &answered)?
    }

    /// Queues a job on the backend's own type.
    ///
    /// # Errors
    /// [`Error::WrongLogger`] if the logger is no `L`, and as [`Background::submit`].
    pub fn with<L: Logger>(&self, job: impl FnOnce(&mut L) -> Result<()> + Send + 'static) -> Result<()> {
        self.check::<L>()?;
        let facts = Arc::clone(&self.facts);
        self.submit(move |logger| job(typed(logger, &facts.name)?))
    }

    /// Asks for [`Logger::position`] behind everything submitted so far, without waiting for the answer.
    pub fn position(&self) -> PendingPosition {
        self.pending(self.ask(Logger::position))
    }

    /// Remembers the present place: [`Background::marked`] gives its position, whatever is submitted in between. Costs the
    /// logger nothing until something is. An earlier mark is forgotten.
    pub fn mark(&self) {
        self.queue.before_next(Some(question(&self.facts, Logger::position)));
    }

    /// Forgets the mark.
    pub fn unmark(&self) {
        self.queue.before_next(None);
    }

    /// Takes the position of the [mark](Background::mark). Without one it is the present position.
    pub fn marked(&self) -> PendingPosition {
        match self.queue.take_mark() {
            Some(answered) => self.pending(answered),
            None => self.position(),
        }
    }

    /// Runs [`Logger::resume`] before whatever is submitted next: until then what was recorded stays as it is.
    pub fn resume(&self, position: Value) {
        self.queue.before_next(Some(question(&self.facts, move |logger| logger.resume(position).map(|()| Value::Null))));
    }

    /// Runs a [`Background::resume`] that was asked for and waits until it is done.
    ///
    /// # Errors
    /// As [`PendingPosition::wait`], of [`Logger::resume`].
    pub fn resumed(&self) -> Result<()> {
        self.queue.push_urgent(Job::Run(Box::new(|_| Ok(()))));
        self.queue.take_mark().map_or(Ok(()), |answered| answer(&self.facts, &self.queue, &answered)?.map(drop))
    }

    /// See [`Loggers::hurry_when`](crate::Loggers::hurry_when).
    pub(crate) fn hurry_when(&self, signal: Arc<AtomicUsize>) {
        self.queue.hurry.when(signal);
    }

    fn pending(&self, answered: mpsc::Receiver<Result<Value>>) -> PendingPosition {
        PendingPosition { facts: Arc::clone(&self.facts), queue: Arc::clone(&self.queue), answered }
    }

    fn check<L: Logger>(&self) -> Result<()> {
        if self.is::<L>() { Ok(()) } else { Err(wrong::<L>(&self.facts.name)) }
    }

    /// Queues a job whose answer is awaited, here or on another thread.
    fn ask<R: Send + 'static>(&self, job: impl FnOnce(&mut dyn Logger) -> Result<R> + Send + 'static) -> mpsc::Receiver<Result<R>> {
        let (job, answered) = question(&self.facts, job);
        self.queue.push_urgent(job);
        answered
    }

    /// As [`Background::ask`], for what leaves the log as it is: a [`Background::resume`] or [`Background::mark`] goes on waiting.
    fn ask_aside<R: Send + 'static>(&self, job: impl FnOnce(&mut dyn Logger) -> Result<R> + Send + 'static) -> Result<R> {
        let (job, answered) = question(&self.facts, job);
        self.queue.push_aside(job);
        answered.recv().map_err(|_| stopped(&self.facts))?
    }

    /// [`Logger::log_dirs`], as it is now.
    ///
    /// # Errors
    /// What it returns; [`Error::Panicked`], [`Error::Stopped`].
    pub fn log_dirs(&self) -> Result<Option<Vec<PathBuf>>> {
        self.ask_aside(|logger| logger.log_dirs())
    }

    /// [`Logger::another`].
    ///
    /// # Errors
    /// [`Error::Panicked`], [`Error::Stopped`].
    pub fn another(&self) -> Result<Option<Box<dyn Logger>>> {
        self.ask_aside(|logger| Ok(logger.another()))
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

/// A job with an answer.
fn question<R: Send + 'static>(
    facts: &Arc<Facts>,
    job: impl FnOnce(&mut dyn Logger) -> Result<R> + Send + 'static,
) -> (Job, mpsc::Receiver<Result<R>>) {
    let (answer, answered) = mpsc::sync_channel(1);
    let facts = Arc::clone(facts);
    let job = Job::Run(Box::new(move |logger| {
        let outcome = guarded(&facts.name, || job(logger));
        // If whoever asked is gone, nobody misses the answer.
        let _ = answer.send(outcome);
        Ok(())
    }));
    (job, answered)
}

/// Waits for what the logger's thread answers.
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
                // It has nothing more to wake anybody for.
                let until = Instant::now() + time;
                while !thread.is_finished() && Instant::now() < until {
                    thread::sleep(Duration::from_millis(1));
                }
                thread.is_finished().then_some(())
            };
            // A thread that is given up ends with the process.
            if self.queue.hurry.wait(end).is_some() && thread.join().is_err() {
                tracing::error!(logger = self.facts.name, "the background writer panicked");
            }
        }
        if let Some(error) = self.queue.take_error() {
            tracing::error!(logger = self.facts.name, %error, "a logger failed, and nobody was left to be told");
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
    // A logger that panicked half-way is used further: losing all later records would be worse than an odd one.
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
                // A scalar costs little more than a look at the clock.
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
                // As above: nobody may be waiting any more.
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
