//! How a [`TrackioLogger`] is set up.

use std::path::PathBuf;
use std::time::Duration;

use super::{Server, TrackioLogger};
use crate::{Reduce, Secret};

impl TrackioLogger {
    /// The project, `lightning_logs` by default.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.run.project = project.into();
        self
    }

    /// The run's name. Default: `run-` and six random letters or digits.
    pub fn run(mut self, name: impl Into<String>) -> Self {
        self.run.name = name.into();
        self.is_named = true;
        self
    }

    /// A group of runs that the dashboard shows together. Default: none.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// The server's address, such as `http://127.0.0.1:7860`; one with `?write_token=…`, as `trackio show` prints it, will
    /// do, and one with `user:password@` for a proxy that asks for it. Neither is written or shown anywhere. Default: the environment variable `TRACKIO_SERVER_URL`.
    pub fn server_url(mut self, url: impl AsRef<str>) -> Self {
        self.server = Some(Server::at(url.as_ref()));
        self
    }

    /// A Hugging Face Space, such as `user/space`. Default: the environment variable `TRACKIO_SPACE_ID`.
    pub fn space(mut self, id: impl Into<String>) -> Self {
        self.server = Some(Server::Space(id.into()));
        self
    }

    /// The server's write token, or for a Space a Hugging Face token that may write to it. Default: the environment
    /// variable `TRACKIO_WRITE_TOKEN`, or `HF_TOKEN`.
    pub fn token(mut self, token: impl Into<Secret>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Puts `prefix-` before every name except `epoch`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The folder in which `.stormfire/trackio` keeps what the server does not have yet. Default: the current folder.
    pub fn save_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.save_dir = folder.into();
        self
    }

    /// Whether it is an error if the server refuses a record or is not there at the end. Default: false; then it is a
    /// warning.
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// How long the end of a run waits while nothing arrives at the server. Default: 30 s.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How many bytes may wait for the server on the disk. While as many do, what is logged is left out, and counted as refused.
    /// Default: 10 GiB.
    pub fn spool_limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// How several values of one name and step become one. Default: their mean, and for `epoch` the last.
    pub fn aggregate(mut self, name: impl Into<String>, reduce: Reduce) -> Self {
        self.rows.reductions().set(name, reduce);
        self
    }

    /// As [`aggregate`](Self::aggregate) for all names that were not named there.
    pub fn aggregate_default(mut self, reduce: Reduce) -> Self {
        self.rows.reductions().set_default(reduce);
        self
    }
}
