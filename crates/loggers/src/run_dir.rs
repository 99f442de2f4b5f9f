//! Where the files of a run go.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::Result;

/// The experiment's name when none is given.
pub const DEFAULT_NAME: &str = "lightning_logs";

/// The folder of one run: `save_dir/name/version`.
///
/// The version is chosen at the first use: `version_N` with N one more than the largest that exists, 0 if there is none.
/// Its folder is made in the same moment, and only one process or thread can make it, so that two runs never share one.
/// Clones are handles of the same run: give them to several loggers (`in_dir`) to have their files side by side.
///
/// ```
/// use stormfire_loggers::RunDir;
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let first = RunDir::new(folder);
/// assert_eq!(first.version()?, "version_0");
/// assert_eq!(first.clone().log_dir()?, folder.join("lightning_logs/version_0"));
/// assert_eq!(RunDir::new(folder).version()?, "version_1");
/// assert_eq!(RunDir::new(folder).with_name("").with_version("try").log_dir()?, folder.join("try"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct RunDir {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    save_dir: PathBuf,
    name: String,
    wanted: Option<String>,
    resolving: Mutex<()>,
    resolved: OnceLock<Resolved>,
}

#[derive(Debug)]
struct Resolved {
    version: String,
    log_dir: PathBuf,
}

impl RunDir {
    /// The next run of the experiment `lightning_logs` below `save_dir`. Nothing is made yet.
    pub fn new(save_dir: impl Into<PathBuf>) -> Self {
        Self::build(save_dir.into(), DEFAULT_NAME.to_owned(), None)
    }

    fn build(save_dir: PathBuf, name: String, wanted: Option<String>) -> Self {
        let inner = Inner { save_dir, name, wanted, resolving: Mutex::new(()), resolved: OnceLock::new() };
        Self { inner: Arc::new(inner) }
    }

    /// Another experiment's name; an empty one puts the runs directly under `save_dir`. The result is a run of its own.
    pub fn with_name(self, name: impl Into<String>) -> Self {
        Self::build(self.inner.save_dir.clone(), name.into(), self.inner.wanted.clone())
    }

    /// A version of one's own, used as the folder's name as it stands. The result is a run of its own.
    ///
    /// If the folder exists and is not empty, a warning says so, and the files join those that are there.
    pub fn with_version(self, version: impl Into<String>) -> Self {
        Self::build(self.inner.save_dir.clone(), self.inner.name.clone(), Some(version.into()))
    }

    /// As [`RunDir::with_version`] with `version_<number>`.
    pub fn with_version_number(self, number: u64) -> Self {
        self.with_version(format!("version_{number}"))
    }

    /// The folder of all experiments.
    pub fn save_dir(&self) -> &Path {
        &self.inner.save_dir
    }

    /// The experiment's name, possibly empty.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The folder of all runs of the experiment: `save_dir/name`.
    pub fn root_dir(&self) -> PathBuf {
        // Joining an empty name would leave a slash at the end.
        if self.inner.name.is_empty() { self.inner.save_dir.clone() } else { self.inner.save_dir.join(&self.inner.name) }
    }

    /// The run's version, such as `version_0`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if its folder cannot be made.
    pub fn version(&self) -> Result<&str> {
        Ok(&self.resolve()?.version)
    }

    /// The run's folder, which exists from now on.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if it cannot be made.
    pub fn log_dir(&self) -> Result<&Path> {
        Ok(&self.resolve()?.log_dir)
    }

    /// The version for a narrow place such as a progress bar: `0` for `version_0`, else the last four characters.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the run's folder cannot be made.
    pub fn short_version(&self) -> Result<&str> {
        Ok(short(self.version()?))
    }

    fn resolve(&self) -> Result<&Resolved> {
        let Inner { wanted, resolving, resolved, .. } = &*self.inner;
        let _only_one = resolving.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resolved) = resolved.get() {
            return Ok(resolved);
        }
        let root = self.root_dir();
        let made = match wanted {
            Some(version) => reuse(&root, version)?,
            None => reserve(&root)?,
        };
        Ok(resolved.get_or_init(|| made))
    }
}

