//! The local folders that stand in for folders in a store.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

/// Folder below the current one where loggers write the files for a store.
const LOCAL: &str = ".stormfire/logs";

/// The local folder for a URL. It is the same in every process with the same current folder.
pub(super) fn local(url: &Path) -> PathBuf {
    let text = url.to_string_lossy();
    Path::new(LOCAL).join(text.replacen("://", "/", 1))
}

/// The URL of the folder in a store that a local folder mirrors, or `None`.
///
/// A run of a [`RunDir`](crate::RunDir) whose `save_dir` is a URL has a different local folder on each machine, but
/// always the same URL.
///
/// ```
/// use std::path::{Path, PathBuf};
/// let url = stormfire_loggers::remote_folder(Path::new("/home/me/.stormfire/logs/s3/bucket/runs/version_0"));
/// assert_eq!(url, Some(PathBuf::from("s3://bucket/runs/version_0")));
/// assert_eq!(stormfire_loggers::remote_folder(Path::new("/home/me/logs/version_0")), None);
/// ```
pub fn remote_folder(folder: &Path) -> Option<PathBuf> {
    let parts: Vec<&str> =
        folder.components().filter_map(|part| if let Component::Normal(part) = part { part.to_str() } else { None }).collect();
    let begin = parts.windows(2).position(|pair| pair == [".stormfire", "logs"])? + 2;
    let (scheme, rest) = parts[begin..].split_first()?;
    Some(PathBuf::from(format!("{scheme}://{}", rest.join("/"))))
}

/// Whether a file is not uploaded. Checkpoints have their own destination. A name that starts with a dot is an
/// incomplete file.
pub(super) fn is_left_out(name: &OsStr) -> bool {
    name == "checkpoints" || name.to_string_lossy().starts_with('.')
}
