//! Requests to a tracking server, and the interpretation of its answers.

mod answer;
mod redirect;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

pub(crate) use answer::Expect;
use answer::{Answer, excerpt, retry_after};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use redirect::Next;
use serde_json::Value;
use ureq::http::request::Builder;
use ureq::http::{HeaderMap, Request};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, AsSendBody, SendBody};

use crate::Secret;
use crate::network::address::{origin, shown};
use crate::network::outbox::Failure;

/// Time limit from a request to the start of its answer.
const ANSWER_WITHIN: Duration = Duration::from_mins(2);
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Size limit of an answer, in bytes.
const LONGEST_ANSWER: u64 = 64 << 20;

/// The authentication of a client.
#[derive(Debug, Clone, Default)]
pub(crate) enum Auth {
    #[default]
    None,
    Basic {
        user: Secret,
        password: Secret,
    },
    Bearer(Secret),
    /// A custom header of the service.
    Header(&'static str, Secret),
}

/// The content of a request. An empty `content_type` is not sent, because some signed addresses are valid only without
/// one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content<'a> {
    Nothing,
    Json(&'a Value),
    Bytes {
        bytes: &'a [u8],
        content_type: &'a str,
    },
    /// The content of a file. It is streamed, so the file may be larger than memory.
    File {
        path: &'a Path,
        content_type: &'a str,
    },
    /// A file between two texts, as in a form. It is streamed.
    Framed {
        head: &'a [u8],
        path: &'a Path,
        tail: &'a [u8],
        content_type: &'a str,
    },
}

impl Auth {
    fn secret(&self) -> Option<&Secret> {
        match self {
            Self::None => None,
            // Some services take a token in place of the user name.
            Self::Basic { user, password } => Some(if password.expose().is_empty() { user } else { password }),
            Self::Bearer(secret) | Self::Header(_, secret) => Some(secret),
        }
    }

    fn add_to(&self, request: Builder) -> Builder {
        match self {
            Self::None => request,
            Self::Basic { user, password } => request.header("Authorization", format!("Basic {}", basic(user, password))),
            Self::Bearer(token) => request.header("Authorization", format!("Bearer {}", token.expose())),
            Self::Header(name, value) => request.header(*name, value.expose()),
        }
    }
}

/// The result of a single request.
enum Outcome {
    Answer(Answer),
    Redirect(u16, HeaderMap),
}

/// A server and the settings for requests to it.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    agent: Agent,
    base: String,
    auth: Vec<Auth>,
}

impl Client {
    /// A client of the server at `base`, such as `https://host:5000`.
    pub(crate) fn new(base: &str, auth: Auth) -> Self {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        Self { agent: agent(tls), base: base.trim_end_matches('/').to_owned(), auth: vec![auth] }
    }

    /// Adds another authentication.
    pub(crate) fn also(mut self, auth: Auth) -> Self {
        self.auth.push(auth);
        self
    }

    /// Accepts any certificate.
    pub(crate) fn without_verification(mut self) -> Self {
        self.agent = agent(TlsConfig::builder().disable_verification(true).build());
        self
    }

    /// Trusts only the authorities in a PEM file.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the file cannot be read, another error if it contains no certificate.
    pub(crate) fn trusting(mut self, authorities: &Path) -> crate::Result<Self> {
        let pem = fs_err::read(authorities)?;
        let certificate = |item| if let Ok(PemItem::Certificate(certificate)) = item { Some(certificate) } else { None };
        let certificates: Vec<_> = parse_pem(&pem).filter_map(certificate).collect();
        if certificates.is_empty() {
            return Err(crate::Error::other(format!("`{}` contains no certificate", authorities.display())));
        }
        self.agent = agent(TlsConfig::builder().root_certs(RootCerts::from(certificates)).build());
        Ok(self)
    }

