//! The local folders that stand in for folders in a store.
//!
//! A store cannot append to a file. So a folder whose files grow is written on a disk, and a
//! [`Mirror`](crate::mirror::Mirror) uploads it.

use std::path::{Component, Path, PathBuf};

/// The folder of all local folders, below the current one.
const LOCAL: &str = ".stormfire/logs";

/// The local folder for a URL. It is the same in every process with the same current folder.
pub fn local_folder(url: &Path) -> PathBuf {
    let text = url.to_string_lossy();
    Path::new(LOCAL).join(text.replacen("://", "/", 1))
}

/// The URL of the folder in a store that a local folder stands in for, or `None`.
///
/// The local folder differs on each machine. The URL is always the same.
///
/// ```
/// use std::path::{Path, PathBuf};
/// use stormfire_store::stand_in::remote_folder;
///
/// let url = remote_folder(Path::new("/home/me/.stormfire/logs/s3/bucket/runs/version_0"));
/// assert_eq!(url, Some(PathBuf::from("s3://bucket/runs/version_0")));
/// assert_eq!(remote_folder(Path::new("/home/me/logs/version_0")), None);
/// ```
pub fn remote_folder(folder: &Path) -> Option<PathBuf> {
    let parts: Vec<&str> =
        folder.components().filter_map(|part| if let Component::Normal(part) = part { part.to_str() } else { None }).collect();
    let begin = parts.windows(2).position(|pair| pair == [".stormfire", "logs"])? + 2;
    let (scheme, rest) = parts[begin..].split_first()?;
    Some(PathBuf::from(format!("{scheme}://{}", rest.join("/"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_folder_leads_back_to_its_url() {
        let url = Path::new("s3://bucket/a b/runs");
        let local = local_folder(url);
        assert_eq!(local, Path::new(".stormfire/logs/s3/bucket/a b/runs"));
        assert_eq!(remote_folder(&std::path::absolute(&local).unwrap()).as_deref(), Some(url));
        assert_eq!(remote_folder(Path::new(LOCAL)), None);
    }
}
