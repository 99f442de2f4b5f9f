//! The thread that writes checkpoints, one at a time.

use std::{
    sync::mpsc::{Receiver, Sender, TryRecvError, channel},
    thread::JoinHandle,
};

use burn::tensor::TensorData;
use stormfire_checkpoint::{Error as FileError, Manifest, NamedTensors, Snapshot, write_snapshot};
use stormfire_module::{
    Error, Result,
    live_run::{self, LiveRun},
    requests::SaveRequest,
    state,
};
use stormfire_optim::OptimizersSnapshot;

use crate::{
    checkpoint_names::Names,
    finite_weights::FiniteWeights,
    guard::guard,
    in_force::LaterWeights,
    log_state::{LOG_FOLDER, LogState},
    saved_log::PendingLog,
};

/// A state of the run, still on its way from the device, and the names it gets.
pub(crate) struct Job {
    pub(crate) manifest: Manifest,
    pub(crate) weights: LaterWeights,
    /// Everything else that is on the device.
    pub(crate) snapshot: Snapshot,
    /// Which of them must be finite.
    pub(crate) finite: Option<FiniteWeights>,
    /// What only a checkpoint to continue from has.
    pub(crate) run: Option<RunPart>,
    pub(crate) requests: Vec<SaveRequest>,
    /// Those of all requests.
    pub(crate) names: Names,
    /// Below the span in which it was asked for.
    pub(crate) span: tracing::Span,
}

/// What a checkpoint of weights only lacks.
pub(crate) struct RunPart {
    pub(crate) optimizers: OptimizersSnapshot,
    pub(crate) log: LogState,
    pub(crate) loggers: Vec<PendingLog>,
}

impl Job {
    /// Everything that goes into the file, in memory.
    pub(crate) fn read(self) -> Result<(Manifest, NamedTensors)> {
        let (manifest, snapshot, finite) = self.prepare()?;
        let tensors = snapshot.read()?;
        finite.map_or(Ok(()), |finite| finite.check(&tensors))?;
        Ok((manifest, tensors))
    }

    /// Waits for the loggers, and reads what stands before the tensors of a file.
    fn prepare(self) -> Result<(Manifest, Snapshot, Option<FiniteWeights>)> {
        let Self { mut manifest, weights, mut snapshot, finite, run, .. } = self;
        weights(&mut snapshot)?;
        let others = snapshot.len();
        if let Some(RunPart { optimizers, mut log, loggers }) = run {
            manifest.optimizers = state::save(&optimizers.save(&mut snapshot)?)?;
            // burn gives the states of an optimizer in no order; the same state is to be the same file.
            snapshot.sort_after(others);
            // The loggers have everything up to this moment on the disk before the checkpoint that says so is.
            manifest.loggers = loggers.into_iter().map(PendingLog::wait).collect::<Result<_>>()?;
            let logged: Vec<_> = snapshot.take_under(LOG_FOLDER).read()?.into_iter().map(|(_, data)| data).collect();
            log.fill(&logged);
            manifest.metrics = log.values().map(|(name, value)| (name.to_owned(), value)).collect();
            manifest.log = state::save(&log)?;
        }
        Ok((manifest, snapshot, finite))
    }

    /// Reads, and writes. What a request replaces goes only after the new file is durable.
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
        // Somebody may remove the folder in the middle of it; there is time to make it again.
        save().or_else(|error| if is_gone(&error) { save() } else { Err(error) })?;
        Ok(requests)
    }
}

/// Whether a file or folder vanished in between.
fn is_gone(error: &Error) -> bool {
    match error {
        Error::CheckpointFile(FileError::NotFound { .. }) => true,
        Error::CheckpointFile(FileError::Io { error, .. }) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

type Outcome = Result<Vec<SaveRequest>>;

/// Writes one checkpoint after the other in the background. At most one is on its way.
#[derive(Default)]
pub(crate) struct CheckpointWriter {
    worker: Option<Worker>,
    is_busy: bool,
    /// Weights that are not finite stop the fit, which is no failure.
    stops: bool,
    /// Why a checkpoint was not written, if it was for such weights.
    refused: Option<Error>,
}

struct Worker {
    jobs: Option<Sender<(Job, Option<LiveRun>)>>,
    outcomes: Receiver<Outcome>,
    thread: Option<JoinHandle<()>>,
}

impl CheckpointWriter {
    /// Hands a checkpoint over. The one before must be [settled](Self::settle).
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

    /// What has been written since the last call, without waiting.
    pub(crate) fn poll(&mut self) -> Outcome {
        let Some(worker) = self.worker.as_ref().filter(|_| self.is_busy) else { return Ok(Vec::new()) };
        match worker.outcomes.try_recv() {
            Err(TryRecvError::Empty) => Ok(Vec::new()),
            Err(TryRecvError::Disconnected) => self.ended(Err(gone())),
            Ok(outcome) => self.ended(outcome),
        }
    }

    /// Waits for the checkpoint that is on its way.
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

    /// Why a checkpoint was not written that nobody was told of yet: weights that are not finite are to stop the fit.
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
        // The file that is being written is finished first.
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes checkpoints panicked");
        }
    }
}
