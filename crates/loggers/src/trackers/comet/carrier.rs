//! Sends messages to Comet's server, with the requests of Comet's own client.

use std::io::{self, BufWriter};
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::batch::{Batch, Values, metrics, output, parameters};
use super::message::{FileKind, Message, Upload};
use crate::network::http::{Auth, Client, Content, Expect, percent};
use crate::network::outbox::{Carrier, Failure, Outbox, Route, Sending};
use crate::parts::identity::now_ms;
use crate::parts::random::random_hex;
use crate::{Delivery, Error, Result, Secret};

const METRICS: &str = "clientlib/batch/logger/experiment/metric";
const PARAMETERS: &str = "clientlib/batch/logger/experiment/parameter";
const OUTPUT: &str = "clientlib/rest/v2/write/experiment/output";
const STATUS: &str = "clientlib/status-report/update";
/// The codes of a file that the server already has, as in Comet's own client.
const HAS_FILE: [&str; 2] = ["7000005", "7000006"];
/// The version of Comet's client with these requests. The server may depend on it.
const CLIENT_VERSION: &str = "3.58.0";

/// An experiment and its server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Destination {
    pub(super) server: String,
    pub(super) key: String,
    pub(super) project: String,
    pub(super) workspace: Option<String>,
}

/// The interval of Comet's own client.
const HEARTBEAT: Duration = Duration::from_secs(10);

impl Destination {
    pub(super) fn outbox(self, folder: &Path, api_key: Secret, sending: Sending) -> Result<Outbox<Message>> {
        let sending = Sending { idle_every: Some(HEARTBEAT), ..sending };
        let outbox = Outbox::open(folder, CometCarrier::new(self.clone(), api_key), sending)?;
        self.save(outbox.folder())?;
        Ok(outbox)
    }
}

impl Route for Destination {
    fn run(&self) -> String {
        format!("{}/{}", self.project, self.key)
    }

    fn server(&self) -> String {
        self.server.clone()
    }

    fn deliver(self, folder: &Path, patience: Duration) -> Result<Delivery> {
        let api_key = Secret::from_env(API_KEY).ok_or_else(|| missing_key(&self.project))?;
        let sending = Sending { strict: true, patience: patience.into(), ..Sending::new(&self.project) };
        self.outbox(folder, api_key, sending)?.settle()
    }
}

pub(super) const API_KEY: &str = "COMET_API_KEY";

pub(super) fn missing_key(project: &str) -> Error {
    Error::Missing { logger: project.to_owned(), what: "an API key", hint: "set `COMET_API_KEY`, or make an archive with `offline(true)`" }
}

/// Sends the messages of an experiment.
pub(super) struct CometCarrier {
    client: Client,
    api_key: Secret,
    to: Destination,
    /// The run on the server, after it was created.
    run: Option<Run>,
    words: Words,
}

/// The form of the server's answers to requests whose answers Comet's own client does not read.
#[derive(Debug, Default, PartialEq, Eq)]
enum Words {
    /// JSON objects.
    #[default]
    Objects,
    /// The last answer was not a JSON object. It may come from a proxy.
    Strange,
    /// Only a status.
    Status,
}

struct Run {
    id: String,
    project: String,
    /// Whether the run was reported as alive.
    alive: bool,
}

impl CometCarrier {
    pub(super) fn new(to: Destination, api_key: Secret) -> Self {
        let client = Client::new(&to.server, Auth::Header("Authorization", api_key.clone()));
        Self { client, api_key, to, run: None, words: Words::default() }
    }

    /// The run on the server. A repeated request returns the same run, so a lost answer does no harm.
    fn run(&mut self) -> Result<&mut Run, Failure> {
        if self.run.is_none() {
            let body = json!({
                "apiKey": self.api_key.expose(), "local_timestamp": now_ms(), "experimentKey": self.to.key, "offline": false,
                "projectName": self.to.project, "teamName": self.to.workspace, "libVersion": CLIENT_VERSION, "getOrCreateEnabled": true,
            });
            let answer = self.post("clientlib/logger/add/run", &body).map_err(patient)?;
            let text = |name: &str| answer[name].as_str().map(str::to_owned);
            let Some(id) = text("runId") else {
                return Err(Failure::retry(format!("the server at {} returned no id for the run", self.client.base())));
            };
            self.run = Some(Run { id, project: text("project_id").unwrap_or_default(), alive: false });
        }
        self.run.as_mut().ok_or_else(|| Failure::retry("the server does not know the run"))
    }

