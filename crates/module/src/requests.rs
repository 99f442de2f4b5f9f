//! What hooks ask of the loop.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// A stop that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRequest {
    /// Who asked: the [key](crate::Callback::state_key) of a callback or of [the module's own hooks](crate::module_hooks).
    pub by: String,
    /// Why, for people.
    pub reason: String,
}

/// What hooks ask for; the loop looks at its own boundaries.
///
/// A checkpoint holds all of it but the checkpoints that are asked for: a fit that continues from it finds it again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Requests {
    /// End the run: at most one of each author, the first one first.
    pub stops: Vec<StopRequest>,
    /// Leave out the rest of this epoch.
    pub skip_epoch: bool,
    /// Checkpoints to write.
    #[serde(skip)]
    pub saves: Vec<SaveRequest>,
    /// The names of all checkpoints of this run that were asked for and are not to be removed, whether or not they are
    /// written yet.
    pub checkpoints: BTreeSet<PathBuf>,
}

impl Requests {
    /// The stop to report: the first one that was asked for and not taken back.
    pub fn stop(&self) -> Option<&StopRequest> {
        self.stops.first()
    }

    /// Notes a stop. The first reason of an author stays.
    pub fn ask_to_stop(&mut self, by: &str, reason: String) {
        if !self.stops.iter().any(|stop| stop.by == by) {
            self.stops.push(StopRequest { by: by.into(), reason });
        }
    }

    /// Takes back the stop of an author.
    pub fn withdraw_stop(&mut self, by: &str) {
        self.stops.retain(|stop| stop.by != by);
    }
}

/// A checkpoint that a callback wants: the state of the next boundary of the loop, under one or more names.
///
/// It is written in the background, later than the boundary. The order is: the file, its further names, the removal of
/// what it replaces; a kill in between leaves more files than wanted, never fewer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SaveRequest {
    /// The file.
    pub path: PathBuf,
    /// Further names of the same state.
    pub also: Vec<Also>,
    /// Leave out optimizers, callbacks and the loop.
    pub weights_only: bool,
    /// Files to remove afterwards.
    pub then_remove: Vec<PathBuf>,
    /// The monitored metric, for the loggers.
    pub monitor: Option<String>,
    /// Its value.
    pub score: Option<f64>,
    /// It is the best one so far.
    pub is_best: bool,
}

impl SaveRequest {
    /// All names, the file's first.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.path.as_path()).chain(self.also.iter().map(|also| also.path.as_path()))
    }
}

/// A further name of a checkpoint; what had this name before is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Also {
    /// The name.
    pub path: PathBuf,
    /// What stands under it.
    pub kind: AlsoKind,
}

/// What stands under a further name of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlsoKind {
    /// A file that stays when the first name is removed: a hard link, or a copy where there are none.
    Copy,
    /// A relative symbolic link to the first name.
    Link,
}
