//! The logs of a run that continues: which loggers go on in the old files, and from where.

use std::path::Path;

use stormfire_checkpoint::storage;
use stormfire_loggers::{Background, Error as LoggerError, RunDir, remote_folder};
use stormfire_module::Result;

use super::Resume;
use crate::saved_log::SavedLog;

impl Resume {
    fn logs(&self) -> Vec<SavedLog> {
        serde_json::from_value(self.manifest().loggers.clone()).unwrap_or_default()
    }

    /// Whether this is the folder of the run: where it was, or where the checkpoint lies now. Another run may have a
    /// folder of the same name somewhere else, and its files must not be cut.
    fn is_folder_of(&self, log: &SavedLog, folder: &Path) -> bool {
        // What lies in a store is brought to another folder on each machine.
        if let Some(url) = remote_folder(folder) {
            return log.log_dir.as_deref().and_then(remote_folder) == Some(url);
        }
        let folder = storage::identity(folder);
        log.log_dir.as_ref() == Some(&folder) || storage::identity(self.path()).starts_with(&folder)
    }

    /// The folder of the run's default loggers, if it is where `new` would make another one.
    pub(crate) fn run_dir(&self, new: &RunDir) -> Result<Option<RunDir>> {
        let Some(log) = self.logs().into_iter().find(|log| log.name == new.name()) else { return Ok(None) };
        let old = match new.clone().resume(&log.version) {
            Ok(old) => old,
            Err(LoggerError::RunGone { folder }) => {
                tracing::warn!("the logs of the checkpoint's run are not in `{}`: a new version begins", folder.display());
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        if self.is_folder_of(&log, old.log_dir()?) {
            return Ok(Some(old));
        }
        tracing::warn!("`{}` is another run than the checkpoint's: a new version begins", old.log_dir()?.display());
        Ok(None)
    }

    /// Lets each logger that records the run of the checkpoint go back to where it was, as soon as there is something to log;
    /// whether all of them do.
    pub(crate) fn continue_logs(&self, loggers: &[Background]) -> bool {
        let mut logs = self.logs();
        let mut all = true;
        for logger in loggers {
            let is_it = |log: &SavedLog| {
                let same_place = logger.log_dir().map_or(log.log_dir.is_none(), |folder| self.is_folder_of(log, folder));
                log.name == logger.name() && log.version == logger.version() && same_place
            };
            let knows_it = |log: &SavedLog| logger.position_names_run() && log.kind == logger.kind() && log.name == logger.name();
            match logs.iter().position(is_it).or_else(|| logs.iter().position(knows_it)) {
                Some(index) => logger.resume(logs.remove(index).position),
                None => all = false,
            }
        }
        all
    }
}
