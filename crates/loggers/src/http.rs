//! Requests to a tracking server, and what its answers mean for whoever sends them.

use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use ureq::http::request::Builder;
use ureq::http::{Request, Response};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, AsSendBody, Body, SendBody};

use crate::Secret;
use crate::outbox::Failure;

/// A request may take so long until the answer begins.
const ANSWER_WITHIN: Duration = Duration::from_mins(2);
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// No answer of a tracking server is longer.
const LONGEST_ANSWER: u64 = 64 << 20;
/// So much of an error's text is shown.
const SHOWN: usize = 300;

/// How a client says who it is.
#[derive(Debug, Clone, Default)]
pub(crate) enum Auth {
    #[default]
    None,
    Basic {
        user: String,
        password: Secret,
    },
    Bearer(Secret),
    /// A header of the service's own.
    Header(&'static str, Secret),
}

/// What a request carries. An empty type is not sent: some signed addresses are good for a request without one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content<'a> {
    Nothing,
    Json(&'a Value),
    Bytes {
        bytes: &'a [u8],
        content_type: &'a str,
    },
    /// Streamed; the file may be larger than memory.
    File {
        path: &'a Path,
        content_type: &'a str,
    },
    /// A file between two texts, as a form has it; streamed.
    Framed {
        head: &'a [u8],
        path: &'a Path,
        tail: &'a [u8],
        content_type: &'a str,
    },
}

/// An answer with a status below 400.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; an empty one is `Null`.
    pub(crate) fn json(&self) -> Result<Value, Failure> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).map_err(|error| Failure::retry(format!("the answer is no JSON: {error}")))
    }
}

/// A server, and how to talk to it.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    agent: Agent,
    base: String,
    auth: Auth,
}

impl Client {
    /// A client of the server at `base`, such as `https://host:5000`.
    pub(crate) fn new(base: &str, auth: Auth) -> Self {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        Self { agent: agent(tls), base: base.trim_end_matches('/').to_owned(), auth }
    }

    /// Takes any certificate for good.
    pub(crate) fn without_verification(mut self) -> Self {
        self.agent = agent(TlsConfig::builder().disable_verification(true).build());
        self
    }

    /// Trusts the authorities in a PEM file, and no others.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if it cannot be read, another one if there is no certificate in it.
    pub(crate) fn trusting(mut self, authorities: &Path) -> crate::Result<Self> {
        let pem = fs_err::read(authorities)?;
        let certificate = |item| if let Ok(PemItem::Certificate(certificate)) = item { Some(certificate) } else { None };
        let certificates: Vec<_> = parse_pem(&pem).filter_map(certificate).collect();
        if certificates.is_empty() {
            return Err(crate::Error::other(format!("there is no certificate in `{}`", authorities.display())));
        }
        self.agent = agent(TlsConfig::builder().root_certs(RootCerts::from(certificates)).build());
        Ok(self)
    }

    /// The server's address, without a slash at the end.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.send("GET", path, &[], Content::Nothing)
    }

    pub(crate) fn post_json(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send("POST", path, &[], Content::Json(body))?.json()
    }

    /// Sends a request to a path of the server, or to a whole address. The secret of the client goes to its own server only.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], content: Content<'_>) -> Result<Answer, Failure> {
        let own = !path.starts_with("http://") && !path.starts_with("https://");
        let address = if own { format!("{}/{}", self.base, path.trim_start_matches('/')) } else { path.to_owned() };
        let mut request = Request::builder().method(method).uri(&address);
        if own {
            request = match &self.auth {
                Auth::None => request,
                Auth::Basic { user, password } => request.header("Authorization", format!("Basic {}", basic(user, password))),
                Auth::Bearer(token) => request.header("Authorization", format!("Bearer {}", token.expose())),
                Auth::Header(name, value) => request.header(*name, value.expose()),
            };
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let outcome = match content {
            Content::Nothing if matches!(method, "POST" | "PUT" | "PATCH") => self.run(request.body(Vec::new())),
            Content::Nothing => self.run(request.body(())),
            Content::Json(value) => self.run(request.header("Content-Type", "application/json").body(value.to_string())),
            Content::Bytes { bytes, content_type } => self.run(typed(request, content_type).body(bytes)),
            Content::File { path, content_type } => self.send_file(request, [b"", b""], path, content_type),
            Content::Framed { head, path, tail, content_type } => self.send_file(request, [head, tail], path, content_type),
        };
        outcome.map_err(|failure| failure.map_reason(|reason| self.redact(&format!("{method} {address}: {reason}"))))
    }

    fn send_file(&self, request: Builder, [head, tail]: [&[u8]; 2], path: &Path, content_type: &str) -> Result<Answer, Failure> {
        // A file that is gone will not come back.
        let file = fs_err::File::open(path).map_err(|error| Failure::refused(error.to_string()))?;
        let length = file.metadata().map_err(|error| Failure::refused(error.to_string()))?.len();
        // The length must stay true while the file grows.
        let mut reader = head.chain(file.into_parts().0.take(length)).chain(tail);
        let length = head.len() as u64 + length + tail.len() as u64;
        let request = typed(request, content_type).header("Content-Length", length.to_string());
        self.run(request.body(SendBody::from_reader(&mut reader as &mut dyn Read)))
    }

    fn run(&self, request: Result<Request<impl AsSendBody>, ureq::http::Error>) -> Result<Answer, Failure> {
        let request = request.map_err(|error| Failure::refused(error.to_string()))?;
        let mut response = self.agent.run(request).map_err(|error| match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::InvalidProxyUrl => Failure::refused(error.to_string()),
            _ => Failure::retry(error.to_string()),
        })?;
        let after = retry_after(&response);
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(LONGEST_ANSWER).read_to_vec();
        if status < 400 {
            return body.map(|body| Answer { body }).map_err(|error| Failure::retry(format!("the answer broke off: {error}")));
        }
        let reason = format!("status {status}{}", excerpt(&body.unwrap_or_default()));
        match status {
            408 | 429 | 500.. => Err(Failure::Retry { after, reason }),
            _ => Err(Failure::Refused { status: Some(status), count: 1, reason }),
        }
    }

    fn redact(&self, text: &str) -> String {
        match &self.auth {
            Auth::None => text.to_owned(),
            Auth::Basic { user, password } => password.redact(&Secret::new(basic(user, password)).redact(text)),
            Auth::Bearer(secret) | Auth::Header(_, secret) => secret.redact(text),
        }
    }
}

fn basic(user: &str, password: &Secret) -> String {
    BASE64_STANDARD.encode(format!("{user}:{}", password.expose()))
}

fn typed(request: Builder, content_type: &str) -> Builder {
    if content_type.is_empty() { request } else { request.header("Content-Type", content_type) }
}

fn agent(tls: TlsConfig) -> Agent {
    let config = Agent::config_builder()
        // The text of an error says why, so it is read here.
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT_WITHIN))
        .timeout_recv_response(Some(ANSWER_WITHIN))
        .user_agent(concat!("stormfire/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls)
        .build();
    config.into()
}

/// The seconds of `Retry-After`; a date is left out, since the clocks may differ.
fn retry_after(response: &Response<Body>) -> Option<Duration> {
    let seconds: f64 = response.headers().get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * SHOWN)]);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = text.chars().take(SHOWN).collect();
    if cut.is_empty() { String::new() } else { format!(": {cut}") }
}

/// Escapes a text for one part of a path or a query.
pub(crate) fn percent(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}
