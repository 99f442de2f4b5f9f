//! Resolves a `ckpt_path` to a file.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use stormfire_callbacks::{ModelCheckpoint, OnExceptionCheckpoint};
use stormfire_checkpoint::{
    Checkpoint, Manifest, neighbourhood, newest_good,
    storage::{self, identity},
    verify,
};
use stormfire_loggers::for_trainer::from_here;
use stormfire_module::{Callback, Error, LightningModule, Result};

/// A checkpoint to resume or load from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CkptPath {
    /// This file or URL.
    Path(PathBuf),
    /// `"last"`: the newest valid checkpoint in the folders where this Trainer stores its own. These are the folders of
    /// its `ModelCheckpoint`s and `OnExceptionCheckpoint`s, all versions of its loggers, and `default_root_dir`. Within
    /// a run, it is the one with the most progress since the last resume. Among several runs, the run that saved last
    /// is chosen. If there is no checkpoint, a fit starts from scratch, with a warning.
    Last,
    /// `"best"`: the best checkpoint by the monitored metric of the first `ModelCheckpoint` that has one, in this
    /// Trainer or in the newest checkpoint.
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

/// Possible folders of a Trainer's checkpoints, each with the number of levels below it.
pub(crate) struct SearchFolders(Vec<(PathBuf, usize)>);

impl SearchFolders {
    /// The folders of the callbacks, of these runs, and the root.
    pub(crate) fn of<M: LightningModule>(callbacks: &[Box<dyn Callback<M>>], runs: &[PathBuf], root: &Path) -> Result<Self> {
        let root = storage::absolute(root)?;
        let runs: Vec<PathBuf> = runs.iter().chain([&root]).cloned().collect();
        let mut folders = ModelCheckpoint::new().places(&runs)?;
        for callback in of_type::<ModelCheckpoint, M>(callbacks) {
            folders.extend(callback.places(&runs)?);
        }
        for callback in of_type::<OnExceptionCheckpoint, M>(callbacks) {
            folders.push((callback.folder()?, 0));
        }
        // Keeps each folder once, with its maximum depth.
        folders.sort_by(|a, b| (&a.0, b.1).cmp(&(&b.0, a.1)));
        folders.dedup_by(|a, b| a.0 == b.0);
        Ok(Self(folders))
    }

    /// The resolved file. `None` if `"last"` finds none.
    pub(crate) fn locate<M: LightningModule>(&self, wanted: &CkptPath, callbacks: &[Box<dyn Callback<M>>]) -> Result<Option<PathBuf>> {
        match wanted {
            CkptPath::Path(path) => Ok(Some(path.clone())),
            CkptPath::Last => {
                let found = self.newest()?.map(|(path, _)| path);
                if let Some(path) = &found {
                    tracing::info!("`ckpt_path(\"last\")` is `{}`", from_here(path).display());
                } else {
                    let folders = self.0.iter().map(|(folder, _)| format!("`{}`", folder.display())).collect::<Vec<_>>().join(", ");
                    tracing::warn!("`ckpt_path(\"last\")`: there is no checkpoint yet, so this run starts without one; searched {folders}");
                }
                Ok(found)
            }
            CkptPath::Best => {
                let mut best = best_here(callbacks);
                if best.is_none() {
                    let keys: Vec<_> = of_type::<ModelCheckpoint, M>(callbacks).map(Callback::<M>::state_key).collect();
                    best = self.newest()?.and_then(|(_, manifest)| best_of(&manifest, &keys));
                }
                if let Some((path, is_monitored)) = &best {
                    tracing::info!("`ckpt_path(\"best\")` is `{}`", from_here(path).display());
                    if !is_monitored {
                        tracing::warn!("`ckpt_path(\"best\")`: no `ModelCheckpoint` monitors a metric, so this is the newest checkpoint");
                    }
                }
                best.map(|(path, _)| Some(path)).ok_or_else(|| {
                    Error::config(
                        "ckpt_path",
                        "there is no best checkpoint",
                        "fit with a `ModelCheckpoint` that monitors a metric first, or give the path of a file",
                    )
                })
            }
        }
    }

