//! Searches another checkpoint in place of a damaged one.

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

/// The default folder of a run's checkpoints.
const FOLDER: &str = "checkpoints";

/// A verified checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// Number of completed epochs.
    pub epoch: u64,
    /// Number of training batches after which an optimizer had stepped.
    pub global_step: u64,
}

/// The search area for other checkpoints of the same run: a folder, and the number of folder levels below it. A name
/// like `{epoch}-{val/loss}` puts each file into a separate folder below the checkpoint folder of the run.
pub fn neighbourhood(path: &Path) -> (&Path, usize) {
    let parent = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let above = parent.ancestors().enumerate().find(|(_, folder)| folder.file_name().is_some_and(|name| name == FOLDER));
    above.map_or((parent, 0), |(depth, folder)| (folder, depth))
}

/// The newest checkpoint for a resume in a folder and up to `depth` levels below it, except one file. The newest is the
/// one with the highest global step, or of several such files the one that was written last. It is verified.
/// Weights-only files do not count.
///
/// Reads the manifests of all `.ckpt` files, then verifies the files one after the other until one is valid.
pub fn newest_good(folder: impl AsRef<Path>, depth: usize, except: impl AsRef<Path>) -> Option<Found> {
    let except = storage::identity(except.as_ref());
    let files = storage::checkpoints(folder.as_ref(), depth).ok()?.into_iter();
    let mut candidates: Vec<_> = files.filter(|entry| storage::identity(&entry.path) != except).filter_map(candidate).collect();
    // A link has the step and time of its target, and a less informative name.
    candidates.sort_by_key(|(found, written)| Reverse((found.global_step, *written, !found.path.is_symlink())));
    candidates.into_iter().map(|(found, _)| found).find(|found| verify(&found.path).is_ok())
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
        let found = |except: &Path| newest_good(folder, 0, except).map(|found| (found.path, found.epoch, found.global_step));
        assert_eq!(found(Path::new("elsewhere.ckpt")), Some((paths[3].clone(), 4, 40)));
        assert_eq!(found(&paths[3]), Some((paths[2].clone(), 3, 30)), "`last.ckpt` is the same file");
        damage(&paths[2]);
        assert_eq!(found(&paths[3]), Some((paths[1].clone(), 2, 20)));
        fs::write(&paths[1], fs::read(&paths[1]).unwrap().split_off(5)).unwrap();
        assert_eq!(found(&paths[3]), Some((paths[0].clone(), 1, 10)));
        damage(&paths[0]);
        assert_eq!(found(&paths[3]), None);
        assert_eq!(newest_good(folder.join("missing"), 0, &paths[3]), None);
    }

    #[test]
    fn files_in_folders_below_are_neighbours() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = folder.path().join("version_0/checkpoints");
        let paths = [1, 2].map(|epoch| save(&checkpoints, &format!("epoch={epoch}-val/loss=0.{epoch}.ckpt"), epoch, epoch * 10));
        let (beside, depth) = neighbourhood(&paths[1]);
        assert_eq!((beside, depth), (checkpoints.as_path(), 1));
        assert_eq!(newest_good(beside, depth, &paths[1]).unwrap().path, paths[0]);
        assert_eq!(neighbourhood(&checkpoints.join("last.ckpt")), (checkpoints.as_path(), 0));
        assert_eq!(neighbourhood(Path::new("last.ckpt")), (Path::new("."), 0));
    }

    #[test]
    fn a_file_with_weights_only_cannot_be_resumed_from() {
        let folder = tempfile::tempdir().unwrap();
        let good = save(folder.path(), "a.ckpt", 0, 5);
        let progress = serde_json::json!({"epoch": 9, "global_step": 99});
        let weights = Manifest { weights_only: true, progress, ..Manifest::default() };
        write(folder.path().join("b.ckpt"), &weights, &samples::small()).unwrap();
        assert_eq!(newest_good(folder.path(), 0, "none").unwrap().path, good);
    }

    #[test]
    fn of_one_step_the_file_written_last_counts() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["b", "a", "c"].map(|name| save(folder.path(), &format!("{name}.ckpt"), 1, 10));
        for (path, seconds) in paths.iter().zip([100, 300, 200]) {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
        }
        assert_eq!(newest_good(folder.path(), 0, "none").unwrap().path, paths[1]);
    }
}