    /// The address of the server, without a trailing slash.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.send("GET", path, &[], Content::Nothing, Expect::Object)
    }

    pub(crate) fn post_json(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send("POST", path, &[], Content::Json(body), Expect::Object)
    }

    /// As [`Client::post_json`], for serialized JSON.
    pub(crate) fn post_text(&self, path: &str, json: &str) -> Result<Value, Failure> {
        self.send("POST", path, &[], Content::Bytes { bytes: json.as_bytes(), content_type: "application/json" }, Expect::Object)
    }

    /// Sends a request to a path of the server, or to an absolute address that the server has returned. Only an answer
    /// of the service counts as success. The secrets of the client are sent only to its own server, even if that
    /// redirects. A request with content arrives with it, or the result is a failure.
    ///
    /// Rejected credentials are retried, because a user may correct them.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        content: Content<'_>,
        expect: Expect,
    ) -> Result<Value, Failure> {
        let own = !path.starts_with("http://") && !path.starts_with("https://");
        let address = if own { format!("{}/{}", self.base, path.trim_start_matches('/')) } else { path.to_owned() };
        let outcome = self.follow(method, Next { address: address.clone(), with_login: own }, headers, content);
        outcome.and_then(|(answer, is_elsewhere)| answer.check(expect, is_elsewhere)).map_err(|failure| {
            let failure = if own { waited_out(failure) } else { failure };
            let place = shown(&address);
            failure.map_reason(|reason| self.redact(&format!("{method} {place}: {}", reason.replace(&address, &place))))
        })
    }

    /// The answer, and whether it comes from another server than the requested one.
    fn follow(&self, method: &str, mut at: Next, headers: &[(&str, &str)], content: Content<'_>) -> Result<(Answer, bool), Failure> {
        let (mut is_elsewhere, mut headers) = (false, headers.to_vec());
        for _ in 0..=redirect::MOST {
            match self.ask(method, &at, &headers, content)? {
                Outcome::Answer(answer) => return Ok((answer, is_elsewhere)),
                Outcome::Redirect(status, said) => {
                    let next = self.redirected((method, &at.address, at.with_login), (status, &said), content).map_err(Failure::retry)?;
                    if origin(&next.address) != origin(&at.address) {
                        is_elsewhere = true;
                        headers.retain(|(name, _)| !redirect::is_secret(name));
                    }
                    at = next;
                }
            }
        }
        Err(Failure::retry("the server redirects in a circle"))
    }

    fn ask(&self, method: &str, to: &Next, headers: &[(&str, &str)], content: Content<'_>) -> Result<Outcome, Failure> {
        let mut request = Request::builder().method(method).uri(&to.address);
        if to.with_login {
            request = self.auth.iter().fold(request, |request, auth| auth.add_to(request));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        match content {
            Content::Nothing if matches!(method, "POST" | "PUT" | "PATCH") => self.run(request.body(Vec::new())),
            Content::Nothing => self.run(request.body(())),
            Content::Json(value) => self.run(request.header("Content-Type", "application/json").body(value.to_string())),
            Content::Bytes { bytes, content_type } => self.run(typed(request, content_type).body(bytes)),
            Content::File { path, content_type } => self.send_file(request, [b"", b""], path, content_type),
            Content::Framed { head, path, tail, content_type } => self.send_file(request, [head, tail], path, content_type),
        }
    }

    fn send_file(&self, request: Builder, [head, tail]: [&[u8]; 2], path: &Path, content_type: &str) -> Result<Outcome, Failure> {
        // A missing file will not reappear.
        let file = fs_err::File::open(path).map_err(|error| Failure::refused(error.to_string()))?;
        let length = file.metadata().map_err(|error| Failure::refused(error.to_string()))?.len();
        // The announced length must stay correct if the file grows.
        let mut reader = head.chain(file.into_parts().0.take(length)).chain(tail);
        let length = head.len() as u64 + length + tail.len() as u64;
        let request = typed(request, content_type).header("Content-Length", length.to_string());
        self.run(request.body(SendBody::from_reader(&mut reader as &mut dyn Read)))
    }

    fn run(&self, request: Result<Request<impl AsSendBody>, ureq::http::Error>) -> Result<Outcome, Failure> {
        // An invalid address or key is retried. It needs a correction by the user, and no records should be dropped for
        // it.
        let request = request.map_err(|error| Failure::retry(error.to_string()))?;
        let mut response = self.agent.run(request).map_err(|error| Failure::retry(error.to_string()))?;
        let status = response.status().as_u16();
        if redirect::is_redirect(status) {
            return Ok(Outcome::Redirect(status, std::mem::take(response.headers_mut())));
        }
        let after = retry_after(response.headers());
        let kind = response.headers().get("content-type");
        let (has_type, is_html) = (kind.is_some(), kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html")));
        let body = response.body_mut().with_config().limit(LONGEST_ANSWER).read_to_vec();
        if (200..300).contains(&status) {
            let body = body.map_err(|error| Failure::retry(format!("the answer was cut off: {error}")))?;
            return Ok(Outcome::Answer(Answer { body, is_html, has_type }));
        }
        let body = body.unwrap_or_default();
        let reason = format!("status {status}{}", excerpt(&body));
        match status {
            ..400 | 408 | 429 | 500.. => Err(Failure::Retry { after, reason }),
            _ => {
                let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
                Err(Failure::Refused { status: Some(status), code: None, count: 1, reason }.coded(&answer))
            }
        }
    }

    fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for auth in &self.auth {
            if let Auth::Basic { user, password } = auth {
                text = Secret::new(basic(user, password)).redact(&text);
            }
            if let Some(secret) = auth.secret() {
                text = secret.redact(&Secret::new(percent(secret.expose())).redact(&text));
            }
        }
        text
    }
}

/// Rejected credentials are not the fault of the records. They are retried until a user corrects them.
fn waited_out(failure: Failure) -> Failure {
    match failure {
        Failure::Refused { status: Some(401 | 403 | 407), reason, .. } => {
            Failure::retry(format!("{reason}: is the key, token or login right?"))
        }
        other => other,
    }
}

fn basic(user: &Secret, password: &Secret) -> String {
    BASE64_STANDARD.encode(format!("{}:{}", user.expose(), password.expose()))
}

fn typed(request: Builder, content_type: &str) -> Builder {
    if content_type.is_empty() { request } else { request.header("Content-Type", content_type) }
}

fn agent(tls: TlsConfig) -> Agent {
    let config = Agent::config_builder()
        // The body of an error contains the reason, so it is read here.
        .http_status_as_error(false)
        // The client's own redirects would drop the content of a request and keep our headers. See `redirect`.
        .max_redirects(0)
        .timeout_connect(Some(CONNECT_WITHIN))
        .timeout_recv_response(Some(ANSWER_WITHIN))
        .user_agent(concat!("stormfire/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls)
        .build();
    config.into()
}

/// Escapes a string for one segment of a path or a query.
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