    fn set_alive(&mut self, alive: bool) -> Result<(), Failure> {
        let run = self.run()?;
        let (id, project) = (run.id.clone(), run.project.clone());
        let body = json!({
            "apiKey": self.api_key.expose(), "runId": id, "experimentKey": self.to.key, "projectId": project,
            "is_alive": alive, "local_timestamp": now_ms(), "offline": false,
        });
        self.post(STATUS, &body)?;
        self.run()?.alive = alive;
        Ok(())
    }

    fn write(&mut self, what: &str, mut body: Value) -> Result<(), Failure> {
        body["experimentKey"] = self.to.key.as_str().into();
        self.hand_over(&format!("api/rest/v2/write/experiment/{what}"), &[], Content::Json(&body))
    }

    /// Sends a request whose answer is not needed. Comet's own client checks only its status. An answer that is not a
    /// JSON object may come from a proxy. It is accepted if it occurs twice, and the server answers a status report
    /// with a JSON object after each of the two.
    fn hand_over(&mut self, path: &str, headers: &[(&str, &str)], content: Content<'_>) -> Result<(), Failure> {
        let answer = self.client.send("POST", path, headers, content, Expect::Taken)?;
        if !answer.is_null() {
            if self.words == Words::Strange {
                self.words = Words::Objects;
            }
            return accepted(answer).map(drop);
        }
        if self.words == Words::Status {
            return Ok(());
        }
        let before = std::mem::take(&mut self.words);
        self.set_alive(true)?;
        if before == Words::Strange {
            self.words = Words::Status;
            return Ok(());
        }
        self.words = Words::Strange;
        Err(Failure::retry("the answer is not a JSON object, so it may come from a proxy"))
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        accepted(self.client.post_json(path, body)?)
    }

    /// Sends values in one compressed request. It is serialized directly, because a tree of JSON values would cost more
    /// than everything else.
    fn batch(&mut self, path: &str, values: Values<'_>) -> Result<usize, Failure> {
        let count = values.len();
        let body = Batch { key: &self.to.key, values };
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        let written = serde_json::to_writer(BufWriter::new(&mut packed), &body).map_err(io::Error::from);
        let bytes = written.and_then(|()| packed.finish()).map_err(|error| Failure::refused(error.to_string()).of(count))?;
        let content = Content::Bytes { bytes: &bytes, content_type: "application/json;charset=utf-8" };
        self.hand_over(path, &[("Content-Encoding", "gzip")], content).map_err(|failure| failure.of(count))?;
        Ok(count)
    }

