//! What a logger can be told before it is opened.

use std::path::PathBuf;
use std::time::Duration;

use super::MlflowLogger;
use crate::network::address::Address;
use crate::network::http::Auth;
use crate::parts::model_log::ModelLog;
use crate::{LogModel, Secret};

impl MlflowLogger {
    /// Where runs are kept; see the type for the forms. Default: the environment, else `mlruns` below the `save_dir`.
    pub fn tracking_uri(mut self, uri: impl AsRef<str>) -> Self {
        self.settings.uri = Some(Address::new(uri.as_ref()));
        self
    }

    /// The experiment, which is made if it is not there. Default: `lightning_logs`.
    pub fn experiment(mut self, name: impl Into<String>) -> Self {
        self.settings.experiment = name.into();
        self
    }

    /// Where the artifacts of the experiment go, if it is made now. Default: the server's choice.
    pub fn artifact_location(mut self, uri: impl Into<String>) -> Self {
        self.settings.artifact_location = Some(uri.into());
        self
    }

    /// The run's name. Default: the server invents one.
    pub fn run_name(mut self, name: impl Into<String>) -> Self {
        self.settings.run_name = Some(name.into());
        self
    }

    /// Logs to a run that is there already; experiment, name and tags are then those that it has.
    pub fn existing_run(mut self, run_id: impl Into<String>) -> Self {
        self.settings.existing = Some(run_id.into());
        self.ended = true;
        self
    }

    /// Shows the run below another one.
    pub fn parent_run(self, run_id: impl Into<String>) -> Self {
        self.tag("mlflow.parentRunId", run_id)
    }

    /// A tag of the run; see also [`set_tag`](Self::set_tag). The tag `mlflow.note.content` is its description.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.tags.push((key.into(), value.into()));
        self
    }

    /// Which checkpoints are artifacts, too: in a folder each, with `aliases.txt` and `metadata.yaml`. Default: none.
    pub fn log_model(mut self, which: LogModel) -> Self {
        self.models = ModelLog::new(which);
        self
    }

    /// Puts `prefix-` before every metric's name.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Says who asks, with a name and a password.
    pub fn basic_auth(mut self, user: impl Into<String>, password: impl Into<Secret>) -> Self {
        self.settings.auth = Auth::Basic { user: Secret::new(user), password: password.into() };
        self
    }

    /// Says who asks, with a token.
    pub fn bearer_token(mut self, token: impl Into<Secret>) -> Self {
        self.settings.auth = Auth::Bearer(token.into());
        self
    }

    /// Whether any certificate is good enough. Default: false, or what `MLFLOW_TRACKING_INSECURE_TLS` says.
    pub fn insecure_tls(mut self, insecure: bool) -> Self {
        self.settings.insecure = insecure;
        self
    }

    /// The authorities to trust instead of the machine's, in a PEM file. Default: what `MLFLOW_TRACKING_SERVER_CERT_PATH` says.
    pub fn server_certificate(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.authorities = Some(path.into());
        self
    }

    /// The folder below which records wait for the server, and that `mlruns` is in without one. Default: the current folder.
    pub fn save_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.settings.save_dir = folder.into();
        self
    }

    /// Whether what could not be delivered is an error. Default: false, a warning.
    pub fn strict(mut self, strict: bool) -> Self {
        self.settings.strict = strict;
        self
    }

    /// How many bytes may wait for a server on the disk. While as many do, what is logged is left out, and counted as refused.
    /// Default: 10 GiB.
    pub fn spool_limit(mut self, bytes: u64) -> Self {
        self.settings.limit = bytes;
        self
    }

    /// At its end a run waits for a server as long as something was delivered in this time. Default: 30 s.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.settings.patience = patience;
        self
    }
}
