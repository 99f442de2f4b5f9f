//! Paths that contain no run.

use std::path::PathBuf;

/// A path that contains no run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// The path does not exist.
    #[error("`{}` does not exist", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The folder contains no run.
    #[error("`{}` contains no run", path.display())]
    NoRun {
        /// The folder.
        path: PathBuf,
    },
    /// The file is not a log.
    #[error("`{}` is not a log", path.display())]
    NotALog {
        /// The file.
        path: PathBuf,
    },
}

impl Unreadable {
    /// How to fix it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "name a folder with runs, such as `lightning_logs`, or start the training first",
            Self::NoRun { .. } => "a run has `metrics.csv`, `metrics.jsonl` or event files; name the `default_root_dir` of the Trainer",
            Self::NotALog { .. } => "name the folder of a run, `metrics.csv`, a `.jsonl` file or an event file",
        }
    }
}
