//! Sends the entries of a run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::entry::{Entry, Posted};
use super::items::Items;
use super::server_state::{Lines, Remote, local};
use super::settings::Settings;
use super::{GLOBAL_STEP, clock};
use crate::ConsoleStream;
use crate::network::http::{Auth, Client, percent};
use crate::network::outbox::{self, Failure};

/// Delay after a refusal. A user may correct the key or create the project, which takes some time.
const REFUSED_AGAIN: Duration = Duration::from_secs(30);

/// The client side of the protocol. It runs on the sending thread.
pub(super) struct Carrier {
    pub(super) client: Client,
    pub(super) settings: Settings,
    folder: PathBuf,
    remote: Option<Remote>,
    /// Whether this process has announced the run to the server.
    announced: bool,
    warned_of_stop: bool,
}

/// The content of one file stream request.
#[derive(Default)]
struct Stream {
    history: Chunk,
    events: Chunk,
    output: Chunk,
    has_summary: bool,
    behind: Lines,
}

/// Consecutive lines of a file.
#[derive(Default)]
struct Chunk {
    offset: u64,
    lines: Vec<String>,
}

impl outbox::Carrier<Posted> for Carrier {
    fn deliver(&mut self, records: &[Posted]) -> Result<usize, Failure> {
        let Some(first) = records.first() else { return Ok(0) };
        self.begin()?;
        match &first.entry {
            Entry::Config(values) => self.configure(values)?,
            Entry::Artifact(bundle) => self.upload_artifact(bundle)?,
            Entry::Exit { code, runtime } => self.end(*code, *runtime)?,
            Entry::File { .. } => {
                let file = |posted: &Posted| match &posted.entry {
                    Entry::File { name, path, .. } => Some((name.clone(), path.clone())),
                    _ => None,
                };
                let files: Vec<_> = records.iter().map_while(file).collect();
                return self.upload_files(&files);
            }
            Entry::Row { .. } | Entry::Summary(_) | Entry::System { .. } | Entry::Console { .. } => return self.stream(records),
        }
        Ok(1)
    }

    fn idle(&mut self) -> Result<(), Failure> {
        let running = self.announced && self.remote.as_ref().is_some_and(|remote| !remote.ended);
        if running { self.post(&json!({})) } else { Ok(()) }
    }
}

impl Carrier {
    pub(super) fn new(settings: &Settings, folder: &Path) -> crate::Result<Self> {
        let auth = Auth::Basic { user: "api".into(), password: settings.key()? };
        let mut settings = settings.clone();
        settings.api_key = None;
        let client = Client::new(&settings.base_url, auth);
        Ok(Self { client, settings, folder: folder.to_owned(), remote: None, announced: false, warned_of_stop: false })
    }

    /// The run on the server. Valid only after [`Carrier::begin`].
    pub(super) fn remote(&mut self) -> &mut Remote {
        self.remote.get_or_insert_default()
    }

    /// Sends a GraphQL operation and returns its `data`.
    pub(super) fn ask(&self, name: &str, query: &str, variables: &Value) -> Result<Value, Failure> {
        let body = json!({"query": query, "variables": variables, "operationName": name});
        let mut answer = self.client.post_json("graphql", &body)?;
        if let Some(error) = answer["errors"].get(0) {
            let said = error["message"].as_str().map_or_else(|| error.to_string(), str::to_owned);
            return Err(Failure::refused(format!("{name}: {said}")));
        }
        match answer["data"].take() {
            data @ Value::Object(_) => Ok(data),
            _ => Err(Failure::retry(format!("{name}: the answer has no `data`; is this a W&B server?"))),
        }
    }

    /// Creates the run on the server, or continues an existing one.
    fn begin(&mut self) -> Result<(), Failure> {
        if self.announced && self.remote.as_ref().is_some_and(|remote| !remote.ended) {
            return Ok(());
        }
        // Without a run nothing can be sent, so no record is dropped.
        self.try_begin().map_err(|failure| match failure {
            Failure::Refused { reason, .. } => Failure::Retry { after: Some(REFUSED_AGAIN), reason },
            retry @ Failure::Retry { .. } => retry,
        })
    }

