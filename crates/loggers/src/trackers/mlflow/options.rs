//! The settings of a logger before it is opened.

use std::path::PathBuf;

use super::MlflowLogger;
use crate::network::address::Address;
use crate::network::http::Auth;
use crate::parts::model_log::ModelLog;
use crate::{LogModel, Patience, Secret};

impl MlflowLogger {
    /// Sets the destination of runs. See the type for its forms. Default: the environment, else `mlruns` below the
    /// `save_dir`.
    pub fn tracking_uri(mut self, uri: impl AsRef<str>) -> Self {
        self.settings.uri = Some(Address::new(uri.as_ref()));
        self
    }

    /// Sets the experiment, which is created if it does not exist. Default: `lightning_logs`.
    pub fn experiment(mut self, name: impl Into<String>) -> Self {
        self.settings.experiment = name.into();
        self
    }

    /// Sets the artifact location of a new experiment. Default: chosen by the server.
    pub fn artifact_location(mut self, uri: impl Into<String>) -> Self {
        self.settings.artifact_location = Some(uri.into());
        self
    }

    /// Sets the name of the run. Default: the server invents one.
    pub fn run_name(mut self, name: impl Into<String>) -> Self {
        self.settings.run_name = Some(name.into());
        self
    }

    /// Logs to an existing run. The run keeps its experiment, name and tags.
    pub fn existing_run(mut self, run_id: impl Into<String>) -> Self {
        self.settings.existing = Some(run_id.into());
        self.ended = true;
        self
    }

    /// Shows the run as a child of another run.
    pub fn parent_run(self, run_id: impl Into<String>) -> Self {
        self.tag("mlflow.parentRunId", run_id)
    }

    /// Adds a tag to the run. See also [`set_tag`](Self::set_tag). The tag `mlflow.note.content` is the description of
    /// the run.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.tags.push((key.into(), value.into()));
        self
    }

    /// Sets which checkpoints become artifacts. Each has a folder with `aliases.txt` and `metadata.yaml`. Default:
    /// none.
    pub fn log_model(mut self, which: LogModel) -> Self {
        self.models = ModelLog::new(which);
        self
    }

    /// Puts `prefix-` before every metric's name.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Authenticates with a user name and a password.
    pub fn basic_auth(mut self, user: impl Into<String>, password: impl Into<Secret>) -> Self {
        self.settings.auth = Auth::Basic { user: Secret::new(user), password: password.into() };
        self
    }

    /// Authenticates with a token.
    pub fn bearer_token(mut self, token: impl Into<Secret>) -> Self {
        self.settings.auth = Auth::Bearer(token.into());
        self
    }

    /// Whether to accept any certificate. Default: `MLFLOW_TRACKING_INSECURE_TLS`, else false.
    pub fn insecure_tls(mut self, insecure: bool) -> Self {
        self.settings.insecure = insecure;
        self
    }

    /// Sets a PEM file with authorities, which replace those of the machine. Default:
    /// `MLFLOW_TRACKING_SERVER_CERT_PATH`.
    pub fn server_certificate(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.authorities = Some(path.into());
        self
    }

    /// Sets the folder for waiting records and for the default `mlruns`. Default: the current folder.
    pub fn save_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.settings.save_dir = folder.into();
        self
    }

    /// Whether undelivered records are an error. Default: false, a warning.
    pub fn strict(mut self, strict: bool) -> Self {
        self.settings.strict = strict;
        self
    }

    /// Maximum number of bytes that wait for a server on the disk. Above it, new records are dropped and counted as
    /// refused. Default: 10 GiB.
    pub fn spool_limit(mut self, bytes: u64) -> Self {
        self.settings.limit = bytes;
        self
    }

    /// Time that the end of a run waits for a server without any delivery: a [`Duration`](std::time::Duration), or a
    /// string such as `"10 s"`. Default: 30 s.
    pub fn patience(mut self, patience: impl Into<Patience>) -> Self {
        self.settings.patience = patience.into();
        self
    }
}
