//! Errors of files and folders.

use std::io;
use std::path::{Path, PathBuf};

use crate::url::BadUrl;

/// The result of an operation on the file at a path.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the file at a path, on a disk or in a store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path is a URL that cannot be used.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// The file does not exist.
    #[error("there is no file `{}`", path.display())]
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// A folder, or a special file such as a pipe, is in the place of a file.
    #[error("`{}` is not a file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// Whether it is a folder.
        is_folder: bool,
    },
    /// The file or folder cannot be read.
    #[error("`{}` cannot be read", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// The error of the operating system or the store.
        source: io::Error,
    },
    /// The file cannot be written, or its folder cannot be created.
    #[error("`{}` cannot be written", path.display())]
    Write {
        /// The path.
        path: PathBuf,
        /// The size of the file in bytes.
        needed: u64,
        /// The error of the operating system or the store.
        source: io::Error,
    },
}

impl Error {
    /// An error while reading a file.
    pub(crate) fn read(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        if source.kind() == io::ErrorKind::NotFound { Self::NotFound { path } } else { Self::Read { path, source } }
    }

    /// An error while writing a file of `needed` bytes.
    pub(crate) fn write(path: impl Into<PathBuf>, needed: u64, source: io::Error) -> Self {
        Self::Write { path: path.into(), needed, source }
    }
}

/// An error of the operating system with the path of the file, like those of `fs_err`.
pub fn at(path: &Path, action: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("failed to {action} `{}`: {error}", path.display()))
}
