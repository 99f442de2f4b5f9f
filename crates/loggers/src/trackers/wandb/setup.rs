//! How a [`WandbLogger`] is set up.

use std::path::PathBuf;
use std::time::Duration;

use super::WandbLogger;
use super::settings::Mode;
use crate::network::address::without_login;
use crate::parts::model_log::ModelLog;
use crate::{LogModel, Reduce, Secret};

impl WandbLogger {
    /// Whether to write a folder for `wandb sync` rather than to contact a server. Default: false.
    pub fn offline(mut self, offline: bool) -> Self {
        self.settings.mode = if offline { Mode::Offline } else { Mode::Online };
        self
    }

    /// The key of the account, of 40 characters or more. Default: `WANDB_API_KEY`, else that of the host in `~/.netrc`.
    pub fn api_key(mut self, key: impl Into<Secret>) -> Self {
        self.settings.api_key = Some(key.into());
        self
    }

    /// The server's address. Default: `https://api.wandb.ai`.
    pub fn base_url(mut self, url: impl AsRef<str>) -> Self {
        self.settings.base_url = without_login(url.as_ref(), "W&B");
        self
    }

    /// The project. Default: `lightning_logs`.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.settings.project = project.into();
        self
    }

    /// The user or team that owns the project. Default: that of the key.
    pub fn entity(mut self, entity: impl Into<String>) -> Self {
        self.settings.entity = Some(entity.into());
        self
    }

    /// Shows the run together with others of the same group.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.settings.group = Some(group.into());
        self
    }

    /// What the run does, such as `train`.
    pub fn job_type(mut self, job_type: impl Into<String>) -> Self {
        self.settings.job_type = Some(job_type.into());
        self
    }

    /// The run's name, for people. Default: the server makes one up.
    pub fn run_name(mut self, name: impl Into<String>) -> Self {
        self.settings.run_name = Some(name.into());
        self
    }

    /// A longer text on the run.
    pub fn notes(mut self, notes: impl Into<String>) -> Self {
        self.settings.notes = Some(notes.into());
        self
    }

    /// One more tag.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.settings.tags.push(tag.into());
        self
    }

    /// The run's id, which no other run of the project has. An online run of that id is continued. Default: 8 random
    /// characters.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.settings.id = id.into();
        self.settings.id_is_given = true;
        self
    }

    /// The folder below which files are written. Default: `WANDB_DIR`, else the current one.
    pub fn save_dir(mut self, save_dir: impl Into<PathBuf>) -> Self {
        self.settings.save_dir = save_dir.into();
        self
    }

    /// Puts `prefix-` before every name.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.settings.prefix = prefix.into();
        self
    }

    /// How the values that a metric gets in one step become one. Default: their mean; for `epoch` the last.
    pub fn aggregate(mut self, metric: impl Into<String>, reduce: Reduce) -> Self {
        self.rows.reductions().set(metric, reduce);
        self
    }

    /// As [`aggregate`](Self::aggregate), for all metrics that are not named.
    pub fn aggregate_default(mut self, reduce: Reduce) -> Self {
        self.rows.reductions().set_default(reduce);
        self
    }

    /// Which checkpoints become versions of the artifact `model-ID`. Default: none.
    pub fn log_model(mut self, which: LogModel) -> Self {
        self.models = ModelLog::new(which);
        self
    }

    /// How long what is logged waits for company before it is sent. The service limits how often a run may send. Default: 10
    /// seconds.
    pub fn send_every(mut self, interval: Duration) -> Self {
        self.settings.linger = interval;
        self
    }

    /// How many bytes may wait for the server on the disk. While as many do, what is logged is left out, and counted as refused.
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

    /// Whether what the server refuses or does not get in time is an error rather than a warning. Default: false.
    pub fn strict(mut self, strict: bool) -> Self {
        self.settings.strict = strict;
        self
    }
}
