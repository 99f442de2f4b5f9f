//! Trials in other processes, several at a time.
//!
//! The process of the sweep writes the record of a trial before it starts a process for it. That process replaces the
//! record at each validation and at its end. So a trial that ends after the sweep's process was killed is not lost.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stormfire_data::DataModule;
use stormfire_module::{Error, LightningModule, Result};
use stormfire_trainer::{Fit, Trainer};
use stormfire_values::Mode;

use super::{
    Sweep,
    course::{Course, Started},
    journal::{Journal, read_record, write_record},
    judge::{Judge, Others},
    pruner::Pruner,
    record::{TrialRecord, TrialState},
    result::SweepResult,
    trial::{TrialRun, score, version},
};
use crate::{files::prepare_folder, jobs::work_off};

/// A trial for another process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrialTask {
    root: PathBuf,
    number: usize,
    params: Map<String, Value>,
    resumes: bool,
    monitor: String,
    mode: Mode,
    pruner: Pruner,
}

/// How the process of a trial has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessEnd {
    /// Well, as far as the system knows.
    Good,
    /// With an error. It counts if the process has not noted its own.
    Bad(String),
}

/// Checks the options of a sweep, and that its folder has no other sweep. Writes nothing. Returns the number of trials.
///
/// # Errors
/// As [`Sweep::run`] before its first trial, except for a folder that another process uses.
pub fn check_sweep(sweep: &Sweep) -> Result<usize> {
    Course::check(sweep)
}

/// Runs the trials of a sweep that are left, `jobs` of them at a time. `run` runs a process for a trial, which calls
/// [`TrialTask::fit`], and returns after its end.
///
/// # Errors
/// As [`Sweep::run`]. An error of `run` ends the sweep, and the trial continues in the next one.
pub fn run_in_processes(sweep: &Sweep, jobs: usize, run: impl Fn(&TrialTask) -> Result<ProcessEnd> + Sync) -> Result<SweepResult> {
    let world = stormfire_ranks::here()?.world();
    if world > 1 {
        let reason = format!("{world} ranks would each start all processes");
        return Err(Error::config("Sweep", reason, "search with one process"));
    }
    let course = Mutex::new(Course::open(sweep)?);
    let locked = || course.lock().unwrap_or_else(PoisonError::into_inner);
    let next = || {
        let mut course = locked();
        let started = course.start()?;
        started.map(|started| TrialTask::new(sweep, course.journal(), &started)).transpose()
    };
    let work = |task: TrialTask| {
        let end = run(&task)?;
        locked().ended(task.record_after(end)?)
    };
    work_off(jobs, next, work)?;
    course.into_inner().unwrap_or_else(PoisonError::into_inner).result()
}

impl TrialTask {
    fn new(sweep: &Sweep, journal: &Journal, &Started { number, is_continued }: &Started) -> Result<Self> {
        let root = journal.folder().to_owned();
        Ok(Self {
            number,
            params: journal.records()[number].params.clone(),
            resumes: prepare_folder(&root.join(version(number)), is_continued)?,
            monitor: sweep.monitor.clone(),
            mode: sweep.mode,
            pruner: sweep.pruner.clone(),
            root,
        })
    }

    /// The folder of the trial's files. It may not exist yet.
    pub fn folder(&self) -> PathBuf {
        self.root.join(version(self.number))
    }

    /// All hyperparameters, in the order of the space.
    pub fn params(&self) -> &Map<String, Value> {
        &self.params
    }

    fn record(&self) -> Result<TrialRecord> {
        Ok(read_record(&self.root, self.number)?.unwrap_or_else(|| TrialRecord::new(self.number, self.params.clone())))
    }

    /// Runs the trial in this process, as [`Trial::fit`](super::Trial::fit), and notes its score. Returns whether the
    /// pruner has ended it, too.
    ///
    /// # Errors
    /// As [`Trial::fit`](super::Trial::fit).
    pub fn fit<M: LightningModule, D: DataModule<Batch = M::Batch>>(
        &self,
        trainer: Trainer<M>,
        module: M,
        data: D,
    ) -> Result<(Trainer<M>, Fit<M>, bool)> {
        let record = self.record()?;
        let judge = Judge::new(record.clone(), &self.monitor, self.mode, &self.pruner, Others::InFolder(self.root.clone()));
        let run = TrialRun { root: &self.root, number: self.number, resumes: self.resumes };
        let (trainer, fit, seen) = run.fit(trainer, module, data, judge)?;
        let score = score(&fit, &self.monitor, &seen.reports)?;
        let record = TrialRecord { reports: seen.reports, ..record }.ended(Ok(score), seen.is_pruned);
        write_record(&self.root, &record)?;
        Ok((trainer, fit, seen.is_pruned))
    }

    /// Notes an error of this process, unless it is a signal.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn failed(&self, error: &Error) -> Result<()> {
        if matches!(error, Error::Interrupted { .. }) {
            return Ok(());
        }
        write_record(&self.root, &TrialRecord { state: TrialState::Failed, error: Some(error.to_string()), ..self.record()? })
    }

    /// The record after the process has ended.
    fn record_after(&self, end: ProcessEnd) -> Result<TrialRecord> {
        let record = self.record()?;
        if record.state != TrialState::Running {
            return Ok(record);
        }
        let reason = match end {
            ProcessEnd::Good => "the process of the trial has ended without a fit".to_owned(),
            ProcessEnd::Bad(reason) => reason,
        };
        Ok(record.ended(Err(Error::other(reason)), false))
    }
}
