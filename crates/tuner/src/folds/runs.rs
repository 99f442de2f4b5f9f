//! The runs of a cross-validation in their folder: which of them are complete, and which one continues.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stormfire_loggers::{Metrics, RunDir};
use stormfire_module::Result;
use stormfire_store::hold::{Hold, hold_alone};

use super::scores::RESULT;
use crate::files::{prepare_folder, read_record, write_record};

/// The record of a fold: its file is `fold_N.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// A number for the fold, and for what its module and its Trainer were made with. `None` for a module that does not
    /// say it, since it may have changed.
    settings: Option<u64>,
    /// `None` while the fold is not complete.
    metrics: Option<Vec<(String, f64)>>,
}

/// The start of a fold.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Start {
    /// An earlier call has fitted it.
    Complete(Vec<(String, f64)>),
    /// It is fitted below `root`.
    Fit {
        root: PathBuf,
        /// Whether it continues from its newest checkpoint.
        resumes: bool,
    },
}

/// The folder of all folds.
pub(super) struct Runs {
    root: PathBuf,
    /// No other call may write here.
    _all: RunDir,
    _hold: Option<Hold>,
}

/// The name of a fold's folder.
pub(super) fn name(number: usize) -> String {
    format!("fold_{number}")
}

impl Runs {
    /// The newest `version_N` below `folder` if the call that made it was interrupted, and its first fold had the same
    /// settings. Otherwise the next one.
    pub(super) fn open(folder: &Path, settings: Option<u64>) -> Result<Self> {
        let all = RunDir::new(folder).with_name("");
        let unfinished = unfinished(&all, settings)?;
        if let Some((version, _)) = &unfinished {
            all.continue_in(version)?;
        }
        let root = all.log_dir()?.to_owned();
        if unfinished.is_some() {
            tracing::info!("the cross-validation in `{}` continues", root.display());
        }
        Ok(Self { root, _all: all, _hold: unfinished.map(|(_, hold)| hold) })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Starts a fold, unless it is complete.
    pub(super) fn start(&self, number: usize, settings: Option<u64>) -> Result<Start> {
        let known = self.record(number)?.filter(|record| settings.is_some() && record.settings == settings);
        if let Some(Record { metrics: Some(metrics), .. }) = known {
            return Ok(Start::Complete(metrics));
        }
        let resumes = prepare_folder(&self.root.join(name(number)), known.is_some())?;
        self.note(number, &Record { settings, metrics: None })?;
        Ok(Start::Fit { root: self.root.clone(), resumes })
    }

    /// Notes the metrics of a fold. They are durable afterwards.
    pub(super) fn complete(&self, number: usize, settings: Option<u64>, metrics: &Metrics) -> Result<()> {
        let metrics = metrics.iter().map(|(name, value)| (name.to_owned(), value)).collect();
        self.note(number, &Record { settings, metrics: Some(metrics) })
    }

    fn record(&self, number: usize) -> Result<Option<Record>> {
        record_in(&self.root, number)
    }

    fn note(&self, number: usize, record: &Record) -> Result<()> {
        write_record(&file_in(&self.root, number), record)
    }
}

fn file_in(root: &Path, number: usize) -> PathBuf {
    root.join(format!("{}.json", name(number)))
}

fn record_in(root: &Path, number: usize) -> Result<Option<Record>> {
    read_record(&file_in(root, number), "cross_validate")
}

/// The newest version, if its call was interrupted and had these settings.
fn unfinished(all: &RunDir, settings: Option<u64>) -> Result<Option<(String, Hold)>> {
    let number = |folder: &Path| folder.file_name()?.to_str()?.strip_prefix("version_")?.parse::<u64>().ok();
    let newest = all.log_dirs()?.into_iter().filter_map(|folder| Some((number(&folder)?, folder))).max();
    let Some((number, root)) = newest else { return Ok(None) };
    // Without a lock, the call may still be active.
    let Some(hold) = hold_alone(&root) else { return Ok(None) };
    let Some(first) = record_in(&root, 0)?.filter(|_| !root.join(RESULT).exists()) else { return Ok(None) };
    if settings.is_none() {
        let log = root.display();
        tracing::warn!("`{log}` is not continued: the module has no `hparams`, so it may be another one");
        return Ok(None);
    }
    if first.settings != settings {
        tracing::info!("`{}` has a cross-validation with other folds, hyperparameters or options: it is left alone", root.display());
        return Ok(None);
    }
    Ok(Some((format!("version_{number}"), hold)))
}
