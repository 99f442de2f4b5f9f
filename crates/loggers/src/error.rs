//! What can go wrong in this crate.

use std::io;
use std::path::{Path, PathBuf};

use crate::Delivery;

/// The result of everything fallible in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong while something is recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written; the message names it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The backend has no place for this kind of value.
    #[error("logger `{logger}` does not support {what}")]
    Unsupported {
        /// The logger's name.
        logger: String,
        /// The kind of value, in the plural.
        what: &'static str,
    },
    /// The parts of an image, a histogram or another media value do not fit together.
    #[error("invalid {what}: {reason}")]
    InvalidMedia {
        /// The kind of value, in the singular.
        what: &'static str,
        /// What does not fit, with the sizes.
        reason: String,
    },
    /// Two sources give different values for one hyperparameter.
    #[error("hyperparameter `{key}` is given twice, as `{first}` and as `{second}`")]
    HyperparamConflict {
        /// The key, nested ones joined with `/`.
        key: String,
        /// The value that was there.
        first: String,
        /// The value that was to be merged in.
        second: String,
    },
    /// Hyperparameters were made from something that has no names in it.
    #[error("hyperparameters must be a struct or a map, found {found}")]
    NotAMap {
        /// What was found instead.
        found: &'static str,
    },
    /// A hyperparameter cannot be represented as plain data.
    #[error("a hyperparameter cannot be serialized: {reason}")]
    Serialize {
        /// What serde said.
        reason: String,
    },
    /// A logger panicked on its thread.
    #[error("logger `{logger}` panicked: {message}")]
    Panicked {
        /// The logger's name.
        logger: String,
        /// The panic's message.
        message: String,
    },
    /// A typed handle was asked of a logger of another type.
    #[error("logger `{logger}` is no `{expected}`")]
    WrongLogger {
        /// The logger's name.
        logger: String,
        /// The type that was asked for.
        expected: &'static str,
    },
    /// The folder of a run that is to be continued is not there.
    #[error("the log folder `{}` does not exist", folder.display())]
    RunGone {
        /// The folder.
        folder: PathBuf,
    },
    /// A name, version or folder of a run that leads out of the folder of all logs.
    #[error("the {what} `{}` leads out of the folder that it is in", path.display())]
    Outside {
        /// What was given.
        what: &'static str,
        /// As it was given.
        path: PathBuf,
    },
    /// A `save_dir` that is a URL, and cannot be used.
    #[error("`{url}` cannot be used: {reason}")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// Another process writes to the folder of a run that is to be continued.
    #[error("the log folder `{}` is in use by another process", folder.display())]
    RunInUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The thread of a background writer has ended.
    #[error("the background writer of logger `{logger}` has stopped")]
    Stopped {
        /// The logger's name.
        logger: String,
    },
    /// After a signal, a call of the logger did not return in time.
    #[error("logger `{logger}` has been in one call for {after:?} after the signal: it is given up, and what it has not written is lost")]
    GivenUp {
        /// The logger's name.
        logger: String,
        /// How long it was waited for: [`Logger::longest_call`](crate::Logger::longest_call).
        after: std::time::Duration,
    },
    /// Not everything reached a tracking server, and the logger was asked to be strict about it.
    #[error("logger `{logger}`: {reason} ({delivery})")]
    Undelivered {
        /// The logger's name.
        logger: String,
        /// What became of the records.
        delivery: Delivery,
        /// What went wrong first.
        reason: String,
    },
    /// Something that the logger cannot do without is not set.
    #[error("logger `{logger}` needs {what}")]
    Missing {
        /// The logger's name.
        logger: String,
        /// What is missing.
        what: &'static str,
        /// How to give it.
        hint: &'static str,
    },
    /// An error of a logger's own; see [`Error::other`].
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl From<stormfire_store::Error> for Error {
    fn from(error: stormfire_store::Error) -> Self {
        use stormfire_store::Error as At;
        let at = |path: &Path, error: &io::Error| {
            io::Error::new(error.kind(), format!("`{}` cannot be read or written: {error}", path.display()))
        };
        match error {
            At::Url(stormfire_store::BadUrl { url, reason, hint }) => Self::Url { url, reason, hint },
            At::Read { path, source } | At::Write { path, source, .. } => Self::Io(at(&path, &source)),
            At::NotFound { ref path } => Self::Io(at(path, &io::ErrorKind::NotFound.into())),
            At::NotAFile { ref path, .. } => Self::Io(at(path, &io::ErrorKind::IsADirectory.into())),
        }
    }
}

impl Error {
    /// Wraps the error of one's own logger, or a plain message.
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other(error.into())
    }

    /// What the user can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Io(error) => match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "free some space or log into another folder; what was written before is intact"
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    "choose a `save_dir` (the Trainer's `default_root_dir`) that you may write to"
                }
                io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                    "a file is in the way of a log folder; move it or choose another `save_dir`"
                }
                _ => return None,
            },
            Self::Unsupported { .. } => "send this value to another logger, or ignore the error",
            Self::HyperparamConflict { .. } => "rename one of the two, or give both the same value",
            Self::NotAMap { .. } => "wrap the value in a struct with a named field",
            Self::Serialize { .. } => "map keys must be strings, numbers or unit variants",
            Self::RunGone { .. } => "put the folder back, or log into a new version",
            Self::RunInUse { .. } => "wait until the run that uses it has ended, end it, or log into a new version",
            Self::Undelivered { .. } => {
                "is the server up and the address right? What waits is kept: `stormfire sync` sends it. Without `strict` a training goes on"
            }
            Self::Missing { hint, .. } => hint,
            Self::Url { hint, .. } => hint,
            Self::Outside { .. } => "give a relative path without `..`; the `save_dir` says where all logs are",
            Self::WrongLogger { .. } => "ask with the type that was given to the Trainer",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