    /// The newest valid checkpoint in the folders that contain this file.
    pub(crate) fn beside(&self, path: &Path) -> Option<PathBuf> {
        let absolute = storage::absolute(path).unwrap_or_else(|_| path.into());
        let ours = self.0.iter().filter(|(folder, _)| absolute.starts_with(folder));
        let ours = ours.max_by_key(|(folder, _)| folder.as_os_str().len()).map(|(folder, depth)| {
            let own = absolute.strip_prefix(folder).map_or(0, |below| below.components().count().saturating_sub(1));
            (folder.as_path(), own.max(*depth))
        });
        let (folder, depth) = ours.unwrap_or_else(|| neighbourhood(&absolute));
        newest_good(folder, depth, path).map(|found| found.path)
    }

    /// How often the run of a checkpoint was resumed until now, according to its files here.
    pub(crate) fn restarts(&self, of: &Manifest, path: &Path) -> u64 {
        let (beside, depth) = neighbourhood(path);
        let beside = [(beside.to_path_buf(), depth)];
        let folders = self.0.iter().chain(&beside);
        let files = folders.flat_map(|(folder, depth)| storage::checkpoints(folder, *depth).unwrap_or_default());
        let manifests = files.filter_map(|file| Checkpoint::read_manifest(&file.path).ok());
        manifests.filter(|manifest| manifest.run_id == of.run_id).map(|manifest| manifest.restarts).max().unwrap_or(0).max(of.restarts)
    }

    /// The newest valid checkpoint.
    fn newest(&self) -> Result<Option<(PathBuf, Manifest)>> {
        self.newest_of(|_| true)
    }

    /// The checkpoint of this run with the most progress.
    pub(crate) fn furthest_of(&self, run_id: &str) -> Result<Option<PathBuf>> {
        Ok(self.newest_of(|manifest| manifest.run_id == run_id)?.map(|(path, _)| path))
    }

    fn newest_of(&self, is_meant: impl Fn(&Manifest) -> bool) -> Result<Option<(PathBuf, Manifest)>> {
        let mut found = HashMap::new();
        for (folder, depth) in &self.0 {
            let files = storage::checkpoints(folder, *depth)?;
            found.extend(files.into_iter().filter_map(|file| Some((file.path.clone(), Checkpoint::read_manifest(&file.path).ok()?))));
        }
        let found: Vec<_> = found.into_iter().filter(|(_, manifest)| !manifest.weights_only && is_meant(manifest)).collect();
        let is_whole = |path: &Path| match verify(path) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!("skipped: {error}");
                false
            }
        };
        // A store never shows incomplete objects. Verifying one would take as long as reading it.
        Ok(newest_first(found).into_iter().find(|(path, _)| storage::is_url(path) || is_whole(path)))
    }
}

/// Whether a folder has a checkpoint that a fit can resume from, at any depth.
pub fn has_checkpoint(folder: &Path) -> bool {
    newest_good(folder, usize::MAX, folder).is_some()
}

/// Sorts the checkpoints of each run by progress, and the runs by the time of their last save. If a file has two names,
/// the file itself comes before the link.
fn newest_first(found: Vec<(PathBuf, Manifest)>) -> Vec<(PathBuf, Manifest)> {
    let mut runs: Vec<Vec<(PathBuf, Manifest)>> = Vec::new();
    for one in found {
        // A file without a run id counts as a separate run.
        match runs.iter_mut().find(|run| !one.1.run_id.is_empty() && run[0].1.run_id == one.1.run_id) {
            Some(run) => run.push(one),
            None => runs.push(vec![one]),
        }
    }
    for run in &mut runs {
        let order = |(path, manifest): &(PathBuf, Manifest)| (manifest.order_in_run(), identity(path) == *path, path.clone());
        run.sort_by_key(|one| std::cmp::Reverse(order(one)));
    }
    // UTC times sort correctly as strings.
    runs.sort_by(|a, b| b[0].1.saved_at.cmp(&a[0].1.saved_at));
    runs.into_iter().flatten().collect()
}

fn of_type<C: 'static, M: LightningModule>(callbacks: &[Box<dyn Callback<M>>]) -> impl Iterator<Item = &C> {
    callbacks.iter().filter_map(|callback| (callback.as_ref() as &dyn std::any::Any).downcast_ref::<C>())
}

