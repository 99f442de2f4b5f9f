//! How a [`CometLogger`] is set up.

use std::path::PathBuf;
use std::time::Duration;

use super::CometLogger;
use crate::network::address::without_login;
use crate::parts::model_log::ModelLog;
use crate::{LogModel, Secret};

impl CometLogger {
    /// The key of the account. Default: `COMET_API_KEY`.
    pub fn api_key(mut self, api_key: impl Into<Secret>) -> Self {
        self.api_key = Some(api_key.into());
        self
    }

    /// Whether to make an archive rather than to send. Default: whether there is no API key.
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = Some(offline);
        self
    }

    /// The server's address. Default: `COMET_URL_OVERRIDE`, else `https://www.comet.com/clientlib/`.
    pub fn server(mut self, address: impl AsRef<str>) -> Self {
        self.server = without_login(address.as_ref(), "Comet");
        self
    }

    /// Whose project it is. Default: `COMET_WORKSPACE`, else the account's own.
    pub fn workspace(mut self, workspace: impl Into<String>) -> Self {
        self.workspace = Some(workspace.into());
        self
    }

    /// The project. Default: `COMET_PROJECT_NAME`, else `lightning_logs`.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.project = project.into();
        self
    }

    /// Goes on with the experiment of this key, or makes it: 32 to 50 letters and digits. Default: `COMET_EXPERIMENT_KEY`,
    /// else a random one.
    pub fn experiment_key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self.own_key = true;
        self
    }

    /// The name that is shown. Default: Comet invents one.
    pub fn experiment_name(mut self, name: impl Into<String>) -> Self {
        self.experiment_name = Some(name.into());
        self
    }

    /// One more tag.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Puts `prefix_` before every metric's name except `epoch`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Where archives are made, and below which what waits for the server is kept. Default: archives in
    /// `COMET_OFFLINE_DIRECTORY`, else in `.cometml-runs`; what waits below the current folder.
    pub fn save_dir(mut self, save_dir: impl Into<PathBuf>) -> Self {
        self.save_dir = Some(save_dir.into());
        self
    }

    /// Which checkpoints become models of the run. Default: none.
    pub fn log_model(mut self, which: LogModel) -> Self {
        self.models = ModelLog::new(which);
        self
    }

    /// How many bytes may wait for the server on the disk. While as many do, what is logged is left out, and counted as refused.
    /// Default: 10 GiB.
    pub fn spool_limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// At its end a run waits for a server as long as something was delivered in this time. Default: 30 s.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Whether a record that the server does not get is an error. Default: false, one warning.
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }
}
