//! Loggers that have their files side by side.

use crate::{Logger, RunDir};

/// Lets loggers of different kinds in one experiment be one run: those without a version of their own get the same new one.
/// Two loggers of one kind would write the same files, so that the second one begins a version for itself.
///
/// Only loggers that have no folder yet are looked at. [`Loggers::spawn`](crate::Loggers::spawn) and the Trainer do this.
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
        // Whoever else has a handle of a run is to find it there. Of ours, one is in this list.
        if dir.handles() + 1 > self.dir.handles() {
            self.dir = dir.clone();
        }
        self.kinds.push(kind);
        self.members.push(index);
    }
}
