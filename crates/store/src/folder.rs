//! Folders on a disk.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The folder of a file. It is `.` for a bare file name.
pub fn of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The absolute path of a folder. An empty path means the current directory.
///
/// # Errors
/// Fails if the current directory no longer exists.
pub fn absolute(folder: &Path) -> io::Result<PathBuf> {
    std::path::absolute(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
}

/// A path as a user writes it in the current folder: relative if it is below that folder.
pub fn from_here(path: &Path) -> &Path {
    let path = path.strip_prefix(".").ok().filter(|rest| !rest.as_os_str().is_empty()).unwrap_or(path);
    let below = std::env::current_dir().ok().and_then(|here| path.strip_prefix(here).ok());
    below.filter(|below| !below.as_os_str().is_empty()).unwrap_or(path)
}

/// Recreates a folder that was removed during the run. Logs a warning once per folder.
pub fn recreate(folder: &Path) -> io::Result<()> {
    static SAID: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    std::fs::create_dir_all(folder)?;
    if SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned()) {
        tracing::warn!(
            "`{}` or files in it were removed during the run: the loggers write their open files again, the rest is lost",
            folder.display()
        );
    }
    Ok(())
}

/// The folders of a path that do not exist, from the inside.
pub fn missing(folder: &Path) -> Vec<PathBuf> {
    folder.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).map(Path::to_owned).collect()
}

/// Removes these folders, from the inside, up to the first one that is not empty. One that does not exist, or cannot
/// exist because of its name, is passed over.
pub fn remove_empty<'a>(folders: impl IntoIterator<Item = &'a PathBuf>) {
    for folder in folders {
        // This fails for a folder that is not empty.
        if std::fs::remove_dir(folder).is_err() && folder.exists() {
            break;
        }
    }
}

/// Creates a folder and its parents. All of them are durable afterwards.
pub(crate) fn create(folder: &Path) -> io::Result<()> {
    let missing = missing(folder);
    std::fs::create_dir_all(folder)
        .map_err(|error| io::Error::new(error.kind(), format!("failed to create directory `{}`: {error}", folder.display())))?;
    missing.iter().try_for_each(|created| sync(of(created)))
}

/// Makes new names in a folder durable.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    match std::fs::File::open(folder)?.sync_all() {
        // Some network file systems do not support it.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {}
        synced => synced?,
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_folders_are_removed_with_the_names_that_no_disk_accepts() {
        let root = tempfile::tempdir().unwrap();
        let kept = root.path().join("kept");
        std::fs::create_dir(&kept).unwrap();
        let folder = kept.join("new/deep").join("n".repeat(300)).join("x");
        let created = missing(&folder);
        assert_eq!(created.len(), 4);
        std::fs::create_dir_all(&folder).unwrap_err();
        assert!(kept.join("new/deep").is_dir());
        remove_empty(&created);
        assert!(kept.is_dir() && !kept.join("new").exists());
    }

    #[test]
    fn a_path_below_the_current_folder_is_relative() {
        let here = std::env::current_dir().unwrap();
        for (path, shown) in [
            (here.join("runs/a"), PathBuf::from("runs/a")),
            ("./runs".into(), "runs".into()),
            ("runs".into(), "runs".into()),
            (".".into(), ".".into()),
            (here.clone(), here.clone()),
            (here.with_file_name("other"), here.with_file_name("other")),
            ("s3://bucket/runs".into(), "s3://bucket/runs".into()),
        ] {
            assert_eq!(from_here(&path), shown, "{}", path.display());
        }
    }
}
