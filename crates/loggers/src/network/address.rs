//! Server addresses, separated from the secrets in them.

use std::path::Path;

use ureq::http::Uri;

use crate::value::{AddressParts, login::is_http};
use crate::{Error, Result, Secret};

/// A parsed address. Secret parts are separate: messages, notes and requests use only `text`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// The address without login, and for `http` and `https` without query and fragment.
    pub(crate) text: String,
    /// `user:password@` of the address.
    pub(crate) login: Option<(Secret, Secret)>,
    query: Secret,
}

impl Address {
    pub(crate) fn new(address: &str) -> Self {
        let parts = AddressParts::of(address.trim());
        let login = parts.login.map(|login| {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            (Secret::new(decoded(user)), Secret::new(decoded(password)))
        });
        let AddressParts { start, place, query, .. } = parts;
        let is_other = start.strip_suffix("://").is_some_and(|scheme| !is_http(scheme));
        if is_other {
            return Self { text: format!("{start}{place}{query}"), login, query: Secret::new("") };
        }
        // The `;` stays, and `check_server` refuses it.
        let end = if query.starts_with(';') { ";" } else { "" };
        let query = query.strip_prefix(['?', ';']).map_or("", |query| query.split('#').next().unwrap_or_default());
        Self { text: format!("{start}{place}{end}"), login, query: Secret::new(query) }
    }

    /// The path of a folder with any characters.
    pub(crate) fn of_folder(folder: &Path) -> Self {
        Self { text: folder.to_string_lossy().into_owned(), login: None, query: Secret::new("") }
    }

    /// Whether the address has a login or a token, which only a server takes.
    pub(crate) fn has_secret(&self) -> bool {
        self.login.is_some() || !self.query.expose().is_empty()
    }

    /// A field of the query, which may be a token.
    pub(crate) fn field(&self, name: &str) -> Option<Secret> {
        let fields = self.query.expose().split('&').filter_map(|field| field.split_once('='));
        fields.into_iter().find(|(known, _)| *known == name).map(|(_, value)| Secret::new(decoded(value)))
    }
}

/// The scheme, host and port for which a secret was given. It may be sent only there.
pub(crate) fn origin(address: &str) -> Option<(String, String, u16)> {
    let uri: Uri = address.parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let port = uri.port_u16().or(match scheme.as_str() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    })?;
    Some((scheme, uri.host()?.to_ascii_lowercase(), port))
}

/// Checks the address of a server without its secrets, as [`Address::text`] has it: `http://` or `https://`, and a
/// host. The error does not show the address: a malformed one may have secrets anywhere.
///
/// # Errors
/// [`Error::Setting`] for the option of the logger's type.
pub(crate) fn check_server(logger: &'static str, option: &'static str, address: &str) -> Result<()> {
    let is_host = |host: &str| !host.is_empty() && !host.starts_with(':') && !host.contains('@');
    let is_written = !address.contains(|letter: char| letter.is_whitespace() || letter.is_control() || r"\;".contains(letter));
    let is_server =
        address.split_once("://").is_some_and(|(scheme, rest)| is_http(scheme) && is_host(rest.split('/').next().unwrap_or_default()))
            && address.parse::<Uri>().is_ok_and(|uri| uri.host().is_some());
    if is_server && is_written {
        return Ok(());
    }
    let reason = "this is not the address of a server: `http://` or `https://`, a host, and perhaps a port and a path".to_owned();
    Err(Error::Setting { logger, option, reason, hint: "write it as `https://host` or `http://host:port/path`" })
}

/// Removes the login from the address of a service that uses a key instead.
pub(crate) fn without_login(address: &str, service: &str) -> String {
    let Address { text, login, .. } = Address::new(address);
    if login.is_some() {
        tracing::warn!("the login in the address `{text}` is not sent: {service} takes a key in its place");
    }
    text
}

/// An address for messages, without login and query.
pub(crate) fn shown(address: &str) -> String {
    Address::new(address).text
}

