//! The settings of a [`WandbLogger`].

use std::path::PathBuf;
use std::time::Duration;

use super::WandbLogger;
use super::settings::Mode;
use crate::network::address::without_login;
use crate::parts::model_log::ModelLog;
use crate::{LogModel, Patience, Reduce, Secret};

impl WandbLogger {
    /// Whether to write a folder for `wandb sync` instead of contacting a server. Default: false.
    pub fn offline(mut self, offline: bool) -> Self {
        self.settings.mode = if offline { Mode::Offline } else { Mode::Online };
        self
    }

    /// Sets the key of the account, of 40 characters or more. Default: `WANDB_API_KEY`, else that of the host in
    /// `~/.netrc`.
    pub fn api_key(mut self, key: impl Into<Secret>) -> Self {
        self.settings.api_key = Some(key.into());
        self
    }

    /// Sets the address of the server. Default: `https://api.wandb.ai`.
    pub fn base_url(mut self, url: impl AsRef<str>) -> Self {
        self.settings.base_url = without_login(url.as_ref(), "W&B");
        self
    }

    /// Sets the project. Default: `lightning_logs`.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.settings.project = project.into();
        self
    }

    /// Sets the user or team that owns the project. Default: that of the key.
    pub fn entity(mut self, entity: impl Into<String>) -> Self {
        self.settings.entity = Some(entity.into());
        self
    }

    /// Shows the run together with others of the same group.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.settings.group = Some(group.into());
        self
    }

    /// Sets the type of the run, such as `train`.
    pub fn job_type(mut self, job_type: impl Into<String>) -> Self {
        self.settings.job_type = Some(job_type.into());
        self
    }

    /// Sets the displayed name of the run. Default: the server invents one.
    pub fn run_name(mut self, name: impl Into<String>) -> Self {
        self.settings.run_name = Some(name.into());
        self
    }

    /// Sets a longer description of the run.
    pub fn notes(mut self, notes: impl Into<String>) -> Self {
        self.settings.notes = Some(notes.into());
        self
    }

    /// Adds a tag.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.settings.tags.push(tag.into());
        self
    }

    /// Sets the id of the run, unique in the project. An existing online run with that id is continued. Default: 8
    /// random characters.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.settings.id = id.into();
        self.settings.id_is_given = true;
        self
    }

    /// Sets the folder for all files. Default: `WANDB_DIR`, else the current folder.
    pub fn save_dir(mut self, save_dir: impl Into<PathBuf>) -> Self {
        self.settings.save_dir = save_dir.into();
        self
    }

    /// Puts `prefix-` before every name.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.settings.prefix = prefix.into();
        self
    }

    /// Sets how several values of one metric and step are reduced. Default: the mean, and the last value for `epoch`.
    pub fn aggregate(mut self, metric: impl Into<String>, reduce: Reduce) -> Self {
        self.rows.reductions().set(metric, reduce);
        self
    }

    /// As [`aggregate`](Self::aggregate), for all metrics without their own setting.
    pub fn aggregate_default(mut self, reduce: Reduce) -> Self {
        self.rows.reductions().set_default(reduce);
        self
    }

    /// Sets which checkpoints become versions of the artifact `model-ID`. Default: none.
    pub fn log_model(mut self, which: LogModel) -> Self {
        self.models = ModelLog::new(which);
        self
    }

    /// Time that records wait for further ones before they are sent. The service limits the request rate of a run.
    /// Default: 10 s.
    pub fn send_every(mut self, interval: Duration) -> Self {
        self.settings.linger = interval;
        self
    }

    /// Maximum number of bytes that wait for the server on the disk. Above it, new records are dropped and counted as
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

    /// Whether refused and undelivered records are an error. Default: false, a warning.
    pub fn strict(mut self, strict: bool) -> Self {
        self.settings.strict = strict;
        self
    }
}
