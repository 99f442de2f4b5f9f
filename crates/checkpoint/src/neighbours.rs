//! Finding another checkpoint beside one that turned out to be bad.

use std::{
    cmp::Reverse,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{
    Checkpoint,
    storage::{self, Entry},
    verify,
};

/// A checkpoint that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// The epochs that were complete.
    pub epoch: u64,
    /// The training batches after which an optimizer had stepped.
    pub global_step: u64,
}

/// The newest checkpoint in a folder that a run can be resumed from, except one file: the one with the highest global
/// step, of several the one written last. It is verified; those with weights only do not count.
///
/// The manifests of all `.ckpt` files are read, and then the files are verified one after the other until one is good.
pub fn newest_good(folder: impl AsRef<Path>, except: impl AsRef<Path>) -> Option<Found> {
    let except = identity(except.as_ref());
    let files = storage::list(folder.as_ref()).ok()?.into_iter().filter(Entry::is_checkpoint);
    let mut candidates: Vec<_> = files.filter(|entry| identity(&entry.path) != except).filter_map(candidate).collect();
    // A link has the step and the time of its target, and says less.
    candidates.sort_by_key(|(found, written)| Reverse((found.global_step, *written, !found.path.is_symlink())));
    candidates.into_iter().map(|(found, _)| found).find(|found| verify(&found.path).is_ok())
}

/// Equal for two names of one file.
fn identity(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.into())
}

fn candidate(entry: Entry) -> Option<(Found, SystemTime)> {
    let manifest = Checkpoint::read_manifest(&entry.path).ok()?;
    if manifest.weights_only {
        return None;
    }
    Some((Found { path: entry.path, epoch: manifest.epoch()?, global_step: manifest.global_step()? }, entry.modified?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{Manifest, samples, storage::symlink_or_copy, write};

    fn save(folder: &Path, name: &str, epoch: u64, step: u64) -> PathBuf {
        let path = folder.join(name);
        let progress = serde_json::json!({"epoch": epoch, "global_step": step});
        write(&path, &Manifest { progress, ..Manifest::default() }, &samples::small()).unwrap();
        path
    }

    fn damage(path: &Path) {
        let mut bytes = fs::read(path).unwrap();
        let last = bytes.len() - 20;
        bytes[last] ^= 1;
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn the_newest_checkpoint_that_verifies_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let paths = [(1, 10), (2, 20), (3, 30), (4, 40)].map(|(epoch, step)| save(folder, &format!("{epoch}.ckpt"), epoch, step));
        symlink_or_copy(&paths[3], folder.join("last.ckpt")).unwrap();
        fs::write(folder.join("other.ckpt"), "no checkpoint").unwrap();
        fs::write(folder.join("metrics.csv"), "step\n").unwrap();
        let found = |except: &Path| newest_good(folder, except).map(|found| (found.path, found.epoch, found.global_step));
        assert_eq!(found(Path::new("elsewhere.ckpt")), Some((paths[3].clone(), 4, 40)));
        assert_eq!(found(&paths[3]), Some((paths[2].clone(), 3, 30)), "`last.ckpt` is the same file");
        damage(&paths[2]);
        assert_eq!(found(&paths[3]), Some((paths[1].clone(), 2, 20)));
        fs::write(&paths[1], fs::read(&paths[1]).unwrap().split_off(5)).unwrap();
        assert_eq!(found(&paths[3]), Some((paths[0].clone(), 1, 10)));
        damage(&paths[0]);
        assert_eq!(found(&paths[3]), None);
        assert_eq!(newest_good(folder.join("missing"), &paths[3]), None);
    }

    #[test]
    fn a_file_with_weights_only_cannot_be_resumed_from() {
        let folder = tempfile::tempdir().unwrap();
        let good = save(folder.path(), "a.ckpt", 0, 5);
        let progress = serde_json::json!({"epoch": 9, "global_step": 99});
        let weights = Manifest { weights_only: true, progress, ..Manifest::default() };
        write(folder.path().join("b.ckpt"), &weights, &samples::small()).unwrap();
        assert_eq!(newest_good(folder.path(), "none").unwrap().path, good);
    }

    #[test]
    fn of_one_step_the_file_written_last_counts() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["b", "a", "c"].map(|name| save(folder.path(), &format!("{name}.ckpt"), 1, 10));
        for (path, seconds) in paths.iter().zip([100, 300, 200]) {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
        }
        assert_eq!(newest_good(folder.path(), "none").unwrap().path, paths[1]);
    }
}
