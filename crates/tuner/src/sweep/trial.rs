//! One trial of a sweep.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use stormfire_data::DataModule;
use stormfire_loggers::RunDir;
use stormfire_module::{Error, LightningModule, Result};
use stormfire_trainer::{Fit, Stop, Trainer, for_tuner::ProbeTrainer as _};

use super::{
    Sweep,
    course::Started,
    journal::Journal,
    judge::{Judge, Others, Seen},
    record::TrialRecord,
};
use crate::files::prepare_folder;

/// The description of a trial that rank 0 sends to all ranks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    record: TrialRecord,
    /// The trials before it.
    others: Vec<TrialRecord>,
    /// The folder of the sweep.
    root: PathBuf,
    /// Whether it continues from its newest checkpoint.
    resumes: bool,
}

impl Task {
    /// A trial that starts now, on the rank with the files.
    pub(super) fn new(journal: &Journal, &Started { number, is_continued }: &Started) -> Result<Self> {
        let others = journal.records()[..number].to_vec();
        let (record, root) = (journal.records()[number].clone(), journal.folder().to_owned());
        Ok(Self { record, others, resumes: prepare_folder(&root.join(version(number)), is_continued)?, root })
    }
}

/// A trial: its hyperparameters, and a place for its run.
#[derive(Debug)]
pub struct Trial<'a> {
    record: TrialRecord,
    others: Vec<TrialRecord>,
    root: PathBuf,
    resumes: bool,
    has_fitted: bool,
    is_pruned: bool,
    sweep: &'a Sweep,
}

impl<'a> Trial<'a> {
    pub(super) fn new(task: Task, sweep: &'a Sweep) -> Self {
        let Task { record, others, root, resumes } = task;
        Self { record, others, root, resumes, has_fitted: false, is_pruned: false, sweep }
    }

    /// The 0-based number of the trial.
    pub fn number(&self) -> usize {
        self.record.number
    }

    /// The folder of the trial's files. It may not exist yet.
    pub fn folder(&self) -> PathBuf {
        self.root.join(version(self.record.number))
    }

    /// All hyperparameters, in the order of the space.
    pub fn params(&self) -> &Map<String, Value> {
        &self.record.params
    }

    /// A hyperparameter, in the type of its values: `let lr: f64 = trial.get("lr")?`.
    ///
    /// # Errors
    /// A name that is not in the space, or a value of another type.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        self.record.param("Trial::get", name)
    }

    /// Fits, and returns the monitored metric at the end.
    ///
    /// The Trainer's `default_root_dir` becomes [`folder`](Self::folder). A Trainer without loggers logs there, with
    /// TensorBoard and CSV. Each validation is reported to the pruner. Without validations, each epoch is. A trial of
    /// an interrupted sweep continues from its newest checkpoint.
    ///
    /// # Errors
    /// As [`Trainer::fit`](stormfire_trainer::Trainer::fit). [`Error::Interrupted`] if a signal has stopped the fit. A
    /// second call in a trial.
    pub fn fit<M: LightningModule, D: DataModule<Batch = M::Batch>>(&mut self, trainer: Trainer<M>, module: M, data: D) -> Result<f64> {
        if std::mem::replace(&mut self.has_fitted, true) {
            return Err(Error::config("Trial::fit", "it was called twice in a trial", "use other folders below `Trial::folder`"));
        }
        let others = Others::Known(self.others.clone());
        let judge = Judge::new(self.record.clone(), &self.sweep.monitor, self.sweep.mode, &self.sweep.pruner, others);
        let run = TrialRun { root: &self.root, number: self.record.number, resumes: self.resumes };
        let (_, fit, judge) = run.fit(trainer, module, data, judge)?;
        (self.record.reports, self.is_pruned) = (judge.reports, judge.is_pruned);
        score(&fit, &self.sweep.monitor, &self.record.reports)
    }

    /// The record of the trial after the objective has returned.
    pub(super) fn ended(self, outcome: Result<f64>) -> TrialRecord {
        let is_pruned = self.is_pruned;
        self.record.ended(outcome, is_pruned)
    }
}

/// The run of a trial, in any process.
pub(super) struct TrialRun<'a> {
    /// The folder of the sweep.
    pub(super) root: &'a Path,
    pub(super) number: usize,
    /// Whether it continues from its newest checkpoint.
    pub(super) resumes: bool,
}

impl TrialRun<'_> {
    /// Fits with the judge among the callbacks. Also returns what the judge has seen.
    pub(super) fn fit<M: LightningModule, D: DataModule<Batch = M::Batch>>(
        &self,
        trainer: Trainer<M>,
        module: M,
        data: D,
        judge: Judge,
    ) -> Result<(Trainer<M>, Fit<M>, Seen)> {
        let version = version(self.number);
        let run = RunDir::new(self.root).with_name("").with_version(&version).with_other_files();
        let mut trainer = trainer.in_folder(&self.root.join(&version), &run).callback(judge);
        if self.resumes {
            trainer = trainer.ckpt_path("last");
        }
        let fit = trainer.fit(module, data)?;
        if let Stop::Interrupted(signal) = fit.stop {
            return Err(signal.into());
        }
        let seen = trainer.get::<Judge>().map(Judge::seen).unwrap_or_default();
        Ok((trainer, fit, seen))
    }
}

/// The name of a trial's folder.
pub(super) fn version(number: usize) -> String {
    format!("trial_{number}")
}

/// The monitored metric at the end of a fit.
pub(super) fn score<M>(fit: &Fit<M>, monitor: &str, reports: &[f64]) -> Result<f64> {
    fit.metrics.get(monitor).or(reports.last().copied()).ok_or_else(|| {
        let available = fit.metrics.iter().map(|(name, _)| name.to_owned()).collect();
        Error::MetricMissing { name: monitor.to_owned(), available, lacks_validation: false }
    })
}