    fn try_begin(&mut self) -> Result<(), Failure> {
        let mut remote = match self.remote.take().or_else(|| Remote::load(&self.folder)) {
            Some(remote) => remote,
            None => self.find()?,
        };
        let settings = &self.settings;
        let given = json!({
            "displayName": settings.run_name,
            "groupName": settings.group,
            "jobType": settings.job_type,
            "notes": settings.notes,
            "tags": (!settings.tags.is_empty()).then_some(&settings.tags),
            "host": settings.host,
            "program": settings.program,
            "sweep": settings.sweep,
        });
        let bucket = self.upsert(&remote, given)?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let project = &bucket["project"];
        remote.project = text(&project["name"]).unwrap_or_else(|| self.settings.project.clone());
        remote.entity = text(&project["entity"]["name"]).or_else(|| self.settings.entity.clone()).unwrap_or_default();
        remote.ended = false;
        self.announced = true;
        self.remote = Some(remote);
        self.save();
        Ok(())
    }

    /// Searches an existing run with this id.
    fn find(&self) -> Result<Remote, Failure> {
        let variables = json!({"project": self.settings.project, "entity": self.settings.entity, "name": self.settings.id});
        let mut remote = Remote::default();
        // A missing project is an error of the query. The following requests create the project.
        let found = match self.ask("RunResumeStatus", include_str!("graphql/run_resume_status.graphql"), &variables) {
            Ok(found) => found,
            Err(Failure::Refused { status: None, .. }) => Value::Null,
            Err(failure) => return Err(failure),
        };
        let bucket = &found["model"]["bucket"];
        if !bucket.is_null() {
            remote.take_over(bucket);
        }
        Ok(remote)
    }

    /// Sends the current settings of the run to the server. Returns the server's bucket.
    fn upsert(&self, remote: &Remote, given: Value) -> Result<Value, Failure> {
        let names = [
            "id",
            "name",
            "project",
            "entity",
            "groupName",
            "description",
            "displayName",
            "notes",
            "commit",
            "config",
            "host",
            "debug",
            "program",
            "repo",
            "jobType",
            "state",
            "sweep",
            "tags",
            "summaryMetrics",
        ];
        let mut variables: Map<String, Value> = names.into_iter().map(|name| (name.to_owned(), Value::Null)).collect();
        if let Value::Object(given) = given {
            variables.extend(given);
        }
        let entity = if remote.entity.is_empty() { self.settings.entity.clone() } else { Some(remote.entity.clone()) };
        variables.insert("name".to_owned(), self.settings.id.as_str().into());
        variables.insert("project".to_owned(), self.settings.project.as_str().into());
        variables.insert("entity".to_owned(), entity.into());
        variables.insert("config".to_owned(), config(&remote.config).to_string().into());
        let mut data = self.ask("UpsertBucket", include_str!("graphql/upsert_bucket.graphql"), &variables.into())?;
        match data["upsertBucket"]["bucket"].take() {
            bucket @ Value::Object(_) => Ok(bucket),
            _ => Err(Failure::retry("UpsertBucket: the answer names no run; is this a W&B server?")),
        }
    }

    fn configure(&mut self, values: &Map<String, Value>) -> Result<(), Failure> {
        let mut remote = self.remote().clone();
        remote.config.extend(values.clone());
        self.upsert(&remote, Value::Null)?;
        *self.remote() = remote;
        self.save();
        Ok(())
    }

    fn stream(&mut self, records: &[Posted]) -> Result<usize, Failure> {
        let session = records.first().map(|posted| posted.session.clone()).unwrap_or_default();
        let remote = self.remote();
        let base = remote.base(&session);
        let mut stream = Stream { behind: remote.next, ..Stream::default() };
        let mut summary = remote.summary.clone();
        let taken = records.iter().take_while(|posted| posted.session == session && stream.take(&posted.entry, base, &mut summary)).count();
        let uploaded = remote.uploaded.clone();
        let mut body = json!({"files": stream.files(&summary)});
        if !uploaded.is_empty() {
            body["uploaded"] = uploaded.into();
        }
        self.post(&body).map_err(|failure| failure.of(taken))?;
        let remote = self.remote();
        remote.summary = summary;
        remote.sent(stream.behind);
        remote.uploaded.clear();
        self.save();
        Ok(taken)
    }

    /// Ends the run.
    fn end(&mut self, code: i32, runtime: f64) -> Result<(), Failure> {
        let remote = self.remote();
        remote.summary.set_json("_wandb", &json!({"runtime": runtime.floor() as u64}));
        remote.summary.set("_runtime", runtime);
        let (summary, config) = (remote.summary.to_json(), config(&remote.config));
        let config = serde_saphyr::to_string(&config).map_err(local)?;
        let about = json!({
            "os": std::env::consts::OS,
            "host": self.settings.host,
            "program": self.settings.program,
        });
        let files = [
            ("wandb-summary.json", summary.as_bytes()),
            ("config.yaml", config.as_bytes()),
            ("wandb-metadata.json", about.to_string().as_bytes()),
        ]
        .map(|(name, bytes)| (name.to_owned(), bytes.to_vec()));
        self.upload_bytes(&files)?;
        let uploaded = self.remote().uploaded.clone();
        let files = json!({"wandb-summary.json": {"offset": 0, "content": [summary]}});
        let body = json!({"files": files, "uploaded": uploaded, "complete": true, "exitcode": code});
        self.post(&body)?;
        let remote = self.remote();
        remote.uploaded.clear();
        remote.ended = true;
        self.save();
        Ok(())
    }

