//! The folder for the files of a run.

#[cfg(test)]
#[cfg(all(feature = "remote", feature = "csv", feature = "tensorboard"))]
mod remote_tests;
#[cfg(test)]
mod tests;
mod version;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

pub(crate) use version::short;
use version::{Made, folder_of};

use stormfire_store::files;
use stormfire_store::folder::{absolute, remove_empty};
use stormfire_store::hold::{Hold, hold};
use stormfire_store::mirror::{self, Mirror};
use stormfire_store::names::fit_path;
use stormfire_store::replacement;
use stormfire_store::stand_in::local_folder;

use crate::names::inside;
use crate::{Error, Result};

/// See [`RunDir::upload_every`].
const UPLOAD_EVERY: Duration = Duration::from_secs(30);

/// The default name of an experiment.
pub const DEFAULT_NAME: &str = "lightning_logs";

/// The folder of one run: `save_dir/name/version`.
///
/// The version is chosen at the first use: `version_N`, where N is one more than the largest existing number, or 0. The
/// folder is created in the same moment. Its creation succeeds in only one process or thread, so two runs never share a
/// folder. Clones are handles of the same run. Give them to several loggers (`in_dir`) to store their files side by
/// side.
///
/// [`name`](Self::name) and [`version`](Self::version) suffice to [`resume`](Self::resume) the run in another process.
///
/// `save_dir` may be the URL of a folder in a store (`s3://bucket/folder`, `gs://`, `az://`; cargo feature `remote`) or
/// on a disk (`file:///folder`). For a store, loggers write below `.stormfire/logs` in the current folder. Changed
/// files are uploaded periodically ([`upload_every`](Self::upload_every)) and at the end of each run. A run that is
/// resumed on another machine is downloaded first. Processes on one machine never choose the same version. Processes on
/// different machines can.
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
    /// The folder in the store that `save_dir` mirrors.
    url: Option<PathBuf>,
    upload_every: Duration,
    name: String,
    wanted: Option<String>,
    /// The requested version exists already: a version next to it is created.
    is_another: bool,
    /// Other files may be in the folder of the requested version.
    is_shared: bool,
    resolving: Mutex<()>,
    resolved: OnceLock<Resolved>,
}

#[derive(Debug)]
struct Resolved {
    version: String,
    log_dir: PathBuf,
    /// The folders that did not exist before, from the inside.
    created: Vec<PathBuf>,
    _hold: Option<Hold>,
    mirror: Option<Mirror>,
}

/// A name that a disk takes.
fn fitted(given: String) -> String {
    let fitted = fit_path(&given);
    if *fitted == given {
        return given;
    }
    tracing::warn!("the name `{given}` of a log folder is longer than a disk allows; it is shortened to `{fitted}`");
    fitted.into_owned()
}

/// Whether a file is not uploaded. Checkpoints have their own destination. A name that starts with a dot is an
/// incomplete file.
fn is_left_out(name: &OsStr) -> bool {
    name == "checkpoints" || name.to_string_lossy().starts_with('.')
}

impl RunDir {
    /// The next run of the experiment `lightning_logs` below `save_dir`. Creates no folder yet.
    pub fn new(save_dir: impl Into<PathBuf>) -> Self {
        let save_dir = save_dir.into();
        let on_disk = stormfire_store::on_disk(&save_dir).map(Path::to_owned);
        let local = on_disk.clone().unwrap_or_else(|| local_folder(&save_dir));
        let url = if on_disk.is_some() { None } else { Some(save_dir) };
        let (upload_every, name) = (UPLOAD_EVERY, DEFAULT_NAME.to_owned());
        let (resolving, resolved) = (Mutex::new(()), OnceLock::new());
        let (is_another, is_shared) = (false, false);
        Inner { save_dir: local, url, upload_every, name, wanted: None, is_another, is_shared, resolving, resolved }.into()
    }

    /// The same settings, without a folder yet.
    fn settings(&self) -> Inner {
        let Inner { save_dir, url, upload_every, name, wanted, is_another, is_shared, .. } = &*self.inner;
        Inner {
            save_dir: save_dir.clone(),
            url: url.clone(),
            upload_every: *upload_every,
            name: name.clone(),
            wanted: wanted.clone(),
            is_another: *is_another,
            is_shared: *is_shared,
            resolving: Mutex::new(()),
            resolved: OnceLock::new(),
        }
    }

    /// Sets the name of the experiment. An empty name puts the runs directly below `save_dir`. A name that is too long
    /// for a disk is shortened with a hash. The result is a separate run.
    pub fn with_name(self, name: impl Into<String>) -> Self {
        Inner { name: fitted(name.into()), ..self.settings() }.into()
    }

