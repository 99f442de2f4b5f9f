//! Redirects of a server, and the data that may follow them.

use ureq::http::HeaderMap;

use super::{Auth, Client, Content, percent};
use crate::Secret;
use crate::network::address::{origin, resolve, shown};

/// Maximum number of redirects. More count as a loop.
pub(super) const MOST: usize = 5;

/// The next address of a request, and whether the client's login is sent to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) address: String,
    pub(super) with_login: bool,
}

/// Whether a status is a redirect.
pub(super) const fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// Whether a header that the service gave for one address is a secret. Anyone who has it could use it.
pub(super) fn is_secret(header: &str) -> bool {
    let name = header.to_ascii_lowercase();
    ["auth", "cookie", "token", "secret", "key", "signature"].iter().any(|word| name.contains(word))
}

impl Client {
    /// The target of a redirect. The result is an error if the request would lose its content, or if a secret would go
    /// to another server than the one it was given for.
    pub(super) fn redirected(
        &self,
        (method, from, with_login): (&str, &str, bool),
        (status, headers): (u16, &HeaderMap),
        content: Content<'_>,
    ) -> Result<Next, String> {
        let to = headers.get("location").and_then(|to| to.to_str().ok()).and_then(|to| resolve(from, to));
        let Some(address) = to else { return Err(format!("status {status} without an address to redirect to")) };
        let place = shown(&address);
        if method != "GET" && !matches!(status, 307 | 308) {
            return Err(format!(
                "the server redirects to `{place}` with status {status}, which drops the content of a request: nothing was sent; is the \
                 address right, and the login?"
            ));
        }
        let (here, there) = (origin(from), origin(&address));
        if there.is_none() {
            return Err(format!("the server redirects to `{place}` (status {status}), which is not the address of a server"));
        }
        if here == there {
            return Ok(Next { address, with_login });
        }
        if from.starts_with("https:") && !address.starts_with("https:") {
            return Err(format!("the server redirects to `{place}`, which is not encrypted: nothing was sent there"));
        }
        // A file store that the server names needs no login, only the file.
        let needs_login = with_login && self.secrets().next().is_some() && method != "PUT";
        if needs_login || self.is_in(from, content) {
            return Err(format!(
                "the server redirects to another server, `{place}`, which does not get the key or login: if it is the right server, give its address"
            ));
        }
        Ok(Next { address, with_login: false })
    }

    /// Whether the address or the content of a request contains a secret of the client.
    fn is_in(&self, address: &str, content: Content<'_>) -> bool {
        let bytes = |bytes: &[u8], secret: &str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        self.secrets().any(|secret| {
            address.contains(secret)
                || address.contains(&percent(secret))
                || match content {
                    Content::Nothing | Content::File { .. } => false,
                    Content::Json(value) => value.to_string().contains(secret),
                    Content::Bytes { bytes: body, .. } => bytes(body, secret),
                    Content::Framed { head, tail, .. } => bytes(head, secret) || bytes(tail, secret),
                }
        })
    }

    /// The client's non-empty secrets.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.auth.iter().filter_map(Auth::secret).map(Secret::expose).filter(|secret| !secret.is_empty())
    }
}
