//! The settings of a [`CometLogger`].

use std::path::PathBuf;

use super::CometLogger;
use crate::network::address::without_login;
use crate::parts::model_log::ModelLog;
use crate::{LogModel, Patience, Secret};

impl CometLogger {
    /// Sets the API key of the account. Default: `COMET_API_KEY`.
    pub fn api_key(mut self, api_key: impl Into<Secret>) -> Self {
        self.api_key = Some(api_key.into());
        self
    }

    /// Whether to write an archive instead of sending. Default: true without an API key.
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = Some(offline);
        self
    }

    /// Sets the address of the server. Default: `COMET_URL_OVERRIDE`, else `https://www.comet.com/clientlib/`.
    pub fn server(mut self, address: impl AsRef<str>) -> Self {
        self.server = without_login(address.as_ref(), "Comet");
        self
    }

    /// Sets the workspace of the project. Default: `COMET_WORKSPACE`, else that of the account.
    pub fn workspace(mut self, workspace: impl Into<String>) -> Self {
        self.workspace = Some(workspace.into());
        self
    }

    /// Sets the project. Default: `COMET_PROJECT_NAME`, else `lightning_logs`.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.project = project.into();
        self
    }

    /// Continues the experiment with this key, or creates it. A key has 32 to 50 letters and digits. Default:
    /// `COMET_EXPERIMENT_KEY`, else a random key.
    pub fn experiment_key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self.own_key = true;
        self
    }

    /// Sets the displayed name. Default: Comet invents one.
    pub fn experiment_name(mut self, name: impl Into<String>) -> Self {
        self.experiment_name = Some(name.into());
        self
    }

    /// Adds a tag.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Puts `prefix_` before every metric's name except `epoch`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the folder for archives and for waiting records. Default: archives in `COMET_OFFLINE_DIRECTORY`, else in
    /// `.cometml-runs`. Waiting records are below the current folder.
    pub fn save_dir(mut self, save_dir: impl Into<PathBuf>) -> Self {
        self.save_dir = Some(save_dir.into());
        self
    }

    /// Sets which checkpoints become models of the run. Default: none.
    pub fn log_model(mut self, which: LogModel) -> Self {
        self.models = ModelLog::new(which);
        self
    }

    /// Maximum number of bytes that wait for the server on the disk. Above it, new records are dropped and counted as
    /// refused. Default: 10 GiB.
    pub fn spool_limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// Time that the end of a run waits for the server without any delivery: a [`Duration`](std::time::Duration), or a
    /// string such as `"10 s"`. Default: 30 s.
    pub fn patience(mut self, patience: impl Into<Patience>) -> Self {
        self.patience = patience.into();
        self
    }

    /// Whether an undelivered record is an error. Default: false, one warning.
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }
}
