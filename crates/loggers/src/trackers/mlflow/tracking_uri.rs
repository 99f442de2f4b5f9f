//! The destination of runs, a server or a folder, and the authentication.

use std::path::{Path, PathBuf};

use crate::network::address::{Address, check_server, decoded};
use crate::network::http::{Auth, percent};
use crate::value::login::is_http;
use crate::{Error, Result, Secret};

/// The destination of a tracking URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Server(String),
    Folder(PathBuf),
}

impl Place {
    /// # Errors
    /// [`Error::Setting`] for a store that only MLflow itself can write, and for an address that has a login or a token
    /// without being that of a server.
    pub(super) fn of(address: &Address) -> Result<Self> {
        let (text, option) = (&address.text, "tracking_uri");
        let refused = |reason: &str, hint| Error::Setting { logger: "MlflowLogger", option, reason: reason.to_owned(), hint };
        // Also with wrong slashes, which `check_server` refuses.
        if text.split_once(':').is_some_and(|(scheme, _)| is_http(scheme)) {
            check_server("MlflowLogger", option, text)?;
            return Ok(Self::Server(text.trim_end_matches('/').to_owned()));
        }
        match local_path(text) {
            Some(_) if address.has_secret() => Err(refused(
                "this has a login or a token, but is not the address of a server",
                "write a server as `https://user:password@host`, and a folder whose name has an `@` or `?` as `./folder`",
            )),
            Some(folder) => Ok(Self::Folder(folder)),
            None => Err(refused(
                "this is not the address of an MLflow server (`http://...`) or a folder (`file:...`)",
                "a database is MLflow's own: start `mlflow server --backend-store-uri sqlite:///mlflow.db` and give its address",
            )),
        }
    }
}

/// The path of a `file:` URI or a plain path. `None` for another scheme.
pub(super) fn local_path(uri: &str) -> Option<PathBuf> {
    if let Some(rest) = uri.strip_prefix("file:") {
        let rest = rest.strip_prefix("//localhost").or_else(|| rest.strip_prefix("//")).unwrap_or(rest);
        return Some(PathBuf::from(decoded(rest)));
    }
    if matches!(uri, "databricks" | "uc" | "databricks-uc") {
        return None;
    }
    // A single letter before the colon is a Windows drive.
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

/// The authentication: the given one, else that of the address or the environment, as in MLflow's own client.
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
        return Auth::Basic { user, password };
    }
    Secret::from_env("MLFLOW_TRACKING_TOKEN").map_or(Auth::None, Auth::Bearer)
}

/// Whether the environment disables the verification of certificates.
pub(super) fn insecure_by_environment() -> bool {
    std::env::var("MLFLOW_TRACKING_INSECURE_TLS").is_ok_and(|value| matches!(value.trim().to_ascii_lowercase().as_str(), "true" | "1"))
}

/// The file of authorities in the environment.
pub(super) fn authorities_by_environment() -> Option<PathBuf> {
    std::env::var_os("MLFLOW_TRACKING_SERVER_CERT_PATH").filter(|path| !path.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_servers_are_distinguished() {
        for (uri, path) in [
            ("file:./mlruns", "./mlruns"),
            ("file:///a%20b/c", "/a b/c"),
            ("file://localhost/a", "/a"),
            ("runs/a:b", "runs/a:b"),
            ("/abs", "/abs"),
            ("C:\\runs", "C:\\runs"),
            ("/home/me@site/runs", "/home/me@site/runs"),
        ] {
            assert_eq!(Place::of(&Address::new(uri)).unwrap(), Place::Folder(path.into()), "{uri}");
        }
        let errors = ["sqlite:///mlflow.db", "postgresql+psycopg2://u:secret@h/db", "databricks", ""].map(|uri| {
            let error = Place::of(&Address::new(uri)).unwrap_err();
            format!("{error}\n  hint: {}", error.hint().unwrap())
        });
        insta::assert_snapshot!(errors.join("\n"), @r"
        `MlflowLogger::tracking_uri`: this is not the address of an MLflow server (`http://...`) or a folder (`file:...`)
          hint: a database is MLflow's own: start `mlflow server --backend-store-uri sqlite:///mlflow.db` and give its address
        `MlflowLogger::tracking_uri`: this is not the address of an MLflow server (`http://...`) or a folder (`file:...`)
          hint: a database is MLflow's own: start `mlflow server --backend-store-uri sqlite:///mlflow.db` and give its address
        `MlflowLogger::tracking_uri`: this is not the address of an MLflow server (`http://...`) or a folder (`file:...`)
          hint: a database is MLflow's own: start `mlflow server --backend-store-uri sqlite:///mlflow.db` and give its address
        `MlflowLogger::tracking_uri`: this is not the address of an MLflow server (`http://...`) or a folder (`file:...`)
          hint: a database is MLflow's own: start `mlflow server --backend-store-uri sqlite:///mlflow.db` and give its address
        ");
        for uri in ["u:PW@h", "//u:PW@h", r"http:\\u:PW@h", "h:80?write_token=PW", "PW@h", "file:u:PW@h", "http://h;token=PW"] {
            let error = Place::of(&Address::new(uri)).unwrap_err();
            assert!(!format!("{error}{error:?}").contains("PW"), "{error:?}");
        }
        assert_eq!(file_uri(Path::new("/a b/c")), "file:///a%20b/c");
    }
}
