//! What can be wrong with a checkpoint file.

use std::{io, path::PathBuf};

use crate::{FORMAT_VERSION, file_kind::FileKind, text::size};

/// The result of everything fallible in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong while a checkpoint is written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such file.
    #[error("there is no checkpoint `{}`", path.display())]
    NotFound {
        /// The file.
        path: PathBuf,
    },
    /// The file has no bytes at all.
    #[error("`{}` is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file is no safetensors file.
    #[error("`{}` is not a checkpoint: it is {kind}", path.display())]
    NotACheckpoint {
        /// The file.
        path: PathBuf,
        /// What it seems to be.
        kind: FileKind,
    },
    /// A safetensors file that something else wrote: it has no manifest.
    #[error("`{}` holds tensors only: it was not written by Stormfire", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The end of the file is missing.
    #[error("`{}` is cut off: it has {found} bytes and needs at least {expected}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that are there.
        found: u64,
        /// Bytes that the part which is there calls for.
        expected: u64,
    },
    /// The bytes are not the ones that were written.
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
        /// What does not fit.
        reason: String,
    },
    /// The file has a format that this version does not read.
    #[error("`{}` has the format version {found}, and this Stormfire reads version {FORMAT_VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: u32,
    },
    /// A tensor that is to be written has elements which the format has no name for.
    #[error("`{tensor}` has the dtype `{dtype}`, which a checkpoint cannot hold")]
    UnsupportedDtype {
        /// The tensor's name.
        tensor: String,
        /// burn's name of its dtype.
        dtype: String,
    },
    /// What is to be written does not make a checkpoint: two tensors of one name, a reserved name, too large a manifest.
    #[error("this is no checkpoint that can be written: {reason}")]
    Unwritable {
        /// What is wrong.
        reason: String,
    },
    /// The disk, or the user's share of it, is full.
    #[error("no space is left for `{}`, which needs {}", path.display(), size(*needed))]
    StorageFull {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        needed: u64,
        /// What the operating system said.
        source: io::Error,
    },
    /// A URL that cannot be used: an unknown scheme, no bucket, or a store that this program cannot reach.
    #[error("`{url}` cannot be used: {reason}")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// The operating system or the store does not allow it.
    #[error("`{}` may not be read or written: {source}", path.display())]
    Permission {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file could not be read or written for another reason.
    #[error("`{}` cannot be read or written: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
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

impl Error {
    /// What is wrong with a file that is named elsewhere: the message without its path.
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

    /// What the user can do about it, where that is known.
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
            Self::Unwritable { .. } => "see `docs/checkpoints.md` for what a checkpoint holds",
            Self::StorageFull { .. } => "free some space or save into another folder; checkpoints that were there before are intact",
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

    /// An error of the operating system, by what a user can do about it.
    pub(crate) fn io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Permission { path, source },
            _ => Self::Io { path, source },
        }
    }

    /// The same for a file of `needed` bytes that is written.
    pub(crate) fn while_writing(path: impl Into<PathBuf>, needed: u64, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::StorageFull { path, needed, source }
            }
            // A folder that cannot be made is not a checkpoint that is missing.
            io::ErrorKind::NotFound => Self::Io { path, source },
            _ => Self::io(path, source),
        }
    }
}
