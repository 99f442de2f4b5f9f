//! Sends entries to a trackio server.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Server;
use super::entry::Entry;
use crate::network::http::{Auth, Client, Content, Expect};
use crate::network::outbox::{Carrier, Failure, Outbox, Route, Sending};
use crate::parts::random::random_hex;
use crate::{Delivery, Error, Result, Secret};

/// Approximate size of the files in one request, in bytes.
const UPLOAD: usize = 16 << 20;

/// A run on a server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Destination {
    pub(super) server: Server,
    pub(super) project: String,
    pub(super) run: String,
    pub(super) run_id: String,
    /// Whether the run has a token. Another process needs it in its environment.
    pub(super) has_token: bool,
    pub(super) has_login: bool,
}

impl Server {
    fn address(&self) -> String {
        match self {
            Self::Url { base, .. } => base.clone(),
            Self::Space(id) => format!("https://{}.hf.space", id.trim().to_lowercase().replace(['/', '_', '.'], "-")),
        }
    }

    /// The given token, or else that of the address or the environment, and the login of the address.
    pub(super) fn auth(&self, given: Option<Secret>) -> [Auth; 2] {
        let known = |auth: Option<Auth>| auth.unwrap_or_default();
        match self {
            Self::Url { token, login, .. } => {
                let token = given.or_else(|| token.clone()).or_else(|| Secret::from_env("TRACKIO_WRITE_TOKEN"));
                let token = token.map(|token| Auth::Header("x-trackio-write-token", token));
                [known(token), known(login.clone().map(|(user, password)| Auth::Basic { user, password }))]
            }
            Self::Space(_) => [known(given.or_else(|| Secret::from_env("HF_TOKEN")).map(Auth::Bearer)), Auth::None],
        }
    }

    pub(super) fn client(&self, given: Option<Secret>) -> Client {
        let [token, login] = self.auth(given);
        Client::new(&self.address(), token).also(login)
    }
}

impl Route for Destination {
    fn run(&self) -> String {
        format!("{}/{}", self.project, self.run)
    }

    fn server(&self) -> String {
        self.server.address()
    }

    fn deliver(self, folder: &Path, patience: Duration) -> Result<Delivery> {
        // The address in the environment may contain the token for this server.
        let server = Server::from_env().filter(|named| named.address() == self.server.address());
        let server = server.as_ref().unwrap_or(&self.server);
        let [token, login] = server.auth(None).map(|auth| !matches!(auth, Auth::None));
        let missing = |what, hint| Err(Error::Missing { logger: "trackio".to_owned(), what, hint });
        if self.has_token && !token {
            return missing("the token that the run had for its server", "set `TRACKIO_WRITE_TOKEN`, for a Space `HF_TOKEN`");
        }
        if self.has_login && !login {
            return missing("the login that the run had for its server", "set `TRACKIO_SERVER_URL` to its address with `user:password@`");
        }
        let client = server.client(None);
        let sending = Sending { strict: true, patience: patience.into(), ..Sending::new("trackio") };
        Outbox::open(folder, Sender { client, to: self }, sending)?.settle()
    }
}

pub(super) struct Sender {
    pub(super) client: Client,
    pub(super) to: Destination,
}

impl Carrier<Entry> for Sender {
    /// Sends the files first, so that every entry refers to existing files.
    fn deliver(&mut self, entries: &[Entry]) -> Result<usize, Failure> {
        let mut files = Vec::new();
        let (mut taken, mut size) = (0, 0);
        for entry in entries {
            if let Some(file) = &entry.file {
                match fs_err::read(&file.path) {
                    Ok(bytes) if files.is_empty() || size + bytes.len() <= UPLOAD => {
                        size += bytes.len();
                        files.push((entry.step, file.name.as_str(), bytes));
                    }
                    Err(error) if taken == 0 => return Err(Failure::refused(error.to_string())),
                    // They start the next batch.
                    Ok(_) | Err(_) => break,
                }
            }
            taken += 1;
        }
        let sent = self.upload(&files).and_then(|()| self.log(&entries[..taken]));
        sent.map(|()| taken).map_err(|failure| failure.of(taken))
    }
}

impl Sender {
    fn log(&self, entries: &[Entry]) -> Result<(), Failure> {
        // If a request contains several configurations, the server keeps the first. So only the last one is sent.
        let mut config = entries.iter().rev().find_map(|entry| entry.config.as_ref());
        let log = |entry: &Entry| {
            json!({
                "project": self.to.project,
                "run": self.to.run,
                "run_id": self.to.run_id,
                "metrics": entry.values,
                "step": entry.step,
                "config": config.take(),
                "log_id": entry.id,
            })
        };
        let logs: Vec<Value> = entries.iter().map(log).collect();
        self.call("bulk_log", "logs", logs)
    }

    /// Uploads files and moves them to their final paths. A repetition replaces the files.
    fn upload(&self, files: &[(u64, &str, Vec<u8>)]) -> Result<(), Failure> {
        if files.is_empty() {
            return Ok(());
        }
        let boundary = random_hex(32);
        let body = multipart(&boundary, files.iter().map(|(_, name, bytes)| (*name, bytes.as_slice())));
        let content_type = format!("multipart/form-data; boundary={boundary}");
        let content = Content::Bytes { bytes: &body, content_type: &content_type };
        let mut answer = self.client.send("POST", "api/upload", &[], content, Expect::Object).map_err(patient)?;
        let paths = match answer.get_mut("paths").map(Value::take) {
            Some(Value::Array(paths)) if paths.len() == files.len() => paths,
            _ => return Err(Failure::retry(format!("the server did not return the paths of {} files", files.len()))),
        };
        let place = |((step, name, _), path): (&(u64, &str, Vec<u8>), Value)| {
            json!({
                "project": self.to.project,
                "run": self.to.run,
                "run_id": self.to.run_id,
                "step": step,
                "relative_path": null,
                "uploaded_file": {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}},
            })
        };
        let uploads = files.iter().zip(paths).map(place).collect();
        self.call("bulk_upload_media", "uploads", uploads)
    }

    fn call(&self, function: &str, argument: &str, values: Vec<Value>) -> Result<(), Failure> {
        let mut body = Map::new();
        body.insert(argument.to_owned(), Value::Array(values));
        // On a Space the token in the header is used.
        body.insert("hf_token".to_owned(), Value::Null);
        let answer = self.client.post_json(&format!("api/{function}"), &Value::Object(body)).map_err(patient)?;
        match answer.get("error").filter(|error| !error.is_null()) {
            Some(error) => Err(patient(Failure::refused(format!("api/{function}: {error}")))),
            // The server has done the work or queued it.
            None if answer.get("data").is_some() => Ok(()),
            None => Err(Failure::retry(format!("api/{function}: the answer has no `data`; is this a trackio server?"))),
        }
    }
}

/// Retries what trackio refuses for the time being: a token, until a user corrects it, and files that were uploaded
/// before a restart of the server. All refusals have the same status and no code. Only their texts differ.
fn patient(failure: Failure) -> Failure {
    const TOKEN: [&str; 3] = ["write_token is required", "Expected a HF_TOKEN", "write access to the space"];
    const LOST_FILE: &str = "Uploaded file";
    match failure {
        Failure::Refused { reason, .. } if TOKEN.into_iter().chain([LOST_FILE]).any(|text| reason.contains(text)) => Failure::retry(reason),
        other => other,
    }
}

/// A form with files. The names are generated by this crate, so they need no escaping.
fn multipart<'a>(boundary: &str, files: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, bytes) in files {
        let head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"files\"; filename=\"{name}\"\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    body
}
