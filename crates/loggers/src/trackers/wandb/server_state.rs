//! The state of a run on the server. It is stored next to the spool, so that a later process continues the same run.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stormfire_store::replacement::Replacement;

use super::items::Items;

use crate::network::outbox::Failure;

const FILE: &str = "remote.json";

/// Line numbers in the streamed files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lines {
    pub(super) history: u64,
    pub(super) events: u64,
    pub(super) output: u64,
    /// The `_step` of the next row. It may differ from the line number.
    pub(super) step: u64,
}

/// A run on the server.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Remote {
    pub(super) entity: String,
    pub(super) project: String,
    /// The lines after everything that was sent.
    pub(super) next: Lines,
    /// The first lines of each session.
    pub(super) sessions: BTreeMap<String, Lines>,
    pub(super) summary: Items,
    pub(super) config: Map<String, Value>,
    /// Files that were sent and not announced yet.
    pub(super) uploaded: Vec<String>,
    pub(super) ended: bool,
}

impl Remote {
    pub(super) fn exists(folder: &Path) -> bool {
        folder.join(FILE).exists()
    }

    pub(super) fn load(folder: &Path) -> Option<Self> {
        serde_json::from_str(&fs_err::read_to_string(folder.join(FILE)).ok()?).ok()
    }

    pub(super) fn save(&self, folder: &Path) -> crate::Result<()> {
        Ok(Replacement::private(&folder.join(FILE))?.commit_json(self)?)
    }

    /// Reads the answer of `RunResumeStatus` for an existing run.
    pub(super) fn take_over(&mut self, bucket: &Value) {
        let count = |name: &str| bucket[name].as_u64().unwrap_or(0);
        let history = count("historyLineCount");
        self.next = Lines { history, events: count("eventsLineCount"), output: count("logLineCount"), step: history };
        let inner = |name: &str| bucket[name].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
        if let Some(last) =
            inner("historyTail").as_ref().and_then(Value::as_array).and_then(|tail| tail.last()?.as_str().map(str::to_owned))
            && let Ok(row) = serde_json::from_str::<Value>(&last)
            && let Some(step) = row["_step"].as_u64()
        {
            self.next.step = step + 1;
        }
        if let Some(Value::Object(summary)) = inner("summaryMetrics") {
            self.summary = Items::from(&summary);
        }
        if let Some(Value::Object(config)) = inner("config") {
            let ours = config.into_iter().filter(|(key, _)| key != "_wandb");
            self.config = ours.map(|(key, mut value)| (key, value["value"].take())).collect();
        }
    }

    /// The first lines of a session. A new session continues after all existing lines.
    pub(super) fn base(&mut self, session: &str) -> Lines {
        *self.sessions.entry(session.to_owned()).or_insert(self.next)
    }

    /// Records what was sent.
    pub(super) fn sent(&mut self, behind: Lines) {
        self.next.history = self.next.history.max(behind.history);
        self.next.events = self.next.events.max(behind.events);
        self.next.output = self.next.output.max(behind.output);
        self.next.step = self.next.step.max(behind.step);
    }
}

/// An error on the local disk is retried in the same way as one of the server.
pub(super) fn local(error: impl std::fmt::Display) -> Failure {
    Failure::retry(error.to_string())
}
