//! The logs of a resumed run: which loggers continue the old files, and from which positions.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;
use stormfire_checkpoint::storage;
use stormfire_loggers::{Background, Error as LoggerError, Logger, RunDir, for_trainer::DriveBackground as _, remote_folder};
use stormfire_module::Result;

use super::Resume;
use crate::saved_log::SavedLog;

/// The role of an unopened logger in the resumed run.
pub(crate) enum Part {
    /// It continues from this position.
    Continues(Value),
    /// It starts a new log.
    New,
    /// Unknown until it is opened and has a version.
    Unknown,
}

impl Resume {
    /// Whether this is the folder of the run: the original folder, or the folder that contains the checkpoint now.
    /// Another run may have a folder with the same name elsewhere, and its files must not be truncated.
    fn is_folder_of(&self, log: &SavedLog, folder: &Path) -> bool {
        // The contents of a store are downloaded to a different folder on each machine.
        if let Some(url) = remote_folder(folder) {
            return log.log_dir.as_deref().and_then(remote_folder).is_some_and(|old| old.starts_with(url));
        }
        let folder = storage::identity(folder);
        // A logger may store its files in a subfolder.
        log.log_dir.as_ref().is_some_and(|old| old.starts_with(&folder)) || storage::identity(self.path()).starts_with(&folder)
    }

    /// Rolls unopened loggers back to the run of the checkpoint. A logger with a [`RunDir`] gets the folder of the run.
    /// Other loggers get their position.
    pub(crate) fn take_back(&self, loggers: &mut [Box<dyn Logger>]) -> Result<Vec<Part>> {
        let logs = self.loggers();
        let mut runs = self.find_runs(logs, loggers)?;
        let mut used = BTreeSet::new();
        let mut parts = Vec::new();
        for logger in loggers {
            let kind = logger.kind();
            let in_folder = logger.run_dir_mut().is_some_and(|dir| !dir.has_folder() || runs.iter().any(|run| run.dir.is_same(dir)));
            let found = if in_folder {
                let run = logger.run_dir_mut().and_then(|dir| runs.iter_mut().find(|run| run.dir.is_same(dir)));
                run.and_then(|run| run.version.clone()).and_then(|version| {
                    let is_its = |log: &SavedLog| log.kind == kind && log.name == logger.name() && log.version == version;
                    (0..logs.len()).find(|index| !used.contains(index) && is_its(&logs[*index]))
                })
            } else if logger.position_names_run() {
                (0..logs.len()).find(|index| !used.contains(index) && logs[*index].kind == kind && logs[*index].name == logger.name())
            } else {
                parts.push(Part::Unknown);
                continue;
            };
            parts.push(match found {
                Some(index) => {
                    used.insert(index);
                    let position = logs[index].position.clone();
                    logger.will_resume(&position);
                    Part::Continues(position)
                }
                None => Part::New,
            });
        }
        Ok(parts)
    }

    /// Finds the folders of the run's loggers, and assigns them to loggers that would otherwise start new ones.
    fn find_runs(&self, logs: &[SavedLog], loggers: &mut [Box<dyn Logger>]) -> Result<Vec<FoundRun>> {
        let mut runs: Vec<FoundRun> = Vec::new();
        for logger in loggers {
            let kind = logger.kind();
            let Some(dir) = logger.run_dir_mut().filter(|dir| !dir.has_folder()) else { continue };
            match runs.iter_mut().find(|run| run.dir.is_same(dir)) {
                Some(run) => run.kinds.push(kind),
                None => runs.push(FoundRun { dir: dir.clone(), kinds: vec![kind], version: None }),
            }
        }
        let mut taken: Vec<(String, String)> = Vec::new();
        for run in &mut runs {
            let is_possible = |log: &&SavedLog| {
                let is_taken = taken.iter().any(|(name, version)| (name, version) == (&log.name, &log.version));
                log.name == run.dir.name() && log.log_dir.is_some() && run.dir.may_be(&log.version) && !is_taken
            };
            let possible: Vec<&SavedLog> = logs.iter().filter(is_possible).collect();
            // An additional logger does not make it another run.
            let of_kind = possible.iter().find(|log| run.kinds.contains(&log.kind.as_str()));
            let Some(log) = of_kind.or_else(|| possible.first()) else {
                if let Some(old) = logs.iter().find(|log| run.kinds.contains(&log.kind.as_str())).and_then(|log| log.log_dir.as_ref()) {
                    let root = run.dir.root_dir();
                    self.warn(format!("the checkpoint's run logged to `{}`: a new version starts in `{}`", old.display(), root.display()));
                }
                continue;
            };
            if self.continue_here(&run.dir, log)? {
                taken.push((log.name.clone(), log.version.clone()));
                run.version = Some(log.version.clone());
            }
        }
        Ok(runs)
    }

    /// Assigns the folder of a log to a run, unless the folder is missing or belongs to another run.
    fn continue_here(&self, dir: &RunDir, log: &SavedLog) -> Result<bool> {
        let folder = dir.folder_of(&log.version)?;
        let is_ours = self.is_folder_of(log, &folder);
        if !is_ours && folder.is_dir() {
            self.warn(format!("`{}` is not the run of the checkpoint: a new version starts", folder.display()));
            return Ok(false);
        }
        let found = if is_ours { dir.continue_in(&log.version) } else { Err(LoggerError::RunGone { folder }) };
        match found {
            Ok(()) => Ok(true),
            Err(LoggerError::RunGone { folder }) => {
                self.warn(format!("the logs of the checkpoint's run are not in `{}`: a new version starts", folder.display()));
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Schedules the rollback of each logger that continues the run of the checkpoint. The rollback happens before the
    /// next record. Returns whether there are any.
    pub(crate) fn continue_logs(&self, loggers: &[Background], parts: Vec<Part>) -> bool {
        let mut logs = self.loggers().to_vec();
        let mut some_continue = false;
        for (logger, part) in loggers.iter().zip(parts) {
            let is_it = |log: &SavedLog| {
                let same_place = logger.log_dir().map_or(log.log_dir.is_none(), |folder| self.is_folder_of(log, folder));
                log.name == logger.name() && log.version == logger.version() && log.kind == logger.kind() && same_place
            };
            let position = match part {
                Part::Continues(position) => Some(position),
                Part::New => None,
                Part::Unknown => logs.iter().position(is_it).map(|index| logs.remove(index).position),
            };
            if let Some(position) = position {
                logger.resume(position);
                some_continue = true;
            }
        }
        some_continue
    }
}

/// A run in a folder, the kinds of loggers with files in it, and the version of the checkpoint's run that it continues.
struct FoundRun {
    dir: RunDir,
    kinds: Vec<&'static str>,
    version: Option<String>,
}
