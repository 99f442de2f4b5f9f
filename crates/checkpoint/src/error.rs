//! Errors of checkpoint files.

use std::{io, path::PathBuf};

use crate::{FORMAT_VERSION, file_kind::FileKind, text::size};

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error while a checkpoint is written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file does not exist.
    #[error("there is no checkpoint `{}`", path.display())]
    NotFound {
        /// The file.
        path: PathBuf,
    },
    /// The file is empty.
    #[error("`{}` is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a safetensors file.
    #[error("`{}` is not a checkpoint: it is {kind}", path.display())]
    NotACheckpoint {
        /// The file.
        path: PathBuf,
        /// The probable kind of the file.
        kind: FileKind,
    },
    /// A safetensors file without a manifest, written by another program.
    #[error("`{}` contains only tensors: it was not written by Stormfire", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The end of the file is missing.
    #[error("`{}` is cut off: it has {found} bytes and needs at least {expected}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Size of the file in bytes.
        found: u64,
        /// Minimum size according to the existing part, in bytes.
        expected: u64,
    },
    /// The bytes differ from those that were written.
    #[error("`{}` has a wrong checksum: the file was damaged after it was written", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
    },
    /// The header contradicts itself, the format, or the size of the file.
    #[error("`{}` is damaged: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The inconsistency.
        reason: String,
    },
    /// The file has an unsupported format version.
    #[error("`{}` has the format version {found}, and this Stormfire reads version {FORMAT_VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: u32,
    },
    /// A tensor to be written has a dtype without a name in the format.
    #[error("`{tensor}` has the dtype `{dtype}`, which a checkpoint cannot contain")]
    UnsupportedDtype {
        /// The tensor's name.
        tensor: String,
        /// burn's name of its dtype.
        dtype: String,
    },
    /// The input cannot be written as a checkpoint: two tensors with one name, a reserved name, or a manifest that is
    /// too large.
    #[error("the checkpoint cannot be written: {reason}")]
    Unwritable {
        /// Why it cannot be written.
        reason: String,
    },
    /// The disk or the user's quota is full, or the file is larger than a limit allows.
    #[error("{} `{}`, which needs {}", lack(source), path.display(), size(*needed))]
    StorageFull {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        needed: u64,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The URL cannot be used: an unknown scheme, no bucket, or a store that this program cannot reach.
    #[error("`{url}` cannot be used: {reason}")]
    Url {
        /// The URL.
        url: String,
        /// Why it cannot be used.
        reason: String,
        /// How to fix it.
        hint: String,
    },
    /// The operating system or the store denies access.
    #[error("no permission to read or write `{}`: {error}", path.display())]
    Permission {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The file could not be read or written for another reason.
    #[error("`{}` cannot be read or written: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
}

impl From<stormfire_store::Error> for Error {
    fn from(error: stormfire_store::Error) -> Self {
        use stormfire_store::{BadUrl, Error as At};
        match error {
            At::Url(BadUrl { url, reason, hint }) => Self::Url { url, reason, hint },
            At::NotFound { path } => Self::NotFound { path },
            At::NotAFile { path, is_folder } => {
                Self::NotACheckpoint { path, kind: if is_folder { FileKind::Folder } else { FileKind::Special } }
            }
            At::Read { path, source } => Self::io(path, source),
            At::Write { path, needed, source } => Self::while_writing(path, needed, source),
        }
    }
}

fn lack(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::FileTooLarge { "a limit on the size of files refuses" } else { "no space is left for" }
}

impl Error {
    /// The message without the path, for a caller that names the file itself.
    pub fn reason(&self) -> String {
        let text = self.to_string();
        match self {
            Self::NotFound { .. } => "there is no such file".to_owned(),
            Self::Empty { path }
            | Self::NotACheckpoint { path, .. }
            | Self::Foreign { path }
            | Self::Truncated { path, .. }
            | Self::Checksum { path }
            | Self::Malformed { path, .. }
            | Self::Version { path, .. }
            | Self::Permission { path, .. }
            | Self::Io { path, .. } => {
                text.strip_prefix(&format!("`{}` ", path.display())).map(|rest| format!("it {rest}")).unwrap_or(text)
            }
            _ => text,
        }
    }

    /// How the user can fix the error. `None` for errors without a known remedy.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotFound { .. } => "check the path; a relative one starts at the current folder",
            Self::NotACheckpoint { kind, .. } => kind.hint(),
            Self::Foreign { .. } => "load its weights into a module with `load_weights`; there is no run in it to resume",
            Self::Empty { .. } | Self::Truncated { .. } | Self::Checksum { .. } | Self::Malformed { .. } => {
                "use an older checkpoint, or copy the file again if it was copied here"
            }
            Self::Version { found, .. } if *found > FORMAT_VERSION => "update Stormfire to the version that wrote it",
            Self::Version { .. } => "read it with the version of Stormfire that wrote it",
            Self::UnsupportedDtype { .. } => "dequantize the module before it is saved",
            Self::Unwritable { .. } => "see `docs/checkpoints.md` for the contents of a checkpoint",
            Self::StorageFull { source, .. } if source.kind() == io::ErrorKind::FileTooLarge => {
                "raise the limit (`ulimit -f`), or save to another disk; existing checkpoints are intact"
            }
            Self::StorageFull { .. } => "free some space or save into another folder; existing checkpoints are intact",
            Self::Url { hint, .. } => hint,
            Self::Permission { path, .. } if stormfire_store::is_url(path) => {
                "check the credentials in the environment and what they allow; `docs/remote-folders.md` names the variables"
            }
            Self::Io { path, .. } if stormfire_store::is_url(path) => {
                "check the bucket, the network and the environment; `docs/remote-folders.md` names the variables"
            }
            Self::Permission { .. } => "check the owner of the file and its folder, or save into another folder",
            Self::Io { .. } => "check the disk and the folder, or save into another folder",
        };
        Some(hint.to_owned())
    }

    /// An error of the operating system, classified by its remedy.
    pub(crate) fn io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Permission { path, error: source },
            _ => Self::Io { path, error: source },
        }
    }

    /// As [`Error::io`], for writing a file of `needed` bytes.
    pub(crate) fn while_writing(path: impl Into<PathBuf>, needed: u64, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::StorageFull { path, needed, source }
            }
            // A missing folder is not a missing checkpoint.
            io::ErrorKind::NotFound => Self::Io { path, error: source },
            _ => Self::io(path, source),
        }
    }
}
