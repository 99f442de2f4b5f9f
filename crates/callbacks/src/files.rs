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

/// Refuses a folder that cannot be created or written to, or whose name cannot be stored in a checkpoint. A
/// `fast_dev_run` writes nothing, and checks the names alone.
pub(crate) fn check_folder(option: &str, folder: &Path, fast_dev_run: bool) -> Result<()> {
    const HINT: &str = "choose a folder that can be created and written to";
    if folder.to_str().is_none() {
        return Err(Error::config(option, format!("`{}` is not valid UTF-8", folder.display()), HINT));
    }
    let checked = if fast_dev_run { storage::check_names(&file(folder, "last")) } else { storage::check_writable(folder) };
    checked.map_err(|error| Error::config(option, error.to_string(), HINT))
}

/// Refuses a file with a name that the file system cannot store.
pub(crate) fn check_name(option: &str, folder: &Path, name: &str) -> Result<()> {
    storage::check_names(&file(folder, name)).map_err(|error| Error::config(option, error.to_string(), "choose another name"))
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

    #[test]
    fn a_name_that_no_file_can_have_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("new");
        for wrong in ["x".repeat(300), "x\0y".to_owned()] {
            for above in [folder.path(), &missing] {
                for fast_dev_run in [false, true] {
                    let error = check_folder("dirpath", &above.join(&wrong), fast_dev_run).unwrap_err().to_string();
                    assert!(error.starts_with("`dirpath`: "), "{error}");
                }
                let error = check_name("filename", above, &wrong).unwrap_err().to_string();
                assert!(error.starts_with("`filename`: "), "{error}");
            }
        }
        check_folder("dirpath", &missing.join("runs"), false).unwrap();
        check_name("filename", &missing, "a/b").unwrap();
        assert!(!missing.exists());
    }

    #[test]
    fn a_fast_dev_run_writes_nothing_into_a_folder_of_checkpoints() {
        let folder = tempfile::tempdir().unwrap();
        let changed = || folder.path().metadata().unwrap().modified().unwrap();
        let before = changed();
        check_folder("dirpath", folder.path(), true).unwrap();
        assert_eq!(changed(), before);
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        check_folder("dirpath", &file, true).unwrap_err();
        check_folder("dirpath", &file.join("runs"), true).unwrap_err();
    }
}
