//! Files and folders that only their owner can read, for example records that wait to be sent to a server.

use std::io::{self, Write as _};
use std::path::Path;

use crate::error::at;

/// Creates a private folder, or makes an existing one private. Its parents get the normal permissions.
pub fn folder(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs_err::create_dir_all(parent)?;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
        match std::fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
                // A folder of another owner stays as it is.
                let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700));
                Ok(())
            }
            other => other.map_err(|error| at(path, "create", &error)),
        }
    }
    #[cfg(not(unix))]
    fs_err::create_dir_all(path)
}

/// The options that create a private file.
pub fn options() -> fs_err::OpenOptions {
    let mut options = fs_err::OpenOptions::new();
    #[cfg(unix)]
    fs_err::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Creates a private file, or replaces the content of an existing one.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    options().create(true).write(true).truncate(true).open(path)?.write_all(bytes)
}
