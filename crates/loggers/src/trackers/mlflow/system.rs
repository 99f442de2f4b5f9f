//! The tags that MLflow's own client adds to every run.

use std::path::Path;

use crate::parts::identity;

/// User, program and commit.
pub(super) fn tags() -> Vec<(String, String)> {
    let program = std::env::args_os().next().unwrap_or_default();
    let program = Path::new(&program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let commit = std::env::current_dir().ok().and_then(|folder| commit(&folder));
    [
        ("mlflow.user", Some(identity::user())),
        ("mlflow.source.name", Some(program)),
        ("mlflow.source.type", Some("LOCAL".to_owned())),
        ("mlflow.source.git.commit", commit),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), value.filter(|value| !value.is_empty())?)))
    .collect()
}

/// The commit that is checked out in the repository of a folder.
fn commit(folder: &Path) -> Option<String> {
    let mut git = folder.ancestors().map(|folder| folder.join(".git")).find(|git| git.exists())?;
    if git.is_file() {
        // A linked work tree.
        let text = fs_err::read_to_string(&git).ok()?;
        git = git.parent()?.join(text.strip_prefix("gitdir:")?.trim());
    }
    let head = fs_err::read_to_string(git.join("HEAD")).ok()?;
    let Some(branch) = head.strip_prefix("ref:").map(str::trim) else { return Some(head.trim().to_owned()) };
    let common = fs_err::read_to_string(git.join("commondir")).map_or_else(|_| git.clone(), |common| git.join(common.trim()));
    let loose = || fs_err::read_to_string(common.join(branch)).ok().map(|text| text.trim().to_owned());
    let packed = || {
        let text = fs_err::read_to_string(common.join("packed-refs")).ok()?;
        text.lines().find_map(|line| line.strip_suffix(branch).map(|commit| commit.trim().to_owned()))
    };
    loose().or_else(packed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commit_is_found_from_below_in_every_form() {
        let folder = tempfile::tempdir().unwrap();
        let (git, below) = (folder.path().join(".git"), folder.path().join("a/b"));
        fs_err::create_dir_all(git.join("refs/heads")).unwrap();
        fs_err::create_dir_all(&below).unwrap();
        fs_err::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        assert_eq!(commit(&below), None);
        fs_err::write(git.join("packed-refs"), "# pack\n0123abc refs/heads/main\n").unwrap();
        assert_eq!(commit(&below).as_deref(), Some("0123abc"));
        fs_err::write(git.join("refs/heads/main"), "4567def\n").unwrap();
        assert_eq!(commit(&below).as_deref(), Some("4567def"));
        fs_err::write(git.join("HEAD"), "89ab\n").unwrap();
        assert_eq!(commit(&below).as_deref(), Some("89ab"));
    }
}
