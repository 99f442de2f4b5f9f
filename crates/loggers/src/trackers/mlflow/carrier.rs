//! Turns entries into requests.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::entry::{Entry, Number};
use super::server_run::{API, Known, Note};
use crate::network::http::Client;
use crate::network::outbox::{Carrier, Failure};

/// Limits of the server for one request.
const ENTITIES: usize = 1000;
const PARAMS: usize = 100;
const TAGS: usize = 100;
/// The limit of the server is one million bytes.
const BYTES: usize = 900_000;

/// Limits of older servers for a tag or parameter, in characters.
const OLDER_VALUES: [usize; 3] = [5000, 500, 250];

/// The run as the sending thread gets it from the server, for the logger.
pub(super) type Learnt = Arc<Mutex<Option<Known>>>;

/// Sends entries to a run on a server.
pub(super) struct Server {
    pub(super) client: Client,
    note: Note,
    folder: PathBuf,
    learnt: Learnt,
    /// See [`Server::upload`].
    pub(super) takes_silently: bool,
}

impl Server {
    pub(super) fn new(client: Client, note: Note, folder: PathBuf, learnt: Learnt) -> Self {
        Self { client, note, folder, learnt, takes_silently: false }
    }

    /// Sends as many of the first entries as fit into one request.
    fn batch(&self, run: &str, entries: &[Entry]) -> Result<usize, Failure> {
        let mut count = fitting(entries);
        loop {
            let Some(body) = body(run, &entries[..count], &self.note.sent)? else { return Ok(count) };
            match self.client.post_text(&format!("{API}/runs/log-batch"), &body) {
                Ok(answer) => return taken(&answer).map(|()| count),
                // The run was deleted.
                Err(failure) if failure.status() == Some(404) => return Err(failure.of(entries.len())),
                // One entry is refused. Halving the request lets the others through.
                Err(failure) if failure.status().is_some() && count > 1 => count /= 2,
                Err(failure) if failure.status().is_some() => return self.shortened(run, &entries[0]).ok_or(failure),
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Sends a refused entry again, cut to the limits of older servers.
    fn shortened(&self, run: &str, entry: &Entry) -> Option<usize> {
        let (Entry::Param { value, .. } | Entry::Tag { value, .. }) = entry else { return None };
        OLDER_VALUES.into_iter().filter(|limit| value.chars().count() > *limit).find_map(|limit| {
            let short: String = value.chars().take(limit).collect();
            let short = match entry.clone() {
                Entry::Param { key, .. } => Entry::Param { key, value: short },
                Entry::Tag { key, .. } => Entry::Tag { key, value: short },
                other => other,
            };
            let body = body(run, &[short], &BTreeMap::new()).ok()??;
            self.client.post_text(&format!("{API}/runs/log-batch"), &body).ok().filter(|answer| taken(answer).is_ok()).map(|_| 1)
        })
    }
}

impl Carrier<Entry> for Server {
    fn deliver(&mut self, entries: &[Entry]) -> Result<usize, Failure> {
        // Nothing is dropped until the run exists, because a user may correct any error.
        let run = self.note.ensure(&self.client, &self.folder).map_err(|failure| match failure.status() {
            Some(404) if self.note.known.is_some() => failure.of(entries.len()),
            _ => unrefused(failure),
        })?;
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| run.clone());
        match &entries[0] {
            Entry::File { to, from, .. } => self.upload(&run, to, from),
            Entry::Status { status, end } => {
                let mut body = json!({"run_id": run.run_id, "status": status});
                if let Some(end) = end {
                    body["end_time"] = (*end).into();
                }
                let answer = self.client.post_json(&format!("{API}/runs/update"), &body)?;
                if answer["run_info"].is_object() {
                    Ok(1)
                } else {
                    Err(Failure::retry("runs/update: the answer has no `run_info`; is this an MLflow server?"))
                }
            }
            Entry::Metrics { .. } | Entry::Param { .. } | Entry::Tag { .. } => self.batch(&run.run_id, entries),
        }
    }
}

/// Checks the answer to a batch. That of MLflow is an empty object.
fn taken(answer: &Value) -> Result<(), Failure> {
    if answer.as_object().is_some_and(Map::is_empty) {
        return Ok(());
    }
    Err(Failure::retry(format!("log-batch: the answer is {answer}, not `{{}}`; is this an MLflow server?")))
}

fn unrefused(failure: Failure) -> Failure {
    match failure {
        Failure::Refused { reason, .. } => Failure::retry(reason),
        retry @ Failure::Retry { .. } => retry,
    }
}

/// Number of first entries that fit into one request.
fn fitting(entries: &[Entry]) -> usize {
    let (mut entities, mut params, mut tags, mut bytes) = (0, Vec::new(), 0, 0);
    for (at, entry) in entries.iter().enumerate() {
        match entry {
            Entry::Metrics { values, .. } => {
                entities += values.len();
                // Numbers, time and JSON syntax.
                bytes += values.iter().map(|(key, _)| key.len() + 130).sum::<usize>();
            }
            Entry::Param { key, value } => {
                // The server accepts each name only once per request.
                if params.contains(&key) {
                    return at;
                }
                entities += 1;
                params.push(key);
                bytes += escaped_length(key) + escaped_length(value) + 40;
            }
            Entry::Tag { key, value } => {
                (entities, tags) = (entities + 1, tags + 1);
                bytes += escaped_length(key) + escaped_length(value) + 40;
            }
            Entry::File { .. } | Entry::Status { .. } => return at,
        }
        if at > 0 && (entities > ENTITIES || params.len() > PARAMS || tags > TAGS || bytes > BYTES) {
            return at;
        }
    }
    entries.len()
}

/// Maximum length of a string in JSON.
fn escaped_length(text: &str) -> usize {
    text.bytes()
        .map(|byte| {
            if byte < b' ' {
                6
            } else if matches!(byte, b'"' | b'\\') {
                2
            } else {
                1
            }
        })
        .sum()
}

/// The body of a `log-batch` request. It is serialized directly, because a tree of JSON values would cost more than
/// everything else.
#[derive(Serialize)]
struct Batch<'a> {
    run_id: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metrics: Vec<Metric<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    params: Vec<Pair<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Pair<'a>>,
}

#[derive(Serialize)]
struct Metric<'a> {
    key: &'a str,
    value: Number,
    timestamp: u64,
    step: u64,
}

