//! Where checkpoints go: folders, names, and which names are free.

use std::path::{Component, Path, PathBuf};

use stormfire_module::{Error, Result};

const EXTENSION: &str = "ckpt";

/// The file of a name. `Path::with_extension` would cut `val_loss=0.25` short.
pub(crate) fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.{EXTENSION}"))
}

/// A folder as an absolute path; `~` at the begin is the user's home.
pub(crate) fn folder(option: &str, path: &Path) -> Result<PathBuf> {
    match path.strip_prefix("~") {
        Ok(rest) => match std::env::home_dir() {
            Some(home) => Ok(home.join(rest)),
            None => Err(Error::config(option, format!("there is no home folder for `{}`", path.display()), "write the folder in full")),
        },
        Err(_) => Ok(std::path::absolute(path)?),
    }
}

/// Whether a file lies in a folder or below it, by its path.
pub(crate) fn is_inside(folder: &Path, path: &Path) -> bool {
    path.strip_prefix(folder).is_ok_and(|rest| rest.components().all(|part| matches!(part, Component::Normal(_))))
}

/// The path of a name; with `-v1`, `-v2`, … if it is taken.
pub(crate) fn free_file(folder: &Path, name: &str, is_free: impl Fn(&Path) -> bool) -> PathBuf {
    let path = file(folder, name);
    if is_free(&path) {
        return path;
    }
    let versions = (1_u64..).map(|version| file(folder, &format!("{name}-v{version}")));
    versions.into_iter().find(|path| is_free(path)).unwrap_or(path)
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