/// See [`RunDir::short_version`].
pub(crate) fn short(version: &str) -> &str {
    if let Some(number) = version.strip_prefix("version_").filter(|number| is_number(number)) {
        return number;
    }
    version.char_indices().rev().nth(3).map_or(version, |(at, _)| &version[at..])
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn reuse(root: &Path, version: &str) -> Result<Resolved> {
    let log_dir = if version.is_empty() { root.to_owned() } else { root.join(version) };
    fs_err::create_dir_all(&log_dir)?;
    if fs_err::read_dir(&log_dir)?.next().is_some() {
        tracing::warn!(folder = %log_dir.display(), "the log folder exists and is not empty; new files join the old ones");
    }
    Ok(Resolved { version: version.to_owned(), log_dir })
}

fn reserve(root: &Path) -> Result<Resolved> {
    fs_err::create_dir_all(root)?;
    let mut next = 0;
    loop {
        next = free_number(root)?.max(next);
        let version = format!("version_{next}");
        let log_dir = root.join(&version);
        match fs_err::create_dir(&log_dir) {
            Ok(()) => return Ok(Resolved { version, log_dir }),
            // Another process was faster, or a file has the name.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => next += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

fn free_number(root: &Path) -> Result<u64> {
    let mut free = 0;
    for entry in fs_err::read_dir(root)? {
        let entry = entry?;
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.strip_prefix("version_"))
            .filter(|number| is_number(number))
            .and_then(|number| number.parse::<u64>().ok());
        if let Some(number) = number
            && entry.path().is_dir()
        {
            free = free.max(number.saturating_add(1));
        }
    }
    Ok(free)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_next_version_follows_the_largest_folder() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join(DEFAULT_NAME);
        for name in ["version_3", "version_x", "version_", "version_+9", "other_12"] {
            fs_err::create_dir_all(root.join(name)).unwrap();
        }
        fs_err::write(root.join("version_7"), "a file is no run").unwrap();
        fs_err::write(root.join("version_4"), "but its name is taken").unwrap();
        let run = RunDir::new(folder.path());
        assert_eq!((run.version().unwrap(), run.short_version().unwrap()), ("version_5", "5"));
        assert_eq!(run.log_dir().unwrap(), root.join("version_5"));
    }

    #[test]
    fn threads_never_share_a_version() {
        let folder = tempfile::tempdir().unwrap();
        let runs: Vec<RunDir> = (0..16).map(|_| RunDir::new(folder.path())).collect();
        let versions: BTreeSet<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = runs.iter().map(|run| scope.spawn(|| run.version().unwrap().to_owned())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(versions, (0..16).map(|number| format!("version_{number}")).collect());
    }

    #[test]
    fn clones_are_one_run_and_nothing_is_made_before_the_first_use() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::new(folder.path().join("deep/down")).with_name("mnist");
        assert!(!folder.path().join("deep").exists());
        let clone = run.clone();
        assert_eq!(run.log_dir().unwrap(), clone.log_dir().unwrap());
        assert_eq!(clone.version().unwrap(), "version_0");
    }

    #[test]
    fn a_given_version_is_used_as_it_stands() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::new(folder.path()).with_version("my-run");
        assert_eq!((run.version().unwrap(), run.short_version().unwrap()), ("my-run", "-run"));
        let again = RunDir::new(folder.path()).with_version("my-run");
        assert_eq!(again.log_dir().unwrap(), run.log_dir().unwrap());
        let numbered = RunDir::new(folder.path()).with_version_number(3);
        assert_eq!(numbered.version().unwrap(), "version_3");
        assert_eq!(RunDir::new(folder.path()).version().unwrap(), "version_4");
        assert_eq!([short("äöüß€"), short("ab"), short("version_"), short("version_12")], ["öüß€", "ab", "ion_", "12"]);
    }

    #[test]
    fn a_file_in_the_way_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs_err::write(&file, "").unwrap();
        let error = RunDir::new(&file).version().unwrap_err();
        assert!(error.to_string().contains(&file.display().to_string()), "{error}");
        assert!(error.hint().is_some());
    }
}
