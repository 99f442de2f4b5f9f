//! The thread that writes checkpoints, one at a time.

use std::{
    sync::mpsc::{Receiver, Sender, TryRecvError, channel},
    thread::JoinHandle,
};

use stormfire_checkpoint::{
    Manifest, Snapshot,
    storage::{self, link_or_copy, symlink_or_copy},
    write,
};
use stormfire_loggers::PendingPosition;
use stormfire_module::{
    Error, Result,
    optimizer::OptimizersSnapshot,
    run::{AlsoKind, SaveRequest},
    state,
};

use super::save::LOG_FOLDER;
use crate::log_state::LogState;

/// A state of the run, still on its way from the device, and the names it gets.
pub(crate) struct Job {
    pub(super) manifest: Manifest,
    pub(super) snapshot: Snapshot,
    /// What only a checkpoint to continue from has.
    pub(super) run: Option<RunPart>,
    pub(super) requests: Vec<SaveRequest>,
}

/// What a checkpoint of weights only lacks.
pub(super) struct RunPart {
    pub(super) optimizers: OptimizersSnapshot,
    pub(super) log: LogState,
    pub(super) loggers: Vec<(String, String, PendingPosition)>,
}

impl Job {
    /// Reads what is on the device, and writes. What a request replaces goes only after the new file is durable.
    fn run(self) -> Result<Vec<SaveRequest>> {
        let Self { mut manifest, snapshot, run, requests } = self;
        let mut tensors = snapshot.read()?;
        if let Some(RunPart { optimizers, mut log, loggers }) = run {
            // The loggers have everything up to this moment on the disk before the checkpoint that says so is.
            let positions = loggers.into_iter().map(|(name, version, position)| {
                let position = position.wait().unwrap_or_else(|error| {
                    tracing::warn!("a run that continues from this checkpoint cannot continue the log of `{name}`: {error}");
                    state::Value::Null
                });
                serde_json::json!({ "name": name, "version": version, "position": position })
            });
            manifest.loggers = positions.collect();
            let first = tensors.iter().position(|(name, _)| name.starts_with(LOG_FOLDER)).unwrap_or(tensors.len());
            let values: Vec<_> = tensors.drain(first..).map(|(_, data)| data).collect();
            log.fill(&values);
            manifest.metrics = log.values().map(|(name, value)| (name.to_owned(), value)).collect();
            manifest.log = state::save(&log)?;
            let (states, mut of_optimizers) = optimizers.read()?;
            manifest.optimizers = states;
            tensors.append(&mut of_optimizers);
        }
        let mut written = None;
        for request in &requests {
            match &written {
                None => write(&request.path, &manifest, &tensors)?,
                Some(first) => link_or_copy(first, &request.path)?,
            }
            written.get_or_insert(&request.path);
            for also in &request.also {
                match also.kind {
                    AlsoKind::Copy => link_or_copy(&request.path, &also.path)?,
                    AlsoKind::Link => symlink_or_copy(&request.path, &also.path)?,
                }
            }
        }
        for old in requests.iter().flat_map(|request| &request.then_remove) {
            if requests.iter().any(|request| request.paths().any(|path| path == old)) {
                continue;
            }
            if let Err(error) = storage::remove(old) {
                tracing::warn!("an old checkpoint stays: {error}");
            }
        }
        Ok(requests)
    }
}

type Outcome = Result<Vec<SaveRequest>>;

/// Writes one checkpoint after the other in the background. At most one is on its way.
#[derive(Default)]
pub(crate) struct CheckpointWriter {
    worker: Option<Worker>,
    is_busy: bool,
}

struct Worker {
    jobs: Option<Sender<Job>>,
    outcomes: Receiver<Outcome>,
    thread: Option<JoinHandle<()>>,
}

impl CheckpointWriter {
    /// Hands a checkpoint over. The one before must be [settled](Self::settle).
    pub(super) fn submit(&mut self, job: Job) -> Result<()> {
        let worker = match &mut self.worker {
            Some(worker) => worker,
            none => none.insert(Worker::spawn()?),
        };
        let sent = worker.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        self.is_busy = sent;
        if sent { Ok(()) } else { Err(gone()) }
    }

    /// What has been written since the last call, without waiting.
    pub(super) fn poll(&mut self) -> Outcome {
        let Some(worker) = self.worker.as_ref().filter(|_| self.is_busy) else { return Ok(Vec::new()) };
        match worker.outcomes.try_recv() {
            Err(TryRecvError::Empty) => Ok(Vec::new()),
            Err(TryRecvError::Disconnected) => self.ended(Err(gone())),
            Ok(outcome) => self.ended(outcome),
        }
    }

    /// Waits for the checkpoint that is on its way.
    pub(super) fn settle(&mut self) -> Outcome {
        let Some(worker) = self.worker.as_ref().filter(|_| self.is_busy) else { return Ok(Vec::new()) };
        let outcome = worker.outcomes.recv().unwrap_or_else(|_| Err(gone()));
        self.ended(outcome)
    }

    fn ended(&mut self, outcome: Outcome) -> Outcome {
        self.is_busy = false;
        outcome
    }
}

fn gone() -> Error {
    Error::other("the thread that writes checkpoints has ended")
}

impl Worker {
    fn spawn() -> Result<Self> {
        let (jobs, queue) = channel::<Job>();
        let (answers, outcomes) = channel();
        let work = move || {
            for job in queue {
                let outcome = crate::session::guard(|| job.run());
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
