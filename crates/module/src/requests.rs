//! The requests of hooks to the loop.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use stormfire_optim::RateOf;

/// A requested stop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRequest {
    /// The author: the [key](crate::Callback::state_key) of a callback or of [the module's own
    /// hooks](crate::for_trainer::ModuleHooks).
    pub by: String,
    /// The reason, as a message.
    pub reason: String,
}

/// The requests of hooks. The loop checks them at its boundaries.
///
/// A checkpoint contains all of them except the requested checkpoints, so a resumed fit has them again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Requests {
    /// Stops: at most one per author, in order of the requests.
    pub stops: Vec<StopRequest>,
    /// Whether to skip the rest of this epoch.
    pub skip_epoch: bool,
    /// The trained weights are bad from here on: no checkpoint is written from then on.
    #[serde(skip)]
    pub saves_nothing: bool,
    /// Checkpoints to write.
    #[serde(skip)]
    pub saves: Vec<SaveRequest>,
    /// The names of all checkpoints of this run that were requested and will not be removed, whether or not they are
    /// written yet.
    pub checkpoints: BTreeSet<PathBuf>,
    /// Learning rates to set, or (`None`) to give back to their schedules. The optimizers save them.
    #[serde(skip)]
    pub rates: Vec<(RateOf, Option<f64>)>,
}

impl Requests {
    /// The stop to report: the first one that was not withdrawn.
    pub fn stop(&self) -> Option<&StopRequest> {
        self.stops.first()
    }
}

/// Changes the requests. Hooks do it through their [`Context`](crate::Context).
pub trait ChangeRequests {
    /// Adds a stop. The first reason of an author stays.
    fn ask_to_stop(&mut self, by: &str, reason: String);

    /// Withdraws the stop of an author.
    fn withdraw_stop(&mut self, by: &str);
}

impl ChangeRequests for Requests {
    fn ask_to_stop(&mut self, by: &str, reason: String) {
        if !self.stops.iter().any(|stop| stop.by == by) {
            self.stops.push(StopRequest { by: by.into(), reason });
        }
    }

    fn withdraw_stop(&mut self, by: &str) {
        self.stops.retain(|stop| stop.by != by);
    }
}

/// A checkpoint that a callback requests: the state of the next boundary of the loop, with one or more names.
///
/// It is written in the background, later than the boundary. The order is: the file, its further names, the removal of
/// the files that it replaces. A kill in between leaves more files than wanted, never fewer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SaveRequest {
    /// The file.
    pub path: PathBuf,
    /// Further names of the same state.
    pub also: Vec<Also>,
    /// Whether to omit optimizers, callbacks and the loop.
    pub weights_only: bool,
    /// Files to remove afterwards.
    pub then_remove: Vec<PathBuf>,
    /// The monitored metric, for the loggers.
    pub monitor: Option<String>,
    /// Its value.
    pub score: Option<f64>,
    /// Whether it is the best one so far.
    pub is_best: bool,
}

impl SaveRequest {
    /// All names, starting with that of the file.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.path.as_path()).chain(self.also.iter().map(|also| also.path.as_path()))
    }
}

/// A further name of a checkpoint. It replaces an existing file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Also {
    /// The name.
    pub path: PathBuf,
    /// The kind of the further name.
    pub kind: AlsoKind,
}

/// The kind of a further name of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlsoKind {
    /// A file that stays if the first name is removed: a hard link, or a copy where hard links are not supported.
    Copy,
    /// A relative symbolic link to the first name.
    Link,
}