    /// Sends a request to the file stream.
    fn post(&mut self, body: &Value) -> Result<(), Failure> {
        let Remote { entity, project, .. } = self.remote();
        let (entity, project) = (percent(entity), percent(project));
        let path = format!("files/{entity}/{project}/{}/file_stream", percent(&self.settings.id));
        let answer = self.client.post_json(&path, body)?;
        if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
            return Err(Failure::retry(format!("file_stream: {error}")));
        }
        if answer["stopped"].as_bool() == Some(true) && !self.warned_of_stop {
            self.warned_of_stop = true;
            tracing::warn!(
                run = self.settings.id,
                "a user requested W&B to stop this run; it continues, because only its own program can stop it"
            );
        }
        Ok(())
    }

    /// Without the note, the worst case is that the same lines are sent to the same line numbers again.
    pub(super) fn save(&mut self) {
        if let Some(remote) = &self.remote
            && let Err(error) = remote.save(&self.folder)
        {
            tracing::debug!(%error, "the run's state at the server could not be saved");
        }
    }
}

impl Stream {
    /// Returns false if the entry does not fit into the same request.
    fn take(&mut self, entry: &Entry, base: Lines, summary: &mut Items) -> bool {
        match entry {
            Entry::Row { line, items } => {
                let mut items = items.clone();
                items.set("_step", (base.step + line) as f64);
                if !self.history.take(base.history + line, || items.to_json()) {
                    return false;
                }
                self.behind.history = self.history.end();
                self.behind.step = base.step + line + 1;
                summary.update(&items);
            }
            Entry::Summary(items) => summary.update(items),
            Entry::System { line, time, runtime, items } => {
                let text = || {
                    let mut shown = Items::default();
                    for (name, value) in items.iter() {
                        shown.set_text(format!("system.{name}"), value);
                    }
                    shown.set_json("_wandb", &true.into());
                    shown.set("_timestamp", *time);
                    shown.set("_runtime", *runtime);
                    shown.to_json()
                };
                if !self.events.take(base.events + line, text) {
                    return false;
                }
                self.behind.events = self.events.end();
            }
            Entry::Console { line, time, stream, text } => {
                let mark = if *stream == ConsoleStream::Stderr { "ERROR " } else { "" };
                if !self.output.take(base.output + line, || format!("{mark}{} {text}", clock::iso(*time))) {
                    return false;
                }
                self.behind.output = self.output.end();
                return true;
            }
            Entry::Config(_) | Entry::File { .. } | Entry::Artifact(_) | Entry::Exit { .. } => return false,
        }
        self.has_summary |= !matches!(entry, Entry::System { .. });
        true
    }

    fn files(&self, summary: &Items) -> Value {
        let mut files = Map::new();
        for (name, chunk) in [("output.log", &self.output), ("wandb-events.jsonl", &self.events), ("wandb-history.jsonl", &self.history)] {
            if !chunk.lines.is_empty() {
                files.insert(name.to_owned(), json!({"offset": chunk.offset, "content": chunk.lines}));
            }
        }
        if self.has_summary {
            files.insert("wandb-summary.json".to_owned(), json!({"offset": 0, "content": [summary.to_json()]}));
        }
        files.into()
    }
}

impl Chunk {
    fn take(&mut self, line: u64, text: impl FnOnce() -> String) -> bool {
        if self.lines.is_empty() {
            self.offset = line;
        } else if line != self.end() {
            return false;
        }
        self.lines.push(text());
        true
    }

    fn end(&self) -> u64 {
        self.offset + self.lines.len() as u64
    }
}

/// Settings in W&B's format. `_wandb.m` sets the trainer's step as the x-axis of all metrics.
fn config(values: &Map<String, Value>) -> Value {
    let mut config: Map<String, Value> = values.iter().map(|(key, value)| (key.clone(), json!({"value": value}))).collect();
    let metrics = json!([
        {"1": GLOBAL_STEP, "6": [3], "7": []},
        {"2": "*", "5": 1, "6": [1], "7": []},
    ]);
    config.insert("_wandb".to_owned(), json!({"value": {"m": metrics}}));
    config.into()
}
