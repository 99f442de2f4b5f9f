//! Errors of files.

use std::io;

/// An error of a Parquet file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is not Parquet, or it is damaged.
    #[error("the file is damaged: {0}")]
    Damaged(String),
    /// The file uses a part of the format that this crate does not have.
    #[error("{what} is not supported; write the file with {instead}")]
    Unsupported {
        /// The part.
        what: String,
        /// The supported alternative.
        instead: &'static str,
    },
    /// A row does not fit.
    #[error("{0}")]
    Row(String),
    /// A value of a row is of another type.
    #[error("column `{column}`: {message}")]
    Column {
        /// The path of its column.
        column: String,
        /// The reason.
        message: String,
    },
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

pub(crate) fn damaged(reason: impl Into<String>) -> Error {
    Error::Damaged(reason.into())
}

impl serde::de::Error for Error {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Error::Row(message.to_string())
    }
}
