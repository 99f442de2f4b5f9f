//! The thread that writes checkpoints, one at a time.

use std::{
    sync::mpsc::{Receiver, Sender, TryRecvError, channel},
    thread::JoinHandle,
};

use burn::tensor::TensorData;
use stormfire_checkpoint::{Error as FileError, Manifest, NamedTensors, Snapshot, write_snapshot};
use stormfire_module::{
    Error, Result,
    for_trainer::live_run::{self, LiveRun},
    requests::SaveRequest,
    state,
};
use stormfire_optim::for_trainer::OptimizersSnapshot;

use crate::{
    checkpoint_names::Names,
    finite_weights::FiniteWeights,
    guard::guard,
    in_force::LaterWeights,
    log_state::{LOG_FOLDER, LogState},
    saved_log::PendingLog,
};

/// A state of the run that is not read from the device yet, and its names.
pub(crate) struct Job {
    pub(crate) manifest: Manifest,
    pub(crate) weights: LaterWeights,
    /// All other tensors on the device.
    pub(crate) snapshot: Snapshot,
    /// Which tensors must be finite.
    pub(crate) finite: Option<FiniteWeights>,
    /// The parts that are only in a checkpoint for resuming.
    pub(crate) run: Option<RunPart>,
    pub(crate) requests: Vec<SaveRequest>,
    /// The names of all requests.
    pub(crate) names: Names,
    /// The span in which it was requested.
    pub(crate) span: tracing::Span,
}

/// The parts that a weights-only checkpoint does not have.
pub(crate) struct RunPart {
    pub(crate) optimizers: OptimizersSnapshot,
    pub(crate) log: LogState,
    pub(crate) loggers: Vec<PendingLog>,
}

impl Job {
    /// The complete contents of the file, in memory.
    pub(crate) fn read(self) -> Result<(Manifest, NamedTensors)> {
        let (manifest, snapshot, finite) = self.prepare()?;
        let tensors = snapshot.read()?;
        finite.map_or(Ok(()), |finite| finite.check(&tensors))?;
        Ok((manifest, tensors))
    }

    /// Waits for the loggers, and reads everything that precedes the tensors in a file.
    fn prepare(self) -> Result<(Manifest, Snapshot, Option<FiniteWeights>)> {
        let Self { mut manifest, weights, mut snapshot, finite, run, .. } = self;
        weights(&mut snapshot)?;
        let others = snapshot.len();
        if let Some(RunPart { optimizers, mut log, loggers }) = run {
            manifest.optimizers = state::save(&optimizers.save(&mut snapshot)?)?;
            // burn returns the states of an optimizer in no particular order. Sorting makes files of equal states
            // equal.
            snapshot.sort_after(others);
            // The logs up to this moment must be on the disk before a checkpoint with their positions is.
            manifest.loggers = state::save(&loggers.into_iter().map(PendingLog::wait).collect::<Vec<_>>())?;
            let logged: Vec<_> = snapshot.take_under(LOG_FOLDER).read()?.into_iter().map(|(_, data)| data).collect();
            log.fill(&logged)?;
            log.move_arrays("", &mut snapshot);
            manifest.metrics = log.values().map(|(name, value)| (name.to_owned(), value)).collect();
            manifest.log = state::save(&log)?;
        }
        Ok((manifest, snapshot, finite))
    }

    /// Reads and writes. Replaced files are removed only after the new file is durable.
    fn run(mut self) -> Result<Vec<SaveRequest>> {
        let _span = std::mem::replace(&mut self.span, tracing::Span::none()).entered();
        let (requests, names) = (std::mem::take(&mut self.requests), std::mem::take(&mut self.names));
        let (manifest, snapshot, finite) = self.prepare()?;
        let save = || {
            let mut broken = Vec::new();
            let is_good = |name: &str, data: &TensorData| {
                let is_good = finite.as_ref().is_none_or(|finite| finite.allows(name, data));
                if !is_good {
                    broken.push(name.to_owned());
                }
                is_good
            };
            match (write_snapshot::<Error>(names.file(), &manifest, &snapshot, is_good)?, &finite) {
                (false, Some(finite)) => Err(finite.error(broken)),
                _ => names.finish(),
            }
        };
        // Another process may remove the folder in the meantime. A second attempt creates it again.
        save().or_else(|error| if is_missing(&error) { save() } else { Err(error) })?;
        Ok(requests)
    }
}

