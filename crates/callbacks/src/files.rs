//! The paths of checkpoints: folders, names, and free names.

use std::path::{Component, Path, PathBuf};

use stormfire_checkpoint::storage;
use stormfire_module::{Error, Result};

const EXTENSION: &str = "ckpt";

/// The folder of checkpoints inside the folder of a run.
pub(crate) const FOLDER: &str = "checkpoints";

/// The file of a name. `Path::with_extension` would truncate `val_loss=0.25`.
pub(crate) fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.{EXTENSION}"))
}

/// Returns a folder as an absolute path or a URL. A leading `~` is the user's home.
pub(crate) fn folder(option: &str, path: &Path) -> Result<PathBuf> {
    let path = match path.strip_prefix("~") {
        Ok(rest) => std::env::home_dir().map(|home| home.join(rest)).ok_or_else(|| {
            let reason = format!("there is no home folder for `{}`", path.display());
            Error::config(option, reason, "write the folder in full")
        })?,
        Err(_) => path.into(),
    };
    storage::absolute(&path).map_err(|error| Error::config(option, error.to_string(), error.hint().unwrap_or_default()))
}

/// Refuses a folder that is not writable, or whose name cannot be stored in a checkpoint.
pub(crate) fn check_writable(option: &str, folder: &Path) -> Result<()> {
    const HINT: &str = "choose a folder that can be created and written to";
    if folder.to_str().is_none() {
        return Err(Error::config(option, format!("`{}` is not valid UTF-8", folder.display()), HINT));
    }
    storage::check_writable(folder).map_err(|error| Error::config(option, error.to_string(), HINT))
}

/// Whether the path of a file is in a folder or below it.
pub(crate) fn is_inside(folder: &Path, path: &Path) -> bool {
    path.strip_prefix(folder).is_ok_and(|rest| rest.components().all(|part| matches!(part, Component::Normal(_))))
}

/// The path of a name. If it is taken, it gets `-v1`, `-v2`, ….
pub(crate) fn free_file(folder: &Path, name: &str, is_free: impl Fn(&Path) -> Result<bool>) -> Result<PathBuf> {
    let mut path = file(folder, name);
    let mut version = 0_u64;
    while !is_free(&path)? {
        version += 1;
        path = file(folder, &format!("{name}-v{version}"));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_may_begin_at_home() {
        let home = std::env::home_dir().unwrap();
        assert_eq!(folder("dirpath", Path::new("~/runs")).unwrap(), home.join("runs"));
        assert_eq!(folder("dirpath", Path::new("~")).unwrap(), home);
        assert_eq!(folder("dirpath", Path::new("~else/runs")).unwrap(), std::path::absolute("~else/runs").unwrap());
        assert_eq!(folder("dirpath", Path::new("runs")).unwrap(), std::path::absolute("runs").unwrap());
    }
}
