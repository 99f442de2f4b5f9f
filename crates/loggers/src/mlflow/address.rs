//! Where runs go: a server or a folder, and how the server is told who asks.

use std::path::{Path, PathBuf};

use crate::http::{Auth, percent};
use crate::{Error, Result, Secret};

/// A tracking URI, without the secret that may have been in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) text: String,
    /// `user:password@`, as it stood in the URI.
    pub(super) login: Option<(String, Secret)>,
}

/// What a tracking URI leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Server(String),
    Folder(PathBuf),
}

impl Address {
    pub(super) fn new(uri: &str) -> Self {
        let uri = uri.trim();
        let split = uri.split_once("://").and_then(|(scheme, rest)| {
            let end = rest.find('/').unwrap_or(rest.len());
            let at = rest[..end].rfind('@')?;
            Some((scheme, &rest[..at], &rest[at + 1..]))
        });
        let Some((scheme, login, rest)) = split else { return Self { text: uri.to_owned(), login: None } };
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        Self { text: format!("{scheme}://{rest}"), login: Some((decoded(user), Secret::new(decoded(password)))) }
    }

    /// # Errors
    /// [`Error::Missing`] for a store that only MLflow itself can write.
    pub(super) fn place(&self, logger: &str) -> Result<Place> {
        if let Some(folder) = local_path(&self.text) {
            return Ok(Place::Folder(folder));
        }
        if self.text.starts_with("http://") || self.text.starts_with("https://") {
            return Ok(Place::Server(self.text.trim_end_matches('/').to_owned()));
        }
        Err(Error::Missing {
            logger: logger.to_owned(),
            what: "the address of an MLflow server (`http://...`) or a folder (`file:...`) as its tracking URI",
            hint: "a database is MLflow's own: start `mlflow server --backend-store-uri sqlite:///mlflow.db` and give its address",
        })
    }
}

/// What `file:` or a plain path leads to; `None` for another scheme.
pub(super) fn local_path(uri: &str) -> Option<PathBuf> {
    if let Some(rest) = uri.strip_prefix("file:") {
        let rest = rest.strip_prefix("//localhost").or_else(|| rest.strip_prefix("//")).unwrap_or(rest);
        return Some(PathBuf::from(decoded(rest)));
    }
    if matches!(uri, "databricks" | "uc" | "databricks-uc") {
        return None;
    }
    // One letter before the colon is a drive of Windows.
    let scheme = uri
        .split_once(':')
        .filter(|(scheme, _)| scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)));
    (scheme.is_none() && !uri.is_empty()).then(|| PathBuf::from(uri))
}

/// A `file:` URI of an absolute path.
pub(super) fn file_uri(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', "/");
    let escaped = text.split('/').map(percent).collect::<Vec<_>>().join("/");
    format!("file://{}{escaped}", if escaped.starts_with('/') { "" } else { "/" })
}

/// Undoes percent escapes.
fn decoded(text: &str) -> String {
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

/// Who asks: what was given, else what the address or the environment says, as for MLflow's own client.
pub(super) fn auth(given: &Auth, address: &Address) -> Auth {
    if !matches!(given, Auth::None) {
        return given.clone();
    }
    if let Some((user, password)) = &address.login {
        return Auth::Basic { user: user.clone(), password: password.clone() };
    }
    let user = Secret::from_env("MLFLOW_TRACKING_USERNAME");
    let password = Secret::from_env("MLFLOW_TRACKING_PASSWORD");
    if let (Some(user), Some(password)) = (user, password) {
        return Auth::Basic { user: user.expose().to_owned(), password };
    }
    Secret::from_env("MLFLOW_TRACKING_TOKEN").map_or(Auth::None, Auth::Bearer)
}

/// Whether the environment asks for connections that are not verified.
pub(super) fn insecure_by_environment() -> bool {
    std::env::var("MLFLOW_TRACKING_INSECURE_TLS").is_ok_and(|value| matches!(value.trim().to_ascii_lowercase().as_str(), "true" | "1"))
}

/// The file of authorities that the environment names.
pub(super) fn authorities_by_environment() -> Option<PathBuf> {
    std::env::var_os("MLFLOW_TRACKING_SERVER_CERT_PATH").filter(|path| !path.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_in_the_address_is_taken_out_of_it() {
        let address = Address::new("https://me:p%40ss@host:5000/base/");
        assert_eq!(address.text, "https://host:5000/base/");
        assert_eq!(address.login, Some(("me".to_owned(), Secret::new("p@ss"))));
        assert!(!format!("{address:?}").contains("p@ss"));
        assert_eq!(address.place("x").unwrap(), Place::Server("https://host:5000/base".to_owned()));
        assert_eq!(Address::new("http://host/a@b").login, None);
    }

    #[test]
    fn folders_and_servers_are_told_apart() {
        for (uri, path) in [
            ("file:./mlruns", "./mlruns"),
            ("file:///a%20b/c", "/a b/c"),
            ("file://localhost/a", "/a"),
            ("runs/a:b", "runs/a:b"),
            ("/abs", "/abs"),
            ("C:\\runs", "C:\\runs"),
        ] {
            assert_eq!(Address::new(uri).place("x").unwrap(), Place::Folder(path.into()), "{uri}");
        }
        for uri in ["sqlite:///mlflow.db", "postgresql+psycopg2://u:secret@h/db", "databricks", ""] {
            let error = Address::new(uri).place("lightning_logs").unwrap_err();
            assert!(error.to_string().starts_with("logger `lightning_logs` needs the address of an MLflow server"), "{error}");
            assert!(error.hint().is_some_and(|hint| hint.contains("mlflow server")));
        }
        assert_eq!(file_uri(Path::new("/a b/c")), "file:///a%20b/c");
    }
}