/// Whether a file or folder disappeared in the meantime.
fn is_missing(error: &Error) -> bool {
    match error {
        Error::CheckpointFile(FileError::NotFound { .. }) => true,
        Error::CheckpointFile(FileError::Io { error, .. }) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

type Outcome = Result<Vec<SaveRequest>>;

/// Writes checkpoints one after the other in the background. At most one is in progress.
#[derive(Default)]
pub(crate) struct CheckpointWriter {
    worker: Option<Worker>,
    is_busy: bool,
    /// Whether non-finite weights stop the fit, which is not a failure.
    stops: bool,
    /// Why a checkpoint was not written, if its weights were not finite.
    refused: Option<Error>,
}

struct Worker {
    jobs: Option<Sender<(Job, Option<LiveRun>)>>,
    outcomes: Receiver<Outcome>,
    thread: Option<JoinHandle<()>>,
}

impl CheckpointWriter {
    /// Submits a checkpoint. The previous one must be [settled](Self::settle).
    pub(crate) fn submit(&mut self, job: Job) -> Result<()> {
        let worker = match &mut self.worker {
            Some(worker) => worker,
            none => none.insert(Worker::spawn()?),
        };
        self.stops = job.finite.as_ref().is_some_and(|finite| finite.stops);
        let sent = worker.jobs.as_ref().is_some_and(|jobs| jobs.send((job, live_run::current())).is_ok());
        self.is_busy = sent;
        if sent { Ok(()) } else { Err(gone()) }
    }

    /// The checkpoints that were written since the last call. Does not wait.
    pub(crate) fn poll(&mut self) -> Outcome {
        let Some(worker) = self.worker.as_ref().filter(|_| self.is_busy) else { return Ok(Vec::new()) };
        match worker.outcomes.try_recv() {
            Err(TryRecvError::Empty) => Ok(Vec::new()),
            Err(TryRecvError::Disconnected) => self.ended(Err(gone())),
            Ok(outcome) => self.ended(outcome),
        }
    }

    /// Waits for the checkpoint in progress.
    pub(crate) fn settle(&mut self) -> Outcome {
        let Some(worker) = self.worker.as_ref().filter(|_| self.is_busy) else { return Ok(Vec::new()) };
        let outcome = worker.outcomes.recv().unwrap_or_else(|_| Err(gone()));
        self.ended(outcome)
    }

    fn ended(&mut self, outcome: Outcome) -> Outcome {
        self.is_busy = false;
        match outcome {
            Err(error @ Error::NonFinite { .. }) if self.stops => {
                tracing::warn!("a checkpoint is not written: {error}");
                self.refused = Some(error);
                Ok(Vec::new())
            }
            outcome => outcome,
        }
    }

    /// The unreported reason why a checkpoint was not written: non-finite weights must stop the fit.
    pub(crate) fn refused(&mut self) -> Option<Error> {
        self.refused.take()
    }
}

fn gone() -> Error {
    Error::other("the thread that writes checkpoints has ended")
}

impl Worker {
    fn spawn() -> Result<Self> {
        let (jobs, queue) = channel::<(Job, Option<LiveRun>)>();
        let (answers, outcomes) = channel();
        let work = move || {
            for (job, run) in queue {
                let _working_for = run.map(LiveRun::enter);
                let outcome = guard(|| job.run());
                if answers.send(outcome).is_err() {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new().name("checkpoints".into()).spawn(work)?;
        Ok(Self { jobs: Some(jobs), outcomes, thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The file in progress is finished first.
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes checkpoints panicked");
        }
    }
}
