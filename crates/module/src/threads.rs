//! The threads of a run that share the work of one batch, see `Trainer::devices`.
//!
//! burn's CPU backend runs its parallel loops in the `rayon` pool of the calling thread. Each thread here has its own
//! pool with one thread, so that two of them do not wait for each other.

use std::{
    any::Any,
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

use burn::module::{Module, ParamId};
use rayon::{ThreadPool, ThreadPoolBuilder};
use stormfire_data::Splitter;
use stormfire_loggers::Loggers;
use stormfire_ranks::threads::STACK;

use crate::{
    error::{Error, Result},
    hook::Hook,
    live_run::{self, LiveRun},
    moment::Moment,
    running_stats::KnownStats,
    scope,
};

type Job = Box<dyn FnOnce() + Send>;

/// How batches of a module are divided.
pub struct Division<M, B> {
    /// Into parts with their numbers of items.
    pub split: Splitter<B>,
    /// The weight of a part in the mean of a logged value; `None` takes its number of items.
    pub weigh: fn(&M, &B) -> Option<usize>,
}

/// A thread, and the channel through which it gets its work.
struct Worker {
    jobs: mpsc::Sender<Job>,
    pool: ThreadPool,
    /// Disconnected when the thread ends.
    end: mpsc::Receiver<()>,
}

impl Worker {
    fn start(number: usize) -> Result<Self> {
        let refused = |error: rayon::ThreadPoolBuildError| {
            let hint = "use fewer devices, such as one per core: `devices(\"auto\")`";
            Error::config("devices", format!("thread {} cannot be started: {error}", number + 1), hint)
        };
        let (alive, end) = mpsc::channel::<()>();
        let alive = Mutex::new(Some(alive));
        let pool = ThreadPoolBuilder::new()
            .num_threads(1)
            .stack_size(STACK)
            .thread_name(move |_| format!("step-{number}"))
            .exit_handler(move |_| drop(alive.lock().unwrap_or_else(PoisonError::into_inner).take()));
        let pool = pool.build().map_err(refused)?;
        let (sender, jobs) = mpsc::channel::<Job>();
        pool.spawn(move || {
            while let Ok(job) = jobs.recv() {
                job();
            }
        });
        Ok(Self { jobs: sender, pool, end })
    }

    /// Lets the thread end.
    fn end(self) -> mpsc::Receiver<()> {
        let Self { jobs, pool, end } = self;
        drop(jobs);
        drop(pool);
        end
    }
}

/// The threads of a run. They end when this is dropped.
pub struct Threads {
    workers: Vec<Worker>,
    /// A [`Division`] of the module's batches.
    division: Box<dyn Any + Send + Sync>,
    /// The running statistics of the module.
    running: Mutex<KnownStats>,
    /// Whether training steps, and the steps of evaluations, draw random numbers of burn.
    draws: [AtomicBool; 2],
}

impl Threads {
    /// Starts threads for the steps of a module.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start<M: 'static, B: 'static>(count: usize, division: Division<M, B>) -> Result<Self> {
        let workers = (0..count).map(Worker::start).collect::<Result<_>>()?;
        Ok(Self { workers, division: Box::new(division), running: Mutex::default(), draws: Default::default() })
    }

    /// The running statistics of the module, such as those of a batch normalization. A hook may have added or replaced
    /// some.
    pub fn running_stats<M: Module>(&self, module: &M) -> Arc<HashSet<ParamId>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).of(module)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.workers.len()
    }

    /// How a batch is divided.
    ///
    /// # Errors
    /// The batch does not have the module's batch type.
    pub(crate) fn division<M: 'static, B: 'static>(&self) -> Result<&Division<M, B>> {
        self.division.downcast_ref().ok_or_else(|| {
            let reason = "`Stepper::automatic` was given a batch of another type than the module's, which cannot be divided";
            Error::config("devices", reason, "give it the batch of `training_batch`, or use `devices(1)`")
        })
    }

    /// Whether the steps of this run draw random numbers of burn, as far as that is known.
    pub(crate) fn draws(&self, trains: bool) -> bool {
        self.draws[usize::from(trains)].load(Ordering::Relaxed)
    }

    pub(crate) fn note_that_it_draws(&self, trains: bool) {
        self.draws[usize::from(trains)].store(true, Ordering::Relaxed);
    }

    /// Runs a job on each thread at the same time, and waits for all of them. The results are in the order of the jobs.
    /// If jobs panic, the first of them in this order panics here.
    pub(crate) fn run<T: Send + 'static>(&self, jobs: Vec<impl FnOnce() -> T + Send + 'static>) -> Result<Vec<T>> {
        let mut running = Vec::with_capacity(jobs.len());
        for (job, worker) in jobs.into_iter().zip(self.workers.iter().cycle()) {
            let (sender, result) = mpsc::channel();
            // The result is dropped if this thread has failed before it arrives.
            let job = Box::new(move || drop(sender.send(catch_unwind(AssertUnwindSafe(job)))));
            worker.jobs.send(job).map_err(has_ended)?;
            running.push(result);
        }
        // All jobs must end before a panic continues.
        let over: Vec<_> = running.into_iter().map(|result| result.recv()).collect();
        over.into_iter().map(|result| result.map_err(has_ended).map(|result| result.unwrap_or_else(|panic| resume_unwind(panic)))).collect()
    }
}

fn has_ended<E>(_: E) -> Error {
    Error::other("a thread of the run has ended")
}

impl Drop for Threads {
    /// Waits until the threads have ended.
    fn drop(&mut self) {
        let ends: Vec<_> = self.workers.drain(..).map(Worker::end).collect();
        for end in ends {
            let _ = end.recv();
        }
    }
}

impl std::fmt::Debug for Threads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Threads").field("count", &self.count()).finish_non_exhaustive()
    }
}

/// The ambient state of a step on the thread of its run, to be entered on another thread.
#[derive(Clone)]
pub(crate) struct Surroundings {
    hook: Option<Hook>,
    moment: Moment,
    loggers: Loggers,
    run: Option<LiveRun>,
    takes_output: bool,
    span: tracing::Span,
    reports_to: tracing::Dispatch,
}

impl Surroundings {
    /// Those of this thread.
    pub(crate) fn here() -> Self {
        let reports_to = tracing::dispatcher::get_default(Clone::clone);
        let (span, run, takes_output) = (tracing::Span::current(), live_run::current(), scope::loggers_of_output().is_some());
        Self { hook: scope::hook(), moment: scope::moment(), loggers: scope::loggers(), run, takes_output, span, reports_to }
    }

    /// The same, for another moment.
    pub(crate) fn at(&self, moment: Moment) -> Self {
        Self { moment, ..self.clone() }
    }

    /// Runs code on this thread as if it were the other one.
    pub(crate) fn within<R>(self, code: impl FnOnce() -> R) -> R {
        let Self { hook, moment, loggers, run, takes_output, span, reports_to } = self;
        tracing::dispatcher::with_default(&reports_to, || {
            let _span = span.entered();
            let _run = run.map(LiveRun::enter);
            let _loggers = scope::enter_run(loggers);
            if takes_output {
                scope::begin_output();
            }
            let _scope = hook.map(|hook| scope::enter(hook, moment));
            code()
        })
    }
}