/// The best checkpoint of the first callback that monitors a metric. Without such a callback, the newest checkpoint of
/// the first callback that has one. Also whether it monitors.
fn best_here<M: LightningModule>(callbacks: &[Box<dyn Callback<M>>]) -> Option<(PathBuf, bool)> {
    let path = |callback: &ModelCheckpoint| callback.best_model_path().map(PathBuf::from);
    let monitored = of_type::<ModelCheckpoint, M>(callbacks).filter(|callback| callback.best_model_score().is_some()).find_map(path);
    let newest = || of_type::<ModelCheckpoint, M>(callbacks).find_map(path);
    monitored.map(|path| (path, true)).or_else(|| Some((newest()?, false)))
}

/// The same, from the callback states in a checkpoint. Keys of this Trainer's callbacks come first, in their order.
fn best_of(manifest: &Manifest, keys: &[String]) -> Option<(PathBuf, bool)> {
    let ours = keys.iter().filter_map(|key| manifest.callbacks.get(key));
    let others = manifest.callbacks.iter().filter(|(key, _)| ModelCheckpoint::is_key(key) && !keys.contains(key));
    let states: Vec<_> = ours.chain(others.map(|(_, state)| state)).collect();
    let path = |state: &&serde_json::Value| state["best_model_path"].as_str().map(PathBuf::from);
    let monitored = states.iter().filter(|state| !state["best_model_score"].is_null()).find_map(path);
    monitored.map(|path| (path, true)).or_else(|| Some((states.iter().find_map(path)?, false)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(run: &str, restarts: u64, batches: u64, saved_at: &str) -> Manifest {
        let progress = serde_json::json!({ "batches": batches, "global_step": batches, "epoch": 0 });
        Manifest { run_id: run.into(), restarts, saved_at: saved_at.into(), progress, ..Manifest::default() }
    }

    fn order(found: &[(&str, Manifest)]) -> Vec<String> {
        let found = found.iter().map(|(path, manifest)| (PathBuf::from(path), manifest.clone())).collect();
        newest_first(found).into_iter().map(|(path, _)| path.display().to_string()).collect()
    }

    #[test]
    fn a_clock_that_was_ahead_does_not_decide_within_a_run() {
        let found = [
            ("ahead", manifest("a", 0, 4, "2099-01-01T00:00:00Z")),
            ("later", manifest("a", 0, 8, "2026-01-01T00:00:00Z")),
            ("other", manifest("b", 0, 2, "2026-01-02T00:00:00Z")),
        ];
        assert_eq!(order(&found), ["other", "later", "ahead"]);
    }

    #[test]
    fn checkpoints_after_the_point_of_a_resume_are_not_the_newest() {
        let found = [
            ("far", manifest("a", 0, 12, "2026-01-01T00:00:12Z")),
            ("back", manifest("a", 1, 6, "2026-01-01T00:00:06Z")),
            ("back and on", manifest("a", 1, 8, "2026-01-01T00:00:05Z")),
        ];
        assert_eq!(order(&found), ["back and on", "back", "far"]);
    }

    #[test]
    fn best_is_that_of_the_first_callback_of_this_trainer_that_monitors() {
        let state = |path: &str, score: Option<f64>| serde_json::json!({ "best_model_path": path, "best_model_score": score });
        let callbacks = [
            ("ModelCheckpoint{a}", state("a", Some(1.0))),
            ("ModelCheckpoint{b}", state("b", Some(2.0))),
            ("ModelCheckpoint{c}", state("c", None)),
        ];
        let callbacks = callbacks.into_iter().map(|(key, state)| (key.to_string(), state)).collect();
        let manifest = Manifest { callbacks, ..Manifest::default() };
        let unmonitored = [("ModelCheckpoint{c}".to_owned(), state("c", None))].into_iter().collect();
        let unmonitored = Manifest { callbacks: unmonitored, ..Manifest::default() };
        assert_eq!(best_of(&unmonitored, &[]), Some((PathBuf::from("c"), false)));
        let best = |keys: &[&str]| best_of(&manifest, &keys.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        let b_first = ["ModelCheckpoint{c}", "ModelCheckpoint{b}", "ModelCheckpoint{a}"];
        assert_eq!(best(&b_first), (PathBuf::from("b"), true));
        assert_eq!(best(&[]), (PathBuf::from("a"), true));
        assert_eq!(best(&["ModelCheckpoint{c}"]), (PathBuf::from("a"), true));
    }
}
