//! What can go wrong with a file or folder.

use std::io;
use std::path::{Path, PathBuf};

use crate::url::BadUrl;

/// The result of what is done with the file at a path.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with the file at a path, on a disk or in a store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path is a URL that cannot be used.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// There is no such file.
    #[error("there is no file `{}`", path.display())]
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// A folder, or a special file such as a pipe, is in the place of a file.
    #[error("`{}` is no file", path.display())]
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
        /// What the operating system or the store said.
        source: io::Error,
    },
    /// The file cannot be written, or its folder not be made.
    #[error("`{}` cannot be written", path.display())]
    Write {
        /// The path.
        path: PathBuf,
        /// The size of the file in bytes.
        needed: u64,
        /// What the operating system or the store said.
        source: io::Error,
    },
}

impl Error {
    /// An error of a file that is read.
    pub(crate) fn read(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        if source.kind() == io::ErrorKind::NotFound { Self::NotFound { path } } else { Self::Read { path, source } }
    }

    /// An error of a file of `needed` bytes that is written.
    pub(crate) fn write(path: impl Into<PathBuf>, needed: u64, source: io::Error) -> Self {
        Self::Write { path: path.into(), needed, source }
    }
}

/// An error of the operating system that names the file, as those of `fs_err` do.
pub fn at(path: &Path, action: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("failed to {action} `{}`: {error}", path.display()))
}
