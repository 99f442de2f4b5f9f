//! Where the files of a run go.

mod remote;
#[cfg(test)]
#[cfg(all(feature = "remote", feature = "csv", feature = "tensorboard"))]
mod remote_tests;
#[cfg(test)]
mod tests;
mod version;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

pub use remote::remote_folder;
use stormfire_store::files;
use stormfire_store::folder::absolute;
use stormfire_store::hold::{Hold, hold};
use stormfire_store::mirror::{self, Mirror};
use stormfire_store::replacement;
pub(crate) use version::short;
use version::{Made, folder_of};

use crate::names::inside;
use crate::{Error, Result};

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
    /// The wanted version was there before: another one is made beside it.
    is_another: bool,
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
        let (upload_every, name) = (UPLOAD_EVERY, DEFAULT_NAME.to_owned());
        let (resolving, resolved) = (Mutex::new(()), OnceLock::new());
        Inner { save_dir: local, url, upload_every, name, wanted: None, is_another: false, resolving, resolved }.into()
    }

    /// The same settings, without a folder yet.
    fn settings(&self) -> Inner {
        let Inner { save_dir, url, upload_every, name, wanted, is_another, .. } = &*self.inner;
        Inner {
            save_dir: save_dir.clone(),
            url: url.clone(),
            upload_every: *upload_every,
            name: name.clone(),
            wanted: wanted.clone(),
            is_another: *is_another,
            resolving: Mutex::new(()),
            resolved: OnceLock::new(),
        }
    }

    /// Another experiment's name; an empty one puts the runs directly under `save_dir`. The result is a run of its own.
    pub fn with_name(self, name: impl Into<String>) -> Self {
        Inner { name: name.into(), ..self.settings() }.into()
    }

    /// A version of one's own, used as the folder's name as it stands. The result is a run of its own.
    ///
    /// If the folder exists and is not empty, a warning says so, and the files join those that are there. Another one is
    /// given if another process uses the folder, where that can be found out.
    pub fn with_version(self, version: impl Into<String>) -> Self {
        Inner { wanted: Some(version.into()), ..self.settings() }.into()
    }

    /// As [`RunDir::with_version`] with `version_<number>`.
    pub fn with_version_number(self, number: u64) -> Self {
        self.with_version(format!("version_{number}"))
    }

    /// How long after the last time changed files are sent to a store, if `save_dir` is the URL of one. Default: 30 seconds;
    /// never less than four times what the sending takes. The result is a run of its own.
    pub fn upload_every(self, interval: Duration) -> Self {
        Inner { upload_every: interval, ..self.settings() }.into()
    }

    /// Another run of the same settings: the next version, or one beside the version that was given, `try-v1` for `try`.
    pub fn another(&self) -> Self {
        Inner { is_another: true, ..self.settings() }.into()
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
        run.go_on(&version)?;
        Ok(run)
    }

    /// As [`resume`](Self::resume), for this run and all its clones. One that has a folder already keeps it.
    ///
    /// # Errors
    /// As [`resume`](Self::resume).
    pub fn go_on(&self, version: &str) -> Result<()> {
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
            mirror::bring_back(url, &log_dir, remote::is_left_out)?;
        }
        if !log_dir.is_dir() {
            return Err(Error::RunGone { folder: log_dir });
        }
        let Some(hold) = hold(&log_dir) else {
            return Err(Error::RunInUse { folder: log_dir });
        };
        // Whoever was killed here has left what was to become `hparams.yaml`.
        replacement::clear_all(&log_dir);
        let mirror = url.map(|url| Mirror::start(log_dir.clone(), url, self.inner.upload_every, remote::is_left_out)).transpose()?;
        resolved.get_or_init(|| Resolved { version: version.to_owned(), log_dir, _hold: Some(hold), mirror });
        Ok(())
    }

    /// Where a version of this experiment is, or would be.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the current folder is gone.
    pub fn folder_of(&self, version: &str) -> Result<PathBuf> {
        Ok(folder_of(&self.absolute_root()?, version))
    }

    /// Whether a version may be one of this run's: any, unless one was given. Then it is that one, or one that was made
    /// [beside](Self::another) it.
    pub fn may_be(&self, version: &str) -> bool {
        self.inner.wanted.as_ref().is_none_or(|wanted| version::is_beside(version, wanted))
    }

    /// The folders of all runs so far that [may be](Self::may_be) this one, in no order. Makes nothing.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the experiment's folder is there and cannot be read.
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

    /// Whether the folder is chosen already.
    pub fn has_folder(&self) -> bool {
        self.inner.resolved.get().is_some()
    }

    /// Whether both are handles of one run.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Whether both would choose a version of the same experiment, and may as well be one run.
    pub(crate) fn may_share(&self, other: &Self) -> bool {
        let same_root = matches!((self.absolute_root(), other.absolute_root()), (Ok(a), Ok(b)) if a == b);
        let of = |run: &Self| (run.inner.url.clone(), run.inner.wanted.clone(), run.inner.is_another);
        same_root && of(self) == of(other)
    }

    /// Whether a version was given, so that nothing is to choose.
    pub(crate) fn has_own_version(&self) -> bool {
        self.inner.wanted.is_some()
    }

    /// How many handles of this run there are.
    pub(crate) fn handles(&self) -> usize {
        Arc::strong_count(&self.inner)
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

    /// The same, wherever the process goes from here.
    fn absolute_root(&self) -> Result<PathBuf> {
        Ok(absolute(&self.root_dir())?)
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

    /// How long an [upload](Self::upload) may take.
    pub fn upload_patience(&self) -> Duration {
        if self.inner.url.is_some() { mirror::PATIENCE } else { Duration::ZERO }
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
        let Inner { wanted, is_another, resolving, resolved, .. } = &*self.inner;
        let _only_one = resolving.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resolved) = resolved.get() {
            return Ok(resolved);
        }
        self.check()?;
        let (root, url) = (self.absolute_root()?, self.root_url());
        let taken = url.as_deref().map(files::list).transpose()?.unwrap_or_default();
        let taken = taken.iter().filter(|entry| entry.is_folder).filter_map(|entry| version::number_of(entry.path.file_name()?)).max();
        let Made { version, log_dir, hold } = match wanted {
            Some(wanted) if *is_another => version::reserve_beside(&root, wanted)?,
            Some(wanted) => version::reuse(&root, wanted)?,
            None => version::reserve(&root, taken.map_or(0, |taken| taken + 1))?,
        };
        let mirror = match url {
            Some(url) => Some(Mirror::start(log_dir.clone(), folder_of(&url, &version), self.inner.upload_every, remote::is_left_out)?),
            None => None,
        };
        Ok(resolved.get_or_init(|| Resolved { version, log_dir, _hold: hold, mirror }))
    }
}

impl From<Inner> for RunDir {
    fn from(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }
}
