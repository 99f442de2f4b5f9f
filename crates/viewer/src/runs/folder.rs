//! All runs below the given paths.

use std::path::{Path, PathBuf};

use super::find;
use super::run::{Keep, Run};
use super::unreadable::Unreadable;

/// Number of buckets that all curves of all runs share, if there are many runs: about 60 MB.
const BUCKETS: usize = 1 << 20;
/// Maximum number of runs.
const MOST_RUNS: usize = 500;

/// Runs in folders that are searched again and again.
#[derive(Debug)]
pub struct Runs {
    roots: Vec<PathBuf>,
    keep: Keep,
    list: Vec<Run>,
    left_out: usize,
}

impl Runs {
    /// Finds the runs in and below these paths. A path may be a run, a folder of runs, or a log file.
    ///
    /// # Errors
    /// [`Unreadable`] for a path that does not exist, and if a path contains no run.
    pub fn open(paths: &[PathBuf], keep: Keep) -> Result<Self, Unreadable> {
        let mut runs = Self { roots: Vec::new(), keep, list: Vec::new(), left_out: 0 };
        for path in paths {
            if path.is_file() {
                let run = Run::of_file(path, keep).ok_or_else(|| Unreadable::NotALog { path: path.clone() })?;
                runs.list.push(run);
            } else if path.is_dir() {
                if find::runs(path).is_empty() {
                    return Err(Unreadable::NoRun { path: path.clone() });
                }
                runs.roots.push(path.clone());
            } else {
                return Err(Unreadable::Missing { path: path.clone() });
            }
        }
        runs.refresh();
        Ok(runs)
    }

    /// Finds new runs and new files of known ones.
    pub fn refresh(&mut self) {
        let mut found = Vec::new();
        for root in &self.roots {
            found.extend(find::runs(root).into_iter().map(|folder| (name(root, &folder, self.roots.len() > 1), folder)));
        }
        self.left_out = found.len().saturating_sub(MOST_RUNS);
        // The newest runs of a folder have the highest numbers.
        let found = found.split_off(self.left_out);
        let buckets = self.keep.buckets.min(BUCKETS / found.len().max(1)).max(256);
        for (name, folder) in found {
            if !self.list.iter().any(|run| run.folder() == folder) {
                self.list.push(Run::open(&folder, name, Keep { buckets, ..self.keep }));
            }
        }
        self.list.iter_mut().for_each(Run::refresh);
    }

    /// Reads at most about `most` new bytes of each run and returns their number.
    pub fn poll(&mut self, most: usize) -> usize {
        let share = (most / self.list.len().max(1)).max(1 << 16);
        self.list.iter_mut().map(|run| run.poll(share)).sum()
    }

    /// Reads everything that the files contain now.
    pub fn read_all(&mut self) {
        self.list.iter_mut().for_each(Run::read_all);
    }

    /// The runs.
    pub fn list(&self) -> &[Run] {
        &self.list
    }

    /// Number of further runs, which are not read.
    pub fn left_out(&self) -> usize {
        self.left_out
    }
}

/// The name that loggers give to experiments without one. It says nothing.
const NO_NAME: &str = "lightning_logs";

/// The path below the root, without `lightning_logs`. The root itself has the name of its folder.
fn name(root: &Path, folder: &Path, has_several: bool) -> String {
    let below: PathBuf = folder.strip_prefix(root).unwrap_or(folder).iter().filter(|part| *part != NO_NAME).collect();
    let of_folder = |path: &Path| {
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        path.file_name().map_or_else(|| "run".to_owned(), |name| name.to_string_lossy().into_owned())
    };
    match (below.as_os_str().is_empty(), has_several) {
        (true, false) => of_folder(root),
        // Several runs are often called `version_0`.
        (true, true) => match std::fs::canonicalize(root).ok().as_deref().and_then(Path::parent) {
            Some(parent) if parent.parent().is_some() => format!("{}/{}", of_folder(parent), of_folder(root)),
            _ => of_folder(root),
        },
        (false, true) => format!("{}/{}", of_folder(root), below.display()),
        (false, false) => below.display().to_string(),
    }
}
