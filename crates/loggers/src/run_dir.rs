//! Where the files of a run go.

mod mirror;
mod remote;
#[cfg(test)]
#[cfg(all(feature = "remote", feature = "csv", feature = "tensorboard"))]
mod remote_tests;

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use mirror::Mirror;
pub use remote::remote_folder;

use crate::hold::{Hold, hold};
use crate::logger::LONGEST_CALL;
use crate::names::inside;
use crate::{Error, Result, append};

/// See [`RunDir::upload_every`].
const UPLOAD_EVERY: Duration = Duration::from_secs(30);

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
/// `save_dir` may be the URL of a folder in a store (`s3://bucket/folder`, `gs://`, `az://`; cargo feature `remote`) or of one
/// on a disk (`file:///folder`). Loggers then write below `.stormfire/logs` in the current folder, and what has changed there
/// is sent to the store now and then ([`upload_every`](Self::upload_every)) and at the end of each run. A run that is resumed
/// on another machine is first brought back from the store. Only the processes of one machine never choose the same version.
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
    /// The store's folder that `save_dir` stands for.
    url: Option<PathBuf>,
    upload_every: Duration,
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
    mirror: Option<Mirror>,
}

impl RunDir {
    /// The next run of the experiment `lightning_logs` below `save_dir`. Nothing is made yet.
    pub fn new(save_dir: impl Into<PathBuf>) -> Self {
        let save_dir = save_dir.into();
        let on_disk = stormfire_store::on_disk(&save_dir).map(Path::to_owned);
        let local = on_disk.clone().unwrap_or_else(|| remote::local(&save_dir));
        let url = if on_disk.is_some() { None } else { Some(save_dir) };
        Self::build(local, url, UPLOAD_EVERY, DEFAULT_NAME.to_owned(), None)
    }

    fn build(save_dir: PathBuf, url: Option<PathBuf>, upload_every: Duration, name: String, wanted: Option<String>) -> Self {
        let inner = Inner { save_dir, url, upload_every, name, wanted, resolving: Mutex::new(()), resolved: OnceLock::new() };
        Self { inner: Arc::new(inner) }
    }

    /// The same settings but for these.
    fn with(&self, name: String, wanted: Option<String>) -> Self {
        let Inner { save_dir, url, upload_every, .. } = &*self.inner;
        Self::build(save_dir.clone(), url.clone(), *upload_every, name, wanted)
    }

    /// Another experiment's name; an empty one puts the runs directly under `save_dir`. The result is a run of its own.
    pub fn with_name(self, name: impl Into<String>) -> Self {
        self.with(name.into(), self.inner.wanted.clone())
    }

    /// A version of one's own, used as the folder's name as it stands. The result is a run of its own.
    ///
    /// If the folder exists and is not empty, a warning says so, and the files join those that are there. Another one is
    /// given if another process uses the folder, where that can be found out.
    pub fn with_version(self, version: impl Into<String>) -> Self {
        self.with(self.inner.name.clone(), Some(version.into()))
    }

    /// As [`RunDir::with_version`] with `version_<number>`.
    pub fn with_version_number(self, number: u64) -> Self {
        self.with_version(format!("version_{number}"))
    }

    /// How long after the last time changed files are sent to a store, if `save_dir` is the URL of one. Default: 30 seconds;
    /// never less than four times what the sending takes. The result is a run of its own.
    pub fn upload_every(self, interval: Duration) -> Self {
        let Inner { save_dir, url, name, wanted, .. } = &*self.inner;
        Self::build(save_dir.clone(), url.clone(), interval, name.clone(), wanted.clone())
    }

    /// A run that is there already and goes on: its folder is used again without a warning, and no version is made.
    ///
    /// # Errors
    /// [`Error::RunGone`] if its folder does not exist, [`Error::RunInUse`] if another process uses it, where that can be
    /// found out (not on Windows and some network disks). With the URL of a store also [`Error::Url`], or [`Error::Io`] if the
    /// store does not answer.
    pub fn resume(self, version: impl Into<String>) -> Result<Self> {
        let version = version.into();
        let run = self.with_version(version.clone());
        run.check()?;
        let log_dir = folder_of(&run.root_dir(), &version);
        let url = run.root_url().map(|root| folder_of(&root, &version));
        if let Some(url) = &url {
            remote::bring_back(url, &log_dir)?;
        }
        if !log_dir.is_dir() {
            return Err(Error::RunGone { folder: log_dir });
        }
        let Some(hold) = hold(&log_dir) else {
            return Err(Error::RunInUse { folder: log_dir });
        };
        // Whoever was killed here has left what was to become `hparams.yaml`.
        append::clear_all_replacements(&log_dir);
        let mirror = url.map(|url| Mirror::start(log_dir.clone(), url, run.inner.upload_every)).transpose()?;
        run.inner.resolved.get_or_init(|| Resolved { version, log_dir, _hold: Some(hold), mirror });
        Ok(run)
    }

