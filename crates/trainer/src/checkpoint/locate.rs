//! Which file a `ckpt_path` means.

use std::path::{Path, PathBuf};

use stormfire_callbacks::{ModelCheckpoint, OnExceptionCheckpoint};
use stormfire_checkpoint::{
    Checkpoint, Manifest,
    storage::{self, Entry},
    verify,
};
use stormfire_loggers::DEFAULT_NAME;
use stormfire_module::{Callback, Error, LightningModule, Result};

/// A checkpoint to continue or to load from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CkptPath {
    /// This file, or what is behind this URL.
    Path(PathBuf),
    /// `"last"`: the newest good checkpoint of this run's folders: those of the Trainer's `ModelCheckpoint`s and `OnExceptionCheckpoint`s, and those of
    /// all versions in `default_root_dir`. A fit without any begins anew, with a warning.
    Last,
    /// `"best"`: the best by the monitored metric of the first `ModelCheckpoint` that has one, in this Trainer or in the
    /// newest checkpoint.
    Best,
}

impl<P: Into<PathBuf>> From<P> for CkptPath {
    fn from(path: P) -> Self {
        let path = path.into();
        match path.to_str() {
            Some("last") => CkptPath::Last,
            Some("best") => CkptPath::Best,
            _ => CkptPath::Path(path),
        }
    }
}

/// The file; `None` if `"last"` finds none.
pub(crate) fn locate<M: LightningModule>(
    wanted: &CkptPath,
    default_root_dir: &Path,
    callbacks: &[Box<dyn Callback<M>>],
) -> Result<Option<PathBuf>> {
    let last = || newest(&folders(default_root_dir, callbacks)?);
    match wanted {
        CkptPath::Path(path) => Ok(Some(path.clone())),
        CkptPath::Last => {
            let found = last()?.map(|(path, _)| path);
            if let Some(path) = &found {
                tracing::info!("`ckpt_path(\"last\")` is `{}`", path.display());
            } else {
                tracing::warn!("`ckpt_path(\"last\")`: there is no checkpoint yet, so this run begins without one");
            }
            Ok(found)
        }
        CkptPath::Best => {
            let here = model_checkpoints(callbacks).find_map(|callback| callback.best_model_path().map(PathBuf::from));
            let best = match here {
                Some(best) => Some(best),
                None => last()?.and_then(|(_, manifest)| best_of(&manifest)),
            };
            if let Some(path) = &best {
                tracing::info!("`ckpt_path(\"best\")` is `{}`", path.display());
            }
            best.map(Some).ok_or_else(|| {
                Error::config(
                    "ckpt_path",
                    "there is no best checkpoint",
                    "fit with a `ModelCheckpoint` that monitors a metric first, or give the path of a file",
                )
            })
        }
    }
}

fn model_checkpoints<M: LightningModule>(callbacks: &[Box<dyn Callback<M>>]) -> impl Iterator<Item = &ModelCheckpoint> {
    of_type(callbacks)
}

fn of_type<C: 'static, M: LightningModule>(callbacks: &[Box<dyn Callback<M>>]) -> impl Iterator<Item = &C> {
    callbacks.iter().filter_map(|callback| (callback.as_ref() as &dyn std::any::Any).downcast_ref::<C>())
}

fn best_of(manifest: &Manifest) -> Option<PathBuf> {
    let states = manifest.callbacks.iter().filter(|(key, _)| key.starts_with("ModelCheckpoint"));
    states.filter_map(|(_, state)| state["best_model_path"].as_str()).map(PathBuf::from).next()
}

/// Where checkpoints of this Trainer may be.
fn folders<M: LightningModule>(default_root_dir: &Path, callbacks: &[Box<dyn Callback<M>>]) -> Result<Vec<PathBuf>> {
    let mut folders: Vec<PathBuf> = model_checkpoints(callbacks).filter_map(|callback| callback.folder().map(PathBuf::from)).collect();
    folders.extend(of_type::<OnExceptionCheckpoint, M>(callbacks).map(|callback| callback.folder().to_path_buf()));
    folders.push(default_root_dir.join("checkpoints"));
    let versions = entries(&default_root_dir.join(DEFAULT_NAME))?.into_iter();
    folders.extend(versions.map(|version| version.path.join("checkpoints")));
    Ok(folders)
}

/// What lies in a folder. A store that does not answer is not taken for an empty one: a fit would begin anew.
fn entries(folder: &Path) -> Result<Vec<Entry>> {
    match storage::list(folder) {
        Err(error) if storage::is_url(folder) => Err(error.into()),
        listed => Ok(listed.unwrap_or_default()),
    }
}

/// The checkpoint that was saved last and is whole.
fn newest(folders: &[PathBuf]) -> Result<Option<(PathBuf, Manifest)>> {
    let mut files = Vec::new();
    for folder in folders {
        files.extend(entries(folder)?.into_iter().filter(Entry::is_checkpoint));
    }
    let mut found: Vec<_> = files.into_iter().filter_map(|file| Some((Checkpoint::read_manifest(&file.path).ok()?, file.path))).collect();
    found.retain(|(manifest, _)| !manifest.weights_only);
    // The texts of moments in UTC sort as the moments do.
    found.sort_by(|(a, _), (b, _)| (&b.saved_at, b.global_step()).cmp(&(&a.saved_at, a.global_step())));
    let is_whole = |path: &Path| match verify(path) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!("passed over: {error}");
            false
        }
    };
    // A store shows no half objects, and reading all of one only to see it verified takes as long as reading it.
    let good = found.into_iter().find(|(_, path)| storage::is_url(path) || is_whole(path));
    Ok(good.map(|(manifest, path)| (path, manifest)))
}