/// The target of a redirect from `from` with the location `to`.
pub(crate) fn resolve(from: &str, to: &str) -> Option<String> {
    let to = to.trim();
    if to.split_once("://").is_some_and(|(scheme, _)| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))) {
        return Some(to.to_owned());
    }
    let (scheme, rest) = from.split_once("://")?;
    if let Some(host) = to.strip_prefix("//") {
        return Some(format!("{scheme}://{host}"));
    }
    let (rest, _) = split_query(rest);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let folder = if to.starts_with('/') { "" } else { path.rsplit_once('/').map_or("", |(folder, _)| folder) };
    let slash = if folder.is_empty() { "" } else { "/" };
    Some(format!("{scheme}://{host}{slash}{folder}/{}", to.trim_start_matches('/')))
}

/// Decodes percent escapes.
pub(crate) fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let code = behind.get(..2).and_then(|code| std::str::from_utf8(code).ok()).and_then(|code| u8::from_str_radix(code, 16).ok());
        match code {
            Some(code) if byte == b'%' => {
                bytes.push(code);
                rest = &behind[2..];
            }
            _ => {
                bytes.push(byte);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Splits the text before the query and the query without fragment.
fn split_query(rest: &str) -> (&str, &str) {
    let rest = rest.split('#').next().unwrap_or_default();
    rest.split_once('?').unwrap_or((rest, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_and_a_query_are_taken_out_of_an_address() {
        let address = Address::new(" https://me:p%40ss@host:5000/base/?write_token=T%2B1&x=2#top ");
        assert_eq!(address.text, "https://host:5000/base/");
        assert_eq!(address.login, Some((Secret::new("me"), Secret::new("p@ss"))));
        assert_eq!((address.field("write_token"), address.field("y")), (Some(Secret::new("T+1")), None));
        let debug = format!("{address:?}");
        assert!(!debug.contains("p@ss") && !debug.contains("T+1") && !debug.contains("T%2B1"), "{debug}");
        for (given, text) in [
            ("http://host/a@b", "http://host/a@b"),
            ("http://me:p/ss@host/a", "http://host/a"),
            ("http://[::1]:80/a", "http://[::1]:80/a"),
            ("http://[::1]/a@b", "http://[::1]/a@b"),
            ("http://token@host?x", "http://host"),
            ("runs/a#b?c", "runs/a#b?c"),
            ("postgresql://u:secret@h/db", "postgresql://h/db"),
        ] {
            assert_eq!(Address::new(given).text, text);
        }
    }

    #[test]
    fn the_address_of_a_server_has_a_scheme_and_a_host() {
        let check = |text: &str| check_server("TrackioLogger", "server_url", &Address::new(text).text);
        for good in ["http://host", "HTTPS://me:PW@host:80/a/", "http://[::1]:80/?write_token=PW", "http://h/a@b"] {
            check(good).unwrap();
        }
        let bad = [
            "",
            "zzz",
            "host:80",
            "me:PW@host/?write_token=PW",
            "//me:PW@host",
            "http:/me:PW@host",
            r"http:\\me:PW@host",
            "http://",
            "http:///me:PW@host",
            "http://:80",
            "host:80?write_token=PW",
            "http://host;write_token=PW",
            "http://a b",
            "ftp://host",
        ];
        for text in bad {
            let error = check(text).unwrap_err();
            assert!(!format!("{error}{error:?}{:?}", Address::new(text)).contains("PW"), "{error:?}");
        }
        insta::assert_snapshot!(check("zzz").unwrap_err(), @"`TrackioLogger::server_url`: this is not the address of a server: `http://` or `https://`, a host, and perhaps a port and a path");
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        assert_eq!(origin("HTTP://Host/a"), origin("http://host:80"));
        assert_ne!(origin("http://host"), origin("https://host"));
        assert_ne!(origin("http://host:1"), origin("http://host:2"));
        assert_eq!(origin("no address"), None);
    }

    #[test]
    fn a_redirect_leads_where_a_browser_would_go() {
        for (to, expected) in [
            ("https://b/x?y", "https://b/x?y"),
            ("//b/x", "http://b/x"),
            ("/x?y=http://c", "http://a:1/x?y=http://c"),
            ("x", "http://a:1/p/x"),
        ] {
            assert_eq!(resolve("http://a:1/p/q?r/s", to).as_deref(), Some(expected));
        }
        assert_eq!(resolve("http://a", "x").as_deref(), Some("http://a/x"));
    }
}
