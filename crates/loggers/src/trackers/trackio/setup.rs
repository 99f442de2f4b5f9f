//! The settings of a [`TrackioLogger`].

use std::path::PathBuf;

use super::{Server, TrackioLogger};
use crate::{Patience, Reduce, Secret};

impl TrackioLogger {
    /// Sets the project. Default: `lightning_logs`.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.run.project = project.into();
        self
    }

    /// Sets the name of the run. Default: `run-` and six random letters or digits.
    pub fn run(mut self, name: impl Into<String>) -> Self {
        self.run.name = name.into();
        self.is_named = true;
        self
    }

    /// Sets a group of runs that the dashboard shows together. Default: none.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Sets the address of the server, such as `http://127.0.0.1:7860`. It may contain `?write_token=…`, as printed by
    /// `trackio show`, and `user:password@` for a proxy. These secrets are neither stored nor displayed. Default: the
    /// environment variable `TRACKIO_SERVER_URL`.
    pub fn server_url(mut self, url: impl AsRef<str>) -> Self {
        self.server = Some(Server::at(url.as_ref()));
        self
    }

    /// Sets a Hugging Face Space, such as `user/space`. Default: the environment variable `TRACKIO_SPACE_ID`.
    pub fn space(mut self, id: impl Into<String>) -> Self {
        self.server = Some(Server::Space(id.into()));
        self
    }

    /// Sets the write token of the server, or for a Space a Hugging Face token with write access to it. Default: the
    /// environment variable `TRACKIO_WRITE_TOKEN`, or `HF_TOKEN` for a Space.
    pub fn token(mut self, token: impl Into<Secret>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Puts `prefix-` before every name except `epoch`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the folder for `.stormfire/trackio`, which contains the waiting records. Default: the current folder.
    pub fn save_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.save_dir = folder.into();
        self
    }

    /// Whether it is an error if the server refuses a record or is unreachable at the end. Default: false, a warning.
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Time that the end of a run waits for the server without any delivery: a [`Duration`](std::time::Duration), or a
    /// string such as `"10 s"`. Default: 30 s.
    pub fn patience(mut self, patience: impl Into<Patience>) -> Self {
        self.patience = patience.into();
        self
    }

    /// Maximum number of bytes that wait for the server on the disk. Above it, new records are dropped and counted as
    /// refused. Default: 10 GiB.
    pub fn spool_limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// Sets how several values of one name and step are reduced. Default: the mean, and the last value for `epoch`.
    pub fn aggregate(mut self, name: impl Into<String>, reduce: Reduce) -> Self {
        self.rows.reductions().set(name, reduce);
        self
    }

    /// As [`aggregate`](Self::aggregate), for all names without their own setting.
    pub fn aggregate_default(mut self, reduce: Reduce) -> Self {
        self.rows.reductions().set_default(reduce);
        self
    }
}