#[derive(Serialize)]
struct Pair<'a> {
    key: &'a str,
    value: &'a str,
}

/// Returns `None` if the server has all entries.
fn body(run_id: &str, entries: &[Entry], sent: &BTreeMap<String, u64>) -> Result<Option<String>, Failure> {
    let mut batch = Batch { run_id, metrics: Vec::new(), params: Vec::new(), tags: Vec::new() };
    for entry in entries {
        match entry {
            Entry::Metrics { step, time, values } => {
                // All values without a step have step 0, so this step does not distinguish old from new values.
                let is_new = |key: &String| sent.is_empty() || *step == 0 || sent.get(key).is_none_or(|sent| step > sent);
                let new = values.iter().filter(|(key, _)| is_new(key));
                batch.metrics.extend(new.map(|(key, value)| Metric { key, value: *value, timestamp: *time, step: *step }));
            }
            Entry::Param { key, value } => batch.params.push(Pair { key, value }),
            Entry::Tag { key, value } => batch.tags.push(Pair { key, value }),
            Entry::File { .. } | Entry::Status { .. } => {}
        }
    }
    if batch.metrics.is_empty() && batch.params.is_empty() && batch.tags.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(&batch).map(Some).map_err(|error| Failure::refused(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn param(number: usize, length: usize) -> Entry {
        Entry::Param { key: format!("p{number}"), value: "x".repeat(length) }
    }

    #[test]
    fn a_request_keeps_within_every_limit() {
        let metrics = |count: usize| Entry::Metrics { step: 0, time: 0, values: vec![("a".repeat(200), Number(0.1)); count] };
        let tag = Entry::Tag { key: "t".to_owned(), value: String::new() };
        let status = Entry::Status { status: super::super::entry::RunStatus::Finished, end: None };
        for (entries, expected) in [
            (vec![metrics(500), metrics(500), metrics(1)], 2),
            (vec![metrics(950), param(0, 1), metrics(50)], 2),
            ((0..150).map(|number| param(number, 1)).collect(), 100),
            (vec![tag; 150], 100),
            ((0..80).map(|number| param(number, 24_000)).collect(), 37),
            (vec![param(0, 1), param(1, 1), param(0, 2)], 2),
            (vec![metrics(1), status, metrics(1)], 1),
        ] {
            assert_eq!(fitting(&entries), expected);
            assert!(body("run", &entries[..expected], &BTreeMap::new()).unwrap().unwrap().len() < 1_000_000);
        }
    }
}