    /// Sets a custom version, which becomes the folder's name, shortened with a hash if it is too long for a disk. The
    /// result is a separate run.
    ///
    /// If the folder exists and is not empty, a warning is logged and the files join the existing ones. If another
    /// process uses the folder, another warning is logged, where the system can detect it.
    pub fn with_version(self, version: impl Into<String>) -> Self {
        Inner { wanted: Some(fitted(version.into())), ..self.settings() }.into()
    }

    /// Expects other files of the run in the folder of a custom version, such as its configuration. No warning is
    /// logged for them. The result is a separate run.
    pub fn with_other_files(self) -> Self {
        Inner { is_shared: true, ..self.settings() }.into()
    }

    /// As [`RunDir::with_version`] with `version_<number>`.
    pub fn with_version_number(self, number: u64) -> Self {
        self.with_version(format!("version_{number}"))
    }

    /// Interval between uploads of changed files, if `save_dir` is the URL of a store. Default: 30 seconds. The
    /// interval is at least four times the duration of an upload. The result is a separate run.
    pub fn upload_every(self, interval: Duration) -> Self {
        Inner { upload_every: interval, ..self.settings() }.into()
    }

    /// Another run with the same settings: the next version, or a version next to the given one, such as `try-v1` for
    /// `try`.
    pub fn another(&self) -> Self {
        Inner { is_another: true, ..self.settings() }.into()
    }

    /// Resumes an existing run: its folder is reused without a warning, and no version is created.
    ///
    /// # Errors
    /// * [`Error::RunGone`] if the folder does not exist.
    /// * [`Error::RunInUse`] if another process uses the folder. Not detected on Windows and some network disks.
    /// * With the URL of a store also [`Error::Url`], or [`Error::Io`] if the store does not answer.
    pub fn resume(self, version: impl Into<String>) -> Result<Self> {
        let version = version.into();
        let run = self.with_version(version.clone());
        run.continue_in(&version)?;
        Ok(run)
    }

    /// As [`resume`](Self::resume), for this run and all its clones. A run that has a folder keeps it.
    ///
    /// # Errors
    /// As [`resume`](Self::resume).
    pub fn continue_in(&self, version: &str) -> Result<()> {
        let Inner { resolving, resolved, .. } = &*self.inner;
        let _only_one = resolving.lock().unwrap_or_else(PoisonError::into_inner);
        if resolved.get().is_some() {
            return Ok(());
        }
        self.check()?;
        inside("version", version)?;
        let log_dir = folder_of(&self.absolute_root()?, version);
        let url = self.root_url().map(|root| folder_of(&root, version));
        if let Some(url) = &url {
            mirror::bring_back(url, &log_dir, is_left_out)?;
        }
        if !log_dir.is_dir() {
            return Err(Error::RunGone { folder: log_dir });
        }
        let Some(hold) = hold(&log_dir) else {
            return Err(Error::RunInUse { folder: log_dir });
        };
        // A killed process may have left a half-written replacement of `hparams.yaml`.
        replacement::remove_leftovers(&log_dir);
        let mirror = url.map(|url| Mirror::start(log_dir.clone(), url, self.inner.upload_every, is_left_out)).transpose()?;
        let created = Vec::new();
        resolved.get_or_init(|| Resolved { version: version.to_owned(), log_dir, created, _hold: Some(hold), mirror });
        Ok(())
    }

    /// The folder of a version of this experiment, whether or not it exists.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the current folder was deleted.
    pub fn folder_of(&self, version: &str) -> Result<PathBuf> {
        Ok(folder_of(&self.absolute_root()?, version))
    }

    /// Whether this run could have the version. If no version was given, it could have any. Otherwise it could have the
    /// given version or one that was created [next to](Self::another) it.
    pub fn may_be(&self, version: &str) -> bool {
        self.inner.wanted.as_ref().is_none_or(|wanted| version::is_beside(version, wanted))
    }

    /// The folders of all existing runs that [may be](Self::may_be) this one, in no particular order. Creates nothing.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the folder of the experiment exists and cannot be read.
    pub fn log_dirs(&self) -> Result<Vec<PathBuf>> {
        let root = self.absolute_root()?;
        let Some(wanted) = &self.inner.wanted else {
            return if root.is_dir() {
                Ok(version::versions(&root)?.into_iter().map(|(_, folder)| folder).collect())
            } else {
                Ok(Vec::new())
            };
        };
        let mut folders = vec![folder_of(&root, wanted)];
        for entry in std::fs::read_dir(&root).into_iter().flatten().flatten() {
            let is_ours = entry.file_name().to_str().is_some_and(|name| version::is_beside(name, wanted));
            if is_ours && !folders.contains(&entry.path()) {
                folders.push(entry.path());
            }
        }
        Ok(folders)
    }

    /// Whether the folder is already chosen.
    pub fn has_folder(&self) -> bool {
        self.inner.resolved.get().is_some()
    }

