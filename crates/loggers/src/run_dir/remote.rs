//! Where loggers write what belongs in a store.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

/// Below the current folder, where loggers write what goes to a store.
const LOCAL: &str = ".stormfire/logs";

/// The folder on a disk for what belongs behind a URL: the same one in every process that is started here.
pub(super) fn local(url: &Path) -> PathBuf {
    let text = url.to_string_lossy();
    Path::new(LOCAL).join(text.replacen("://", "/", 1))
}

/// The URL of the store's folder that a folder on a disk stands for, if it does.
///
/// A run of a [`RunDir`](crate::RunDir) whose `save_dir` is a URL lies in another folder on each machine, but always stands
/// for the same URL.
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

/// Checkpoints go where they are told to, and a name that begins with a dot is of a file that is not whole yet.
pub(super) fn is_left_out(name: &OsStr) -> bool {
    name == "checkpoints" || name.to_string_lossy().starts_with('.')
}