    /// The folder of all experiments. For the URL of a store, the one on the disk that loggers write to.
    pub fn save_dir(&self) -> &Path {
        &self.inner.save_dir
    }

    /// The experiment's name, possibly empty.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The folder of all runs of the experiment: `save_dir/name`.
    pub fn root_dir(&self) -> PathBuf {
        folder_of(&self.inner.save_dir, &self.inner.name)
    }

    /// The same in the store.
    fn root_url(&self) -> Option<PathBuf> {
        self.inner.url.as_ref().map(|url| folder_of(url, &self.inner.name))
    }

    /// Sends what has changed to the store, if `save_dir` is the URL of one, and waits for it, a minute at most. Loggers do so
    /// at the end of each run. False if the store does not have it; a warning says why, and it is tried again.
    pub fn upload(&self) -> bool {
        self.inner.resolved.get().and_then(|resolved| resolved.mirror.as_ref()).is_none_or(Mirror::settle)
    }

    /// [`Logger::longest_call`](crate::Logger::longest_call) of a logger that ends with an [upload](Self::upload).
    pub(crate) fn longest_call(&self) -> Duration {
        LONGEST_CALL + if self.inner.url.is_some() { mirror::PATIENCE } else { Duration::ZERO }
    }

    /// The run's version, such as `version_0`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if its folder cannot be made, [`Error::Outside`] if name or version lead out of the
    /// `save_dir`.
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

    /// Name and version stay below the `save_dir`.
    fn check(&self) -> Result<()> {
        inside("name", &self.inner.name)?;
        self.inner.wanted.as_ref().map_or(Ok(()), |version| inside("version", version))
    }

    fn resolve(&self) -> Result<&Resolved> {
        let Inner { wanted, resolving, resolved, .. } = &*self.inner;
        let _only_one = resolving.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resolved) = resolved.get() {
            return Ok(resolved);
        }
        self.check()?;
        let (root, url) = (self.root_dir(), self.root_url());
        let taken = url.as_deref().map(remote::list).transpose()?.unwrap_or_default();
        let free = taken.iter().filter(|entry| entry.is_folder).filter_map(|entry| number_of(entry.path.file_name()?)).max();
        let mut made = match wanted {
            Some(version) => reuse(&root, version)?,
            None => reserve(&root, free.map_or(0, |taken| taken.saturating_add(1)))?,
        };
        if let Some(url) = url {
            let url = folder_of(&url, &made.version);
            made.mirror = Some(Mirror::start(made.log_dir.clone(), url, self.inner.upload_every)?);
        }
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
    Ok(Resolved { version: version.to_owned(), log_dir, _hold: hold, mirror: None })
}

/// Makes the folder of the next version, `at_least` this one.
fn reserve(root: &Path, at_least: u64) -> Result<Resolved> {
    fs_err::create_dir_all(root)?;
    let mut next = at_least;
    loop {
        next = free_number(root)?.max(next);
        let version = format!("version_{next}");
        let log_dir = root.join(&version);
        match fs_err::create_dir(&log_dir) {
            Ok(()) => {
                let hold = hold(&log_dir);
                return Ok(Resolved { version, log_dir, _hold: hold, mirror: None });
            }
            // Another process was faster, or a file has the name.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => next += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// 3 for `version_3`.
fn number_of(name: &OsStr) -> Option<u64> {
    name.to_str()?.strip_prefix("version_").filter(|number| is_number(number))?.parse().ok()
}

fn free_number(root: &Path) -> Result<u64> {
    let mut free = 0;
    for entry in fs_err::read_dir(root)? {
        let entry = entry?;
        if let Some(number) = number_of(&entry.file_name())
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

    #[test]
    fn a_run_stays_below_its_root() {
        let folder = tempfile::tempdir().unwrap();
        let save_dir = folder.path().join("runs");
        let outside = folder.path().join("outside");
        fs_err::create_dir(&outside).unwrap();
        let absolute = outside.to_string_lossy().into_owned();
        let new = || RunDir::new(&save_dir);
        for run in
            [new().with_name("../outside"), new().with_version("../../outside"), new().with_name(&absolute), new().with_version(&absolute)]
        {
            let error = run.log_dir().unwrap_err();
            assert!(matches!(error, Error::Outside { .. }), "{error}");
            assert!(error.hint().is_some());
        }
        assert!(matches!(new().resume("../../outside"), Err(Error::Outside { .. })));
        assert_eq!(fs_err::read_dir(&outside).unwrap().count(), 0);
        assert_eq!(new().with_name("a/b").version().unwrap(), "version_0");
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