    /// Whether both are handles of the same run.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Whether both would choose a version of the same experiment, so that they may be one run.
    pub(crate) fn may_share(&self, other: &Self) -> bool {
        let same_root = matches!((self.absolute_root(), other.absolute_root()), (Ok(a), Ok(b)) if a == b);
        let of = |run: &Self| (run.inner.url.clone(), run.inner.wanted.clone(), run.inner.is_another);
        same_root && of(self) == of(other)
    }

    /// Whether a version was given, so that none has to be chosen.
    pub(crate) fn has_own_version(&self) -> bool {
        self.inner.wanted.is_some()
    }

    /// Number of handles of this run.
    pub(crate) fn handles(&self) -> usize {
        Arc::strong_count(&self.inner)
    }

    /// The folder of all experiments. For the URL of a store, the local folder that loggers write to.
    pub fn save_dir(&self) -> &Path {
        &self.inner.save_dir
    }

    /// The name of the experiment, possibly empty.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The folder of all runs of the experiment: `save_dir/name`.
    pub fn root_dir(&self) -> PathBuf {
        folder_of(&self.inner.save_dir, &self.inner.name)
    }

    /// The absolute [`root_dir`](Self::root_dir), which stays valid if the process changes its current folder.
    fn absolute_root(&self) -> Result<PathBuf> {
        Ok(absolute(&self.root_dir())?)
    }

    /// The [`root_dir`](Self::root_dir) in the store.
    fn root_url(&self) -> Option<PathBuf> {
        self.inner.url.as_ref().map(|url| folder_of(url, &self.inner.name))
    }

    /// Uploads changed files if `save_dir` is the URL of a store, and waits for at most one minute. Loggers call this
    /// at the end of each run. Returns false if the upload is incomplete. Then a warning gives the reason, and the
    /// upload is retried.
    pub fn upload(&self) -> bool {
        self.inner.resolved.get().and_then(|resolved| resolved.mirror.as_ref()).is_none_or(Mirror::settle)
    }

    /// Time limit of an [upload](Self::upload).
    pub fn upload_patience(&self) -> Duration {
        if self.inner.url.is_some() { mirror::PATIENCE } else { Duration::ZERO }
    }

    /// The version of the run, such as `version_0`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the folder cannot be created, [`Error::Outside`] if name or version lead out
    /// of the `save_dir`.
    pub fn version(&self) -> Result<&str> {
        Ok(&self.resolve()?.version)
    }

    /// The folder of the run. It is created at the first call.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if it cannot be created.
    pub fn log_dir(&self) -> Result<&Path> {
        Ok(&self.resolve()?.log_dir)
    }

    /// A short version for a progress bar: `0` for `version_0`, otherwise the last four characters.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the folder of the run cannot be created.
    pub fn short_version(&self) -> Result<&str> {
        Ok(short(self.version()?))
    }

    /// Checks that name and version stay below the `save_dir`, as the first use of the folder does.
    ///
    /// # Errors
    /// [`Error::Outside`](crate::Error::Outside) otherwise.
    pub fn check(&self) -> Result<()> {
        inside("name", &self.inner.name)?;
        self.inner.wanted.as_ref().map_or(Ok(()), |version| inside("version", version))
    }

    fn resolve(&self) -> Result<&Resolved> {
        let Inner { wanted, is_another, is_shared, resolving, resolved, .. } = &*self.inner;
        let _only_one = resolving.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resolved) = resolved.get() {
            return Ok(resolved);
        }
        self.check()?;
        let (root, url) = (self.absolute_root()?, self.root_url());
        let taken = url.as_deref().map(files::list).transpose()?.unwrap_or_default();
        let taken = taken.iter().filter(|entry| entry.is_folder).filter_map(|entry| version::number_of(entry.path.file_name()?)).max();
        let Made { version, log_dir, hold, created } = match wanted {
            Some(wanted) if *is_another => version::reserve_beside(&root, wanted)?,
            Some(wanted) => version::reuse(&root, wanted, *is_shared)?,
            None => version::reserve(&root, taken.map_or(0, |taken| taken + 1))?,
        };
        let mirror = match url {
            Some(url) => Some(Mirror::start(log_dir.clone(), folder_of(&url, &version), self.inner.upload_every, is_left_out)?),
            None => None,
        };
        Ok(resolved.get_or_init(|| Resolved { version, log_dir, created, _hold: hold, mirror }))
    }
}

/// Removes what a run that has not started leaves behind.
pub trait DriveRunDir {
    /// Removes the folders that the run has created, as long as they are empty.
    fn remove_unused(&self);
}

impl DriveRunDir for RunDir {
    fn remove_unused(&self) {
        remove_empty(self.inner.resolved.get().into_iter().flat_map(|resolved| &resolved.created));
    }
}

impl From<Inner> for RunDir {
    fn from(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }
}
