//! The position in an event log.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Session;
use super::projector::Entry;
use super::run_files::Extents;
use crate::Hyperparams;

/// See [`Logger::position`](crate::Logger::position).
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Position {
    #[serde(flatten)]
    pub(super) main: Extents,
    /// The runs of scalar groups, by folder name.
    #[serde(default)]
    pub(super) groups: BTreeMap<String, Extents>,
    #[serde(default)]
    pub(super) embeddings: Vec<Entry>,
    pub(super) session: Session,
    pub(super) hparams: Hyperparams,
    pub(super) initial_metrics: BTreeMap<String, String>,
}
