//! Errors of this crate.

use std::io;
use std::path::{Path, PathBuf};

use crate::Delivery;

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error while recording.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written. The message contains its path.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The backend does not support this kind of value.
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
        /// The mismatch, with the sizes.
        reason: String,
    },
    /// Two sources give different values for one hyperparameter.
    #[error("hyperparameter `{key}` is given twice, as `{first}` and as `{second}`")]
    HyperparamConflict {
        /// The key, nested ones joined with `/`.
        key: String,
        /// The existing value.
        first: String,
        /// The value that was merged in.
        second: String,
    },
    /// Hyperparameters were created from a value without named fields.
    #[error("hyperparameters must be a struct or a map, found {found}")]
    NotAMap {
        /// The kind of value that was found.
        found: &'static str,
    },
    /// A hyperparameter cannot be represented as plain data.
    #[error("a hyperparameter cannot be serialized: {reason}")]
    Serialize {
        /// The message of serde.
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
    /// A typed handle was requested for a logger of another type.
    #[error("logger `{logger}` is not of type `{expected}`")]
    WrongLogger {
        /// The logger's name.
        logger: String,
        /// The requested type.
        expected: &'static str,
    },
    /// The folder of the run to resume does not exist.
    #[error("the log folder `{}` does not exist", folder.display())]
    RunGone {
        /// The folder.
        folder: PathBuf,
    },
    /// The name, version or folder of a run leads out of the folder of all logs.
    #[error("the {what} `{}` is outside of its folder", path.display())]
    Outside {
        /// The kind of path: name, version or folder.
        what: &'static str,
        /// The path as it was given.
        path: PathBuf,
    },
    /// The `save_dir` is a URL that cannot be used.
    #[error("`{url}` cannot be used: {reason}")]
    Url {
        /// The URL.
        url: String,
        /// Why it cannot be used.
        reason: String,
        /// How to fix it.
        hint: String,
    },
    /// Another process writes to the folder of the run to resume.
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
    #[error("logger `{logger}` did not return within {after:?} after the signal: it is abandoned, and its unwritten values are lost")]
    GivenUp {
        /// The logger's name.
        logger: String,
        /// The time limit of the call: [`Logger::longest_call`](crate::Logger::longest_call).
        after: std::time::Duration,
    },
    /// Not everything reached a tracking server, and the logger is `strict`.
    #[error("logger `{logger}`: {reason} ({delivery})")]
    Undelivered {
        /// The logger's name.
        logger: String,
        /// The delivery counts.
        delivery: Delivery,
        /// The first failure.
        reason: String,
    },
    /// A setting has a string that cannot be read.
    #[error("logger `{logger}`: `{option}`: cannot read `{text}` as a time")]
    Unreadable {
        /// The logger's name.
        logger: String,
        /// The setting.
        option: &'static str,
        /// The string.
        text: String,
        /// The valid forms.
        hint: &'static str,
    },
    /// A setting has a value that cannot be used.
    #[error("`{logger}::{option}`: {reason}")]
    Setting {
        /// The logger's type: `WandbLogger`.
        logger: &'static str,
        /// The setter.
        option: &'static str,
        /// Why the value cannot be used. Shows no secret.
        reason: String,
        /// How to fix it.
        hint: &'static str,
    },
    /// A required setting is missing.
    #[error("logger `{logger}` needs {what}")]
    Missing {
        /// The logger's name.
        logger: String,
        /// The missing setting.
        what: &'static str,
        /// How to set it.
        hint: &'static str,
    },
    /// An error from a custom logger. See [`Error::other`].
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
    /// Wraps the error of a custom logger, or a plain message.
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other(error.into())
    }

    /// How the user can fix the error. `None` for errors without a known remedy.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Io(error) => match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "free some space or log into another folder; existing logs are intact"
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
                "check the server and its address; waiting records are kept and `stormfire sync` sends them; without `strict` a training continues"
            }
            Self::Missing { hint, .. } | Self::Setting { hint, .. } | Self::Unreadable { hint, .. } => hint,
            Self::Url { hint, .. } => hint,
            Self::Outside { .. } => "give a relative path without `..`; the `save_dir` is the folder of all logs",
            Self::WrongLogger { .. } => "request the type that was given to the Trainer",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
