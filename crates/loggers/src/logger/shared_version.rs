//! Shared versions for loggers that store their files side by side.

use crate::{Logger, RunDir};

/// Lets loggers of different kinds in one experiment share a run. Those without a given version get the same new
/// version. Two loggers of one kind would write the same files, so the second one gets a separate version.
///
/// Only loggers without a folder are considered. [`Loggers::spawn`](crate::Loggers::spawn) and the Trainer call this.
pub fn share_versions(loggers: &mut [Box<dyn Logger>]) {
    let mut runs: Vec<SharedRun> = Vec::new();
    for (index, logger) in loggers.iter_mut().enumerate() {
        let kind = logger.kind();
        let Some(dir) = logger.run_dir_mut().filter(|dir| !dir.has_folder()) else { continue };
        match runs.iter_mut().find(|run| run.takes(dir, kind)) {
            Some(run) => run.add(dir, kind, index),
            None => runs.push(SharedRun { dir: dir.clone(), kinds: vec![kind], members: vec![index] }),
        }
    }
    for SharedRun { dir, members, .. } in runs {
        for member in members {
            if let Some(own) = loggers.get_mut(member).and_then(|logger| logger.run_dir_mut()) {
                *own = dir.clone();
            }
        }
    }
}

struct SharedRun {
    dir: RunDir,
    kinds: Vec<&'static str>,
    members: Vec<usize>,
}

impl SharedRun {
    fn takes(&self, dir: &RunDir, kind: &'static str) -> bool {
        self.dir.may_share(dir) && (dir.has_own_version() || !self.kinds.contains(&kind))
    }

    fn add(&mut self, dir: &RunDir, kind: &'static str, index: usize) {
        // Other owners of a handle must find the run through it, so the run with more external handles wins. One handle
        // of each run is in this list.
        if dir.handles() + 1 > self.dir.handles() {
            self.dir = dir.clone();
        }
        self.kinds.push(kind);
        self.members.push(index);
    }
}

#[cfg(test)]
#[cfg(all(feature = "csv", feature = "tensorboard"))]
mod tests {
    use super::*;
    use crate::{CsvLogger, Loggers, TensorBoardLogger};

    #[test]
    fn loggers_of_one_experiment_are_one_run() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let handle = RunDir::new(folder).with_name("held");
        let all: Vec<Box<dyn Logger>> = vec![
            Box::new(TensorBoardLogger::new(folder)),
            Box::new(CsvLogger::new(folder)),
            Box::new(CsvLogger::new(folder).prefix("other")),
            Box::new(CsvLogger::new(folder).name("held")),
            Box::new(TensorBoardLogger::in_dir(handle.clone())),
            Box::new(CsvLogger::new(folder.join("."))),
        ];
        let loggers = Loggers::spawn(all).unwrap();
        let runs: Vec<_> = loggers.iter().map(|logger| format!("{}/{}", logger.name(), logger.version())).collect();
        let logs = |version: u32| format!("lightning_logs/version_{version}");
        assert_eq!(runs, [logs(0), logs(0), logs(1), "held/version_0".into(), "held/version_0".into(), logs(2)]);
        // The owner of another handle of the run finds it there.
        assert_eq!(Some(handle.log_dir().unwrap()), loggers[3].log_dir());
    }
}
