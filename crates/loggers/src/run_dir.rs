//! Where the files of a run go.

mod hold;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use hold::{Hold, hold};

use crate::{Error, Result, append};

/// The experiment's name when none is given.
pub const DEFAULT_NAME: &str = "lightning_logs";

/// The folder of one run: `save_dir/name/version`.
///
/// The version is chosen at the first use: `version_N` with N one more than the largest that exists, 0 if there is none.
/// Its folder is made in the same moment, and only one process or thread can make it, so that two runs never share one.
/// Clones are handles of the same run: give them to several loggers (`in_dir`) to have their files side by side.
///
/// [`name`](Self::name) and [`version`](Self::version) are all that is needed to [`resume`](Self::resume) the run in
/// another process.
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
/// let again = RunDir::new(folder).with_name(first.name()).resume(first.version()?)?;
/// assert_eq!(again.log_dir()?, first.log_dir()?);
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
    _hold: Option<Hold>,
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
    /// If the folder exists and is not empty, a warning says so, and the files join those that are there. Another one is
    /// given if another process uses the folder, where that can be found out.
    pub fn with_version(self, version: impl Into<String>) -> Self {
        Self::build(self.inner.save_dir.clone(), self.inner.name.clone(), Some(version.into()))
    }

    /// As [`RunDir::with_version`] with `version_<number>`.
    pub fn with_version_number(self, number: u64) -> Self {
        self.with_version(format!("version_{number}"))
    }

    /// A run that is there already and goes on: its folder is used again without a warning, and no version is made.
    ///
    /// # Errors
    /// [`Error::RunGone`] if its folder does not exist, [`Error::RunInUse`] if another process uses it, where that can be
    /// found out (not on Windows and some network disks).
    pub fn resume(self, version: impl Into<String>) -> Result<Self> {
        let version = version.into();
        let run = self.with_version(version.clone());
        let log_dir = folder_of(&run.root_dir(), &version);
        if !log_dir.is_dir() {
            return Err(Error::RunGone { folder: log_dir });
        }
        let Some(hold) = hold(&log_dir) else {
            return Err(Error::RunInUse { folder: log_dir });
        };
        // Whoever was killed here has left what was to become `hparams.yaml`.
        append::clear_all_replacements(&log_dir);
        run.inner.resolved.get_or_init(|| Resolved { version, log_dir, _hold: Some(hold) });
        Ok(run)
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

fn folder_of(root: &Path, version: &str) -> PathBuf {
    if version.is_empty() { root.to_owned() } else { root.join(version) }
}

fn reuse(root: &Path, version: &str) -> Result<Resolved> {
    let log_dir = folder_of(root, version);
    fs_err::create_dir_all(&log_dir)?;
    if fs_err::read_dir(&log_dir)?.next().is_some() {
        tracing::warn!(folder = %log_dir.display(), "the log folder exists and is not empty; new files join the old ones");
    }
    let hold = hold(&log_dir);
    if hold.is_none() {
        tracing::warn!(folder = %log_dir.display(), "another process logs to this folder too; tables that both write are spoiled");
    }
    Ok(Resolved { version: version.to_owned(), log_dir, _hold: hold })
}

fn reserve(root: &Path) -> Result<Resolved> {
    fs_err::create_dir_all(root)?;
    let mut next = 0;
    loop {
        next = free_number(root)?.max(next);
        let version = format!("version_{next}");
        let log_dir = root.join(&version);
        match fs_err::create_dir(&log_dir) {
            Ok(()) => {
                let hold = hold(&log_dir);
                return Ok(Resolved { version, log_dir, _hold: hold });
            }
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
    fn a_run_is_resumed_where_it_is_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::new(folder.path()).with_name("mnist");
        let (name, version) = (run.name().to_owned(), run.version().unwrap().to_owned());
        let again = RunDir::new(folder.path()).with_name(&name).resume(&version).unwrap();
        assert_eq!((again.log_dir().unwrap(), again.version().unwrap()), (run.log_dir().unwrap(), "version_0"));
        assert_eq!(fs_err::read_dir(again.log_dir().unwrap()).unwrap().count(), 0);

        let gone = RunDir::new(folder.path()).with_name(&name).resume("version_1").unwrap_err();
        assert!(matches!(&gone, Error::RunGone { folder } if folder.ends_with("mnist/version_1")), "{gone}");
        assert!(gone.hint().is_some());
        assert!(!folder.path().join("mnist/version_1").exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_in_use_by_another_process_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let log_dir = folder.path().join("run");
        fs_err::create_dir(&log_dir).unwrap();
        let resume = || RunDir::new(folder.path()).with_name("").resume("run");
        // As in another process, since this handle is not in the registry.
        let other = std::fs::File::open(&log_dir).unwrap();
        other.try_lock().unwrap();
        let error = resume().unwrap_err();
        assert!(matches!(error, Error::RunInUse { .. }), "{error}");
        // With a version of one's own it is the user's decision.
        RunDir::new(folder.path()).with_name("").with_version("run").log_dir().unwrap();
        other.unlock().unwrap();
        let (first, second) = (resume().unwrap(), resume().unwrap());
        let is_free = || std::fs::File::open(&log_dir).unwrap().try_lock().is_ok();
        drop(first);
        assert!(!is_free());
        drop(second);
        // A child that another test starts in this moment has the handle until it is a program of its own.
        while !is_free() {
            std::thread::yield_now();
        }
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
