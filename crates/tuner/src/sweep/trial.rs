//! One trial of a sweep.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use stormfire_data::DataModule;
use stormfire_loggers::RunDir;
use stormfire_module::{Error, LightningModule, Result};
use stormfire_trainer::{Stop, Trainer, for_tuner::ProbeTrainer as _};
use stormfire_values::Mode;

use super::{
    judge::Judge,
    pruner::Pruner,
    record::{TrialRecord, TrialState},
};

/// What rank 0 tells all ranks of a trial.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) record: TrialRecord,
    /// The trials before it.
    others: Vec<TrialRecord>,
    /// The folder of the sweep.
    root: PathBuf,
    /// It has a checkpoint of an earlier start.
    is_continued: bool,
}

impl Task {
    /// A trial that starts now, on the rank with the files.
    pub(super) fn new(record: TrialRecord, others: Vec<TrialRecord>, root: PathBuf, has_started: bool) -> Result<Self> {
        let folder = root.join(version(&record));
        let is_continued = has_started && has_checkpoint(&folder);
        if !is_continued && folder.is_dir() {
            // An earlier start of this trial was killed before its first checkpoint.
            fs_err::remove_dir_all(&folder)?;
        }
        Ok(Self { record, others, root, is_continued })
    }
}

fn version(record: &TrialRecord) -> String {
    format!("trial_{}", record.number)
}

/// A trial: its hyperparameters, and a place for its run.
#[derive(Debug)]
pub struct Trial<'a> {
    task: Task,
    has_fitted: bool,
    is_pruned: bool,
    monitor: &'a str,
    mode: Mode,
    pruner: &'a Pruner,
    /// Whether this rank reports failures.
    reports: bool,
}

impl<'a> Trial<'a> {
    pub(super) fn new(task: Task, (monitor, mode): (&'a str, Mode), pruner: &'a Pruner, reports: bool) -> Self {
        Self { task, has_fitted: false, is_pruned: false, monitor, mode, pruner, reports }
    }

    /// The 0-based number of the trial.
    pub fn number(&self) -> usize {
        self.task.record.number
    }

    /// The folder of the trial's files. It may not exist yet.
    pub fn folder(&self) -> PathBuf {
        self.task.root.join(version(&self.task.record))
    }

    /// All hyperparameters, in the order of the space.
    pub fn params(&self) -> &Map<String, Value> {
        &self.task.record.params
    }

    /// A hyperparameter, in the type of its values: `let lr: f64 = trial.get("lr")?`.
    ///
    /// # Errors
    /// A name that is not in the space, or a value of another type.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let value = self.task.record.params.get(name).ok_or_else(|| {
            let names = self.task.record.params.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            Error::config(format!("Trial::get(\"{name}\")"), format!("the space has only {names}"), "add it to the `Space`")
        })?;
        T::deserialize(value)
            .map_err(|error| Error::config(format!("Trial::get(\"{name}\")"), error.to_string(), "ask for the type of its values"))
    }

    /// Fits, and returns the monitored metric at the end.
    ///
    /// The Trainer's `default_root_dir` becomes [`folder`](Self::folder). Without loggers of its own it logs there,
    /// with TensorBoard and CSV. Each validation is reported to the pruner, or each epoch if there is no validation. A
    /// trial of an interrupted sweep continues from its newest checkpoint.
    ///
    /// # Errors
    /// As [`Trainer::fit`](stormfire_trainer::Trainer::fit). [`Error::Interrupted`] if a signal has stopped the fit. A
    /// second call in a trial.
    pub fn fit<M: LightningModule, D: DataModule<Batch = M::Batch>>(&mut self, trainer: Trainer<M>, module: M, data: D) -> Result<f64> {
        if std::mem::replace(&mut self.has_fitted, true) {
            return Err(Error::config("Trial::fit", "it was called twice in a trial", "use other folders below `Trial::folder`"));
        }
        let judge = Judge {
            params: self.task.record.params.clone(),
            monitor: self.monitor.to_owned(),
            mode: self.mode,
            pruner: self.pruner.clone(),
            others: self.task.others.clone(),
            reports: Vec::new(),
            is_pruned: false,
        };
        let run = RunDir::new(&self.task.root).with_name("").with_version(version(&self.task.record));
        let mut trainer = trainer.in_folder(&self.folder(), &run).callback(judge);
        if self.task.is_continued {
            trainer = trainer.ckpt_path("last");
        }
        let fit = trainer.fit(module, data)?;
        if let Stop::Interrupted(signal) = fit.stop {
            return Err(signal.into());
        }
        if let Some(judge) = trainer.get::<Judge>() {
            self.task.record.reports.clone_from(&judge.reports);
            self.is_pruned = judge.is_pruned;
        }
        fit.metrics.get(self.monitor).or(self.task.record.reports.last().copied()).ok_or_else(|| {
            let available = fit.metrics.iter().map(|(name, _)| name.to_owned()).collect();
            Error::MetricMissing { name: self.monitor.to_owned(), available }
        })
    }

    /// The record of the trial after the objective has returned.
    pub(super) fn ended(self, outcome: Result<f64>) -> TrialRecord {
        let mut record = self.task.record;
        match outcome {
            Ok(score) => {
                if score.is_nan() && self.reports {
                    tracing::warn!("the score of trial {} is NaN, which counts as the worst", record.number);
                }
                record.state = if self.is_pruned { TrialState::Pruned } else { TrialState::Completed };
                record.score = Some(score);
            }
            Err(error) => {
                if self.reports {
                    tracing::warn!("trial {} has failed: {error}", record.number);
                }
                (record.state, record.error) = (TrialState::Failed, Some(error.to_string()));
            }
        }
        record
    }
}

/// Whether a folder has a checkpoint, at any depth.
fn has_checkpoint(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| {
        let is_checkpoint = path.extension().is_some_and(|extension| extension == "ckpt");
        is_checkpoint || (path.is_dir() && has_checkpoint(&path))
    })
}