    fn upload(&mut self, upload: &Upload) -> Result<(), Failure> {
        let (run, project) = {
            let run = self.run()?;
            (run.id.clone(), run.project.clone())
        };
        let place = if upload.kind == FileKind::Visualization { "visualizations" } else { "asset" };
        let mut address = format!(
            "clientlib/{place}/upload?experimentId={}&projectId={}&apiKey={}",
            percent(&self.to.key),
            percent(&project),
            percent(self.api_key.expose())
        );
        for (name, value) in &upload.additional_params {
            let text = match value {
                Value::Null if name == "runId" => run.clone(),
                Value::Null => continue,
                Value::Bool(true) => "True".to_owned(),
                Value::Bool(false) => "False".to_owned(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            address.extend(["&", name, "=", &percent(&text)]);
        }
        let boundary = random_hex(32);
        let part = |name: &str, more: &str| format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n");
        let head = part("file", "; filename=\"file\"");
        let about = Value::from(upload.metadata.clone());
        let metadata = if upload.metadata.is_empty() { String::new() } else { format!("{}{about}\r\n", part("metadata", "")) };
        let tail = format!("\r\n{metadata}--{boundary}--\r\n");
        let content_type = format!("multipart/form-data; boundary={boundary}");
        let (head, tail) = (head.as_bytes(), tail.as_bytes());
        let content = Content::Framed { head, path: &upload.file_path, tail, content_type: &content_type };
        match self.hand_over(&address, &[], content) {
            // The answer to an earlier attempt was lost.
            Err(failure) if failure.code().is_some_and(|code| HAS_FILE.contains(&code)) => Ok(()),
            other => other,
        }
    }

    fn end(&mut self, error: Option<&str>, crashed: bool) -> Result<(), Failure> {
        if let Some(error) = error {
            self.write("update-status", json!({"isAlive": false, "error": error, "hasCrashed": crashed}))?;
        }
        self.set_alive(false)
    }

    fn send(&mut self, first: &Message, records: &[Message]) -> Result<usize, Failure> {
        match first {
            Message::MetricMsg { .. } => return self.batch(METRICS, Values::Metrics(metrics(records))),
            Message::ParameterMsg { .. } => return self.batch(PARAMETERS, Values::Parameters(parameters(records))),
            Message::StandardOutput { .. } => return self.batch(OUTPUT, Values::Output(output(records))),
            Message::LogOther { key, value, .. } => self.write("log-other", json!({"key": key, "value": value}))?,
            Message::Graph { graph, .. } => self.write("graph", json!({"graph": graph}))?,
            Message::FileUpload(upload) => self.upload(upload)?,
            Message::Tags { tags } => {
                let body = json!({"apiKey": self.api_key.expose(), "experimentKey": self.to.key, "addedTags": tags});
                self.hand_over("clientlib/tags/add-tags-to-experiment", &[], Content::Json(&body))?;
            }
            Message::Ended { error, crashed } => self.end(error.as_deref(), *crashed)?,
        }
        Ok(1)
    }
}

impl CometCarrier {
    fn try_deliver(&mut self, records: &[Message]) -> Result<usize, Failure> {
        let Some(first) = records.first() else { return Ok(0) };
        let alive = self.run()?.alive;
        if !alive && !matches!(first, Message::Ended { .. }) {
            self.set_alive(true).map_err(patient)?;
        }
        self.send(first, records)
    }
}

impl Carrier<Message> for CometCarrier {
    fn deliver(&mut self, records: &[Message]) -> Result<usize, Failure> {
        // Some addresses and bodies contain the key, and a server may repeat it.
        self.try_deliver(records).map_err(|failure| failure.map_reason(|reason| self.api_key.redact(reason)))
    }

    fn idle(&mut self) -> Result<(), Failure> {
        if self.run.as_ref().is_some_and(|run| run.alive) { self.set_alive(true) } else { Ok(()) }
    }
}

/// Checks Comet's own status codes in a successful answer.
fn accepted(answer: Value) -> Result<Value, Failure> {
    let code = |name: &str| answer[name].as_i64().unwrap_or(0);
    let text = || format!("the server says: {answer}");
    match (code("code"), code("sdk_error_code")) {
        (401 | 403 | 408 | 429 | 500.., _) => Err(Failure::retry(text())),
        (400.., _) => Err(Failure::refused(text()).coded(&answer)),
        (_, 0) => Ok(answer),
        _ => Err(Failure::refused(text()).coded(&answer)),
    }
}

/// A rejected run is not the fault of its records. They are retried until a user corrects the key or the name.
fn patient(failure: Failure) -> Failure {
    match failure {
        Failure::Refused { reason, .. } => {
            Failure::retry(format!("{reason}; are the API key (`COMET_API_KEY`), the workspace and the project right?"))
        }
        // The key was rejected.
        Failure::Retry { after, reason } if reason.ends_with("right?") => {
            Failure::Retry { after, reason: format!("{reason} (`COMET_API_KEY`)") }
        }
        retry @ Failure::Retry { .. } => retry,
    }
}

/// The address of the server from the value of `COMET_URL_OVERRIDE`, such as `https://host/clientlib/`.
pub(super) fn server(address: &str) -> &str {
    let address = address.trim_end_matches('/');
    address.strip_suffix("/clientlib").unwrap_or(address)
}

/// Checks that Comet accepts the key of an experiment.
pub(super) fn check_key(key: &str) -> Result<()> {
    if (32..=50).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(());
    }
    let reason = format!("the Comet experiment key `{}` is not 32 to 50 letters and digits", key.escape_debug());
    Err(Error::Setting { logger: "CometLogger", option: "experiment_key", reason, hint: "leave it out for a random key" })
}

#[cfg(test)]
mod tests {
    use super::super::message::FileNote;
    use super::*;
    use crate::network::test_server::TestServer;

    #[test]
    fn a_file_that_the_server_already_has_is_delivered() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.txt");
        fs_err::write(&file, "a").unwrap();
        for (status, code, is_delivered) in [(400, 7_000_005, true), (200, 7_000_006, true), (400, 7_000_001, false)] {
            let server = TestServer::start(move |request| match request.path.as_str() {
                "/clientlib/logger/add/run" => (200, json!({"runId": "r1", "project_id": "p1"})),
                path if path.contains("/upload?") => (status, json!({"sdk_error_code": code, "msg": "no"})),
                _ => (200, json!({"msg": "ok"})),
            });
            let to = Destination { server: server.address.clone(), key: "k".to_owned(), project: "p".to_owned(), workspace: None };
            let upload = FileNote::new(FileKind::Asset, "a.txt", None).upload(file.clone(), false, 1);
            let delivered = CometCarrier::new(to, "key".into()).deliver(&[upload]);
            assert_eq!(delivered.is_ok(), is_delivered, "{code}: {delivered:?}");
        }
    }
}
